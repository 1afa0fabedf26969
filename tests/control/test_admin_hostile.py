"""What whoever is let in to the admin, or has its user visit another page, can do to routing and policies: nothing that
is not theirs."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.audit.models import Record
from apps.catalog.models import Deployment
from apps.policies import services as policies
from tests import factories
from tests.control.desk import Desk

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.attack("F29", "F30")]
MARKUP = "<img/src=x/onerror=alert(1)>"


@pytest.fixture
def written(website, acme):
    """Everything that may be named is named so."""
    provider = factories.provider(MARKUP, tags=[MARKUP], region="<b>there</b>")
    factories.credential(provider, alias=MARKUP)
    model = factories.model(MARKUP)
    factories.price(factories.deployment(model, provider, upstream_model=MARKUP))
    made = policies.create_policy(actor=None, name=MARKUP, forbidden_tags=["<i>far</i>"], rules={"card": ("flag", "")})
    policies.assign(made, actor=None, tenant=acme)
    policies.create_cache(actor=None, model=model)
    return model, made, factories.key(website, name=MARKUP).key


def test_names_are_shown_and_never_run(desk, written):
    model, made, key = written
    pages = [
        desk.client.post(desk.url("explain"), {"endpoint": "messages", "key": key.public_id, "model": MARKUP}),
        desk.client.post(desk.url("policies_datapolicy_trial"), {"text": MARKUP, "policy": made.pk, "model": MARKUP}),
        desk.get("catalog_deployment_changelist"),
        desk.get("catalog_deployment_reset_breaker", Deployment.objects.get().pk),
        desk.get("catalog_provider_check", provider=Deployment.objects.get().provider_id),
        desk.get("policies_cachepolicy_changelist"),
        desk.get("policies_datapolicy_changelist"),
        desk.get("catalog_model_change", model.pk),
    ]
    for page in pages:
        text = page.content.decode()
        assert page.status_code == 200
        assert MARKUP not in text
        assert "<b>there" not in text
        assert "onerror" in text, "it is shown"


def test_nothing_is_done_by_a_visit_nor_without_the_form_of_the_page(desk, written):
    model, made, _ = written
    deployment = Deployment.objects.get()
    urls = [
        (desk.url("explain"), {"endpoint": "messages", "model": MARKUP}),
        (desk.url("policies_datapolicy_trial"), {"text": "x"}),
        (desk.url("catalog_provider_check"), {"provider": deployment.provider_id}),
        (desk.url("catalog_deployment_reset_breaker", deployment.pk), {}),
        (desk.url("policies_cachepolicy_questions"), {"policy": model.cache_policy.pk}),
        (desk.url("policies_cachepolicy_changelist"), {"action": "forget", "_selected_action": model.cache_policy.pk}),
        (desk.url("policies_datapolicy_change", made.pk), {"name": "other"}),
        (desk.url("catalog_model_change", model.pk), {"name": "other"}),
    ]
    before = Record.objects.count()
    elsewhere = Client(enforce_csrf_checks=True)
    elsewhere.force_login(desk.user)
    for url, sent in urls:
        assert elsewhere.post(url, sent).status_code == 403, url
        assert desk.client.get(url, sent).status_code in (200, 302), url
    assert Record.objects.count() == before


def test_a_call_is_explained_to_nobody_by_what_stands_in_an_address(desk, written):
    response = desk.get("explain", model=MARKUP, endpoint="messages", key="1", request="{}")
    assert response.context["told"] is None
    assert MARKUP not in response.content.decode()


def test_who_may_see_policies_alone_learns_no_key_and_throws_nothing_away(written, acme):
    model, _, key = written
    desk = Desk(factories.staff("policies.view_datapolicy", "policies.view_cachepolicy"))
    page = desk.client.post(desk.url("policies_datapolicy_trial"), {"text": "x", "key": key.public_id})
    assert (page.status_code, key.public_id in page.content.decode()) == (200, False)
    assert desk.get("explain").status_code == 403
    before = Record.objects.count()
    for sent in ({"tenant": acme.pk}, {"policy": model.cache_policy.pk}):
        assert desk.client.post(desk.url("policies_cachepolicy_questions"), sent).status_code == 403
    assert Record.objects.count() == before
