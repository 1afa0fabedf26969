"""What uses a row is told before it is deleted, and a change is taken back as long as nothing came after it."""

from __future__ import annotations

import pytest

from apps.audit.models import Record
from apps.catalog import services as catalog
from apps.catalog.models import AllowedNetwork, Model
from apps.keys import services as keys
from apps.policies import services as policies
from apps.policies.models import DataPolicy
from apps.quotas import services as quotas
from tests import factories
from tests.control.desk import Desk

pytestmark = pytest.mark.django_db


def uses(desk: Desk, row) -> dict[str, tuple[str, str, bool]]:
    answer = desk.get(f"{row._meta.app_label}_{row._meta.model_name}_delete", row.pk)
    assert answer.status_code == 200
    return {use.what: (use.count, use.fate, bool(use.link)) for use in answer.context["uses"]}


def undo(desk: Desk, row, record: Record | None = None, **options):
    newest = record or Record.objects.filter(target_id=str(row.pk), target_type=row._meta.label_lower).latest("pk")
    page = f"{row._meta.app_label}_{row._meta.model_name}_undo"
    return desk.client.post(desk.url(page, row.pk, newest.pk), follow=True, **options)


def test_a_delete_page_says_what_uses_a_row_what_goes_with_it_and_what_keeps_it(desk):
    model, other = factories.model("used"), factories.model("other")
    for _ in range(2):
        factories.deployment(model)
    catalog.add_fallback(other, actor=None, target=model)
    quotas.create_limit(actor=None, model=model, concurrency=1)
    found = uses(desk, model)
    assert found["deployments"] == ("2", "go with it", True)
    assert found["fallback, as their target"] == ("1", "keep it from being deleted", False)
    assert found["limit"][:2] == ("1", "go with it")
    page = desk.text("catalog_model_delete", model.pk)
    assert "disable it instead" in page
    assert "weir-danger" not in page
    assert desk.url("catalog_model_delete", model.pk) in desk.text("catalog_model_change", model.pk)
    assert Model.objects.filter(pk=model.pk).exists()


@pytest.mark.once
def test_links_of_uses_lead_to_exactly_those_rows(desk, website):
    mine, _ = factories.key(website).key, factories.key()
    answer = desk.get("tenants_project_delete", website.pk)
    (use,) = [use for use in answer.context["uses"] if use.what == "key"]
    assert [row.pk for row in desk.client.get(use.link).context["cl"].result_list] == [mine.pk]
    assert answer.context["why"]


@pytest.mark.once
def test_what_nothing_uses_is_deleted_after_a_look(desk):
    network = catalog.allow_network(actor=None, cidr="10.9.0.0/16")
    page = desk.text("catalog_allowednetwork_delete", network.pk)
    assert "Nothing uses it." in page
    assert AllowedNetwork.objects.exists()
    assert desk.client.post(desk.url("catalog_allowednetwork_delete", network.pk), {"post": "yes"}).status_code == 302
    assert not AllowedNetwork.objects.exists()


# --- taking a change back ------------------------------------------------------------------------------------------


def test_a_change_is_taken_back_by_a_change_of_its_own(desk, acme, website):
    deployment = factories.deployment()
    budget = quotas.create_budget(actor=None, tenant=acme, amount=10)
    policy = policies.create_policy(actor=None, name="p")
    key = factories.key(website).key
    endpoint = factories.endpoint(deployment.model, "one")
    other = factories.model("other")
    for row, update, before, after in (
        (deployment, catalog.update_deployment, {"priority": 0}, {"priority": 5}),
        (budget, quotas.update_budget, {"amount": 10}, {"amount": 99}),
        (policy, policies.update_policy, {"regions": None}, {"regions": ["eu"]}),
        (key, keys.update, {"name": "a key"}, {"name": "other"}),
        (endpoint, catalog.update_endpoint, {"model": deployment.model}, {"model": other}),
    ):
        update(row, actor=None, **after)
        page = desk.text(f"{row._meta.app_label}_{row._meta.model_name}_history", row.pk)
        assert "Take this change back" in page, row
        assert "as it was before that change" in undo(desk, row).content.decode(), row
        row.refresh_from_db()
        assert {name: getattr(row, name) for name in before} == before
        assert Record.objects.latest("pk").actor_id == desk.user.pk


@pytest.mark.once
def test_what_came_after_keeps_a_change_and_so_does_what_the_service_refuses(desk, website):
    model = factories.model("m", aliases=["a"])
    catalog.update_model(model, actor=None, aliases=[])
    first = Record.objects.latest("pk")
    factories.model("a")
    assert "another model" in undo(desk, model, first).content.decode()
    catalog.update_model(model, actor=None, aliases=["b"])
    assert "has been changed again since" in undo(desk, model, first).content.decode()
    assert "Take this change back" in desk.text("catalog_model_history", model.pk)
    key = factories.key(website).key
    keys.revoke(key, actor=None)
    before = Record.objects.count()
    assert undo(desk, key).status_code == 403, "nobody changes a revoked key"
    made = Record.objects.get(target_type="catalog.model", target_id=str(model.pk), action="model.created")
    assert "no change of fields" in undo(desk, model, made).content.decode()
    assert Record.objects.count() == before


@pytest.mark.once
def test_only_who_may_change_a_row_takes_its_changes_back(desk, globex):
    policy = policies.create_policy(actor=None, name="p")
    policies.update_policy(policy, actor=None, note="new")
    viewer = Desk(factories.staff("policies.view_datapolicy"))
    assert "Take this change back" not in viewer.text("policies_datapolicy_history", policy.pk)
    assert undo(viewer, policy).status_code == 403
    assert DataPolicy.objects.get(pk=policy.pk).note == "new"
    record = Record.objects.latest("pk")
    other = policies.create_policy(actor=None, name="q")
    assert desk.client.post(desk.url("policies_datapolicy_undo", other.pk, record.pk)).status_code == 404
    assert desk.client.get(desk.url("policies_datapolicy_undo", policy.pk, record.pk)).status_code == 404


@pytest.mark.once
def test_a_history_tells_of_what_is_edited_on_the_rows_page_too(desk):
    provider = factories.provider("P")
    credential = factories.credential(provider, alias="spare")
    other = factories.credential(alias="not-mine")
    catalog.disable_credential(credential, actor=None)
    page = desk.text("catalog_provider_history", provider.pk)
    assert "Credential disabled: P · spare" in page
    assert other.alias not in page
    assert undo(desk, provider, Record.objects.get(action="credential.disabled")).status_code == 404
