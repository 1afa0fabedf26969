"""Data policies and cache policies in the admin."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from apps.audit.models import Record
from apps.catalog.models import Model
from apps.policies import reach, services
from apps.policies.models import CachePolicy, DataPolicy, Tally
from tests import factories
from tests.control.desk import Desk, errors

pytestmark = pytest.mark.django_db


def inline(prefix: str, *rows: dict[str, object], kept: int = 0) -> dict[str, object]:
    """As a browser sends rows that were added; `kept` are there already and are sent as they are."""
    values: dict[str, object] = {f"{prefix}-TOTAL_FORMS": kept + len(rows)}
    for number, row in enumerate(rows, start=kept):
        values |= {f"{prefix}-{number}-{name}": value for name, value in row.items()}
    return values


@pytest.fixture
def served() -> None:
    """A model in Europe and in America, one in America only."""
    eu = factories.provider(region="eu-west-1", tags=["private"])
    us = factories.provider(region="us-east-1")
    everywhere, american = factories.model("everywhere"), factories.model("american")
    for model, provider in ((everywhere, eu), (everywhere, us), (american, us)):
        factories.deployment(model, provider)


def test_a_policy_is_made_with_its_rules_and_those_under_it(desk, acme, served):
    page = desk.text("policies_datapolicy_add")
    assert "There is: private." in page
    assert "Mask it; refuse what would pass byte for byte" in page
    response = desk.send(
        "policies_datapolicy_add",
        **{"name": "private-only", "required_tags": "private, hipaa", "accepts": "on"},
        **inline("rules", {"kind": "card", "on_request": "block", "on_response": "stop"}),
        **inline("assignments", {"tenant": acme.pk}),
    )
    assert response.status_code == 302, errors(response)
    made = DataPolicy.objects.get()
    assert (made.required_tags, made.regions) == (["private", "hipaa"], None)
    assert made.rules.get().on_response == "stop"
    actions = list(Record.objects.filter(actor_id=desk.user.pk).order_by("pk").values_list("action", "tenant_id"))
    assert actions == [("datapolicy.created", None), ("rule.created", None), ("policy.assigned", acme.pk)]
    listed = desk.text("policies_datapolicy_changelist")
    assert "No provider has the tag “hipaa” yet; there is “private”." in listed
    for told in ("with private", "Card numbers: block; stop in answers", "tenant Acme"):
        assert told in listed, told


def test_models_that_would_be_left_without_a_deployment_are_named_before_it_is_saved(desk, acme, website, served):
    key = factories.key(website, name="robot").key
    made = services.create_policy(actor=None, name="eu-only")
    services.assign(made, actor=None, key=key)
    commas = desk.send("policies_datapolicy_change", made.pk, regions=" , ,")
    assert errors(commas) == {"regions": ["There is no word between these commas."]}, "it would be anywhere"
    refused = desk.send("policies_datapolicy_change", made.pk, regions="eu-west-1")
    assert errors(refused) == {
        "accepts": [f"For key robot ({key.prefix}) no deployment would be left of american."],
    }
    assert 'name="accepts"' in refused.content.decode()
    made.refresh_from_db()
    assert made.regions is None
    assert desk.send("policies_datapolicy_change", made.pk, regions="eu-west-1", accepts="on").status_code == 302
    assert desk.send("policies_datapolicy_change", made.pk, note="asked once").status_code == 302
    more = desk.send("policies_datapolicy_change", made.pk, **inline("assignments", {"everyone": "on"}, kept=1))
    assert errors(more) == {"accepts": ["For everyone no deployment would be left of american."]}
    assert made.assignments.count() == 1


def test_what_two_policies_strand_together_is_told_and_no_action_passes_it_by(desk, acme, served):
    american = services.create_policy(actor=None, name="us-only", regions=["us-east-1"])
    services.assign(american, actor=None, everyone=True)
    private = services.create_policy(actor=None, name="private-only", required_tags=["private"], is_enabled=False)
    services.assign(private, actor=None, tenant=acme)
    page = desk.act("policies_datapolicy_changelist", "enable", private, american).content.decode()
    assert "For tenant Acme no deployment would be left of american, everywhere." in page
    private.refresh_from_db()
    assert not private.is_enabled
    virtual = factories.model("virtual")
    for name in ("american", "everywhere"):
        factories.catalog.add_fallback(virtual, actor=None, target=Model.objects.get(name=name))
    own = services.create_policy(actor=None, name="eu-only", regions=["eu-west-1"])
    services.assign(own, actor=None, tenant=factories.tenant("Elsewhere"))
    services.update_policy(american, actor=None, is_enabled=False)
    assert reach.stranded(own) == {"tenant Elsewhere": ("american",)}


@pytest.mark.once
def test_what_a_policy_cannot_be_is_told_at_its_field(desk, acme):
    made = services.create_policy(actor=None, name="private-only")
    routed = desk.send(
        "policies_datapolicy_change", made.pk, **inline("rules", {"kind": "card", "on_request": "route"})
    )
    assert list(errors(routed)) == ["route_tag"]
    both = desk.send("policies_datapolicy_add", name="both", required_tags="a", forbidden_tags="b, a")
    assert list(errors(both)) == ["forbidden_tags"]
    nothing = desk.send("policies_datapolicy_change", made.pk, **inline("rules", {"kind": "card"}))
    assert list(errors(nothing)) == ["rules-0-__all__"]
    two = desk.send(
        "policies_datapolicy_change", made.pk, **inline("assignments", {"tenant": acme.pk, "everyone": "on"})
    )
    assert list(errors(two)) == ["assignments-0-__all__"]
    assert not made.rules.exists()
    assert not made.assignments.exists()


def test_findings_are_drawn_by_day_and_told_by_kind(desk, acme):
    made = services.create_policy(actor=None, name="watching")
    assert "Nothing yet" in desk.text("policies_datapolicy_change", made.pk)
    row = {"policy": made, "tenant": acme, "hour": timezone.now()}
    Tally.objects.create(**row, kind="card", action="block", count=1_234)
    Tally.objects.create(**row, kind="email", action="flag", is_answer=True, count=6)
    page = desk.text("policies_datapolicy_change", made.pk)
    assert "1,240 found, 1,234 of them refused or ended" in page
    assert '<td>Card numbers</td><td>request</td><td>block</td><td class="weir-right">1,234</td>' in page
    assert "<td>E-mail addresses</td><td>answer</td><td>flag</td>" in page
    assert "1,240" in desk.text("policies_datapolicy_changelist")


def test_pages_say_which_policies_their_row_is_under(desk, acme, globex, website):
    key = factories.key(website).key
    eu, hipaa = (services.create_policy(actor=None, name=name) for name in ("eu-only", "hipaa"))
    services.assign(eu, actor=None, tenant=acme)
    services.assign(hipaa, actor=None, key=key)
    for page, row in (("tenants_tenant", acme), ("tenants_project", website), ("keys_key", key)):
        assert "eu-only" in desk.text(f"{page}_change", row.pk), page
    assert "and hipaa" in desk.text("keys_key_change", key.pk)
    assert "Its calls go wherever its models are" in desk.text("tenants_tenant_change", globex.pk)


def test_answers_of_a_model_or_to_a_key_are_kept(desk, website):
    model, key = factories.model("chatty"), factories.key(website).key
    vectors = factories.model("vectors", capabilities=["embeddings"])
    assert "Keep answers" in desk.text("catalog_model_change", model.pk)
    values = {"model": model.pk, "ttl_seconds": 7_200, "semantic_model": vectors.pk}
    assert list(errors(desk.send("policies_cachepolicy_add", **values))) == ["semantic_threshold"]
    assert desk.send("policies_cachepolicy_add", **values, semantic_threshold="0.95").status_code == 302
    made = CachePolicy.objects.get()
    assert (made.ttl_seconds, made.semantic_threshold, made.is_always) == (7_200, 0.95, True)
    assert "2\xa0hours" in desk.text("catalog_model_change", model.pk)
    assert list(errors(desk.send("policies_cachepolicy_add", model=model.pk))) == ["model"]
    assert list(errors(desk.send("policies_cachepolicy_add", model=model.pk, key=key.pk))) == ["", "model"]
    assert desk.send("policies_cachepolicy_change", made.pk, ttl_seconds=60, is_enabled=None).status_code == 302
    assert "alike at 0.95" in desk.text("policies_cachepolicy_changelist")
    assert Record.objects.filter(actor_id=desk.user.pk, action="cachepolicy.updated").count() == 1


# --- trying them on a text -----------------------------------------------------------------------------------------

CARD = "4111 1111 1111 1111"


def shown(response) -> str:
    """What the page tells of the outcome, in words."""
    assert response.status_code == 200
    text = response.content.decode().partition('id="outcome"')[2].partition("</main>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_a_text_is_tried_under_the_policies_of_a_key(desk, acme, website, served, caplog):
    key = factories.key(website, name="robot").key
    rules = {"card": ("route", ""), "email": ("mask", "")}
    made = services.create_policy(actor=None, name="careful", route_tag="private", rules=rules)
    services.assign(made, actor=None, tenant=acme)
    page = desk.text("policies_datapolicy_trial")
    assert 'id="outcome"' not in page
    request = f'{{"model": "everywhere", "messages": [{{"role": "user", "content": "{CARD}, \\u0061nn@example.org"}}]}}'
    before = Record.objects.count()
    response = desk.send("policies_datapolicy_trial", text=request, key="robot")
    told = shown(response)
    assert "Card numbers 1 route careful" in told
    assert "E-mail addresses 1 mask careful" in told
    assert "[card], [email]" in told
    assert "1 of 2" in told
    assert "no what was found: tag private missing" in told
    assert response["cache-control"].startswith("max-age=0, no-cache, no-store")
    assert Record.objects.count() == before
    assert CARD not in caplog.text
    assert "refused for what is found" in shown(
        desk.send("policies_datapolicy_trial", text=CARD, policy=_blocking().pk, key=key.prefix)
    )


def _blocking() -> DataPolicy:
    return services.create_policy(actor=None, name="strict", rules={"card": ("block", "")})


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ('{"messages": [{"role": "user", "content": "x"]}', "is none from line 1, column"),
        ('{"messages": NaN}', "but is none."),
        ("[1] see below", "is none from line 1, column 5 on"),
        ('["x"]', "but a list"),
        ('{"text": "x"}', "no messages, input or prompt"),
        ('{"messages": []}', ""),
        ('{"prompt": "x"}', ""),
        ("Good morning {name}", ""),
        ('"x"', ""),
    ],
)
def test_it_says_when_a_text_may_not_be_what_was_meant(desk, served, text, doubt):
    told = shown(desk.send("policies_datapolicy_trial", text=text))
    assert ("read with care" in told) == bool(doubt)
    assert doubt in told


@pytest.mark.once
def test_without_a_policy_all_is_sent_and_a_policy_shows_what_it_leaves(desk, served):
    told = shown(desk.send("policies_datapolicy_trial", text="Good morning", model="american"))
    assert "sent as it is" in told
    assert "no policy holds" in told
    assert "neither personal data nor secrets" in told
    eu = services.create_policy(actor=None, name="eu-only", regions=["eu-west-1"])
    told = shown(desk.send("policies_datapolicy_trial", text="Good morning", model="american", policy=eu.pk))
    assert "refused no provider is left" in told
    assert "eu-only: region us-east-1 not allowed" in told
    assert "1 of 2 of any model" in shown(desk.send("policies_datapolicy_trial", text="Good morning", policy=eu.pk))
    page = desk.text("policies_datapolicy_trial")
    assert "No policy holds for everyone" in page
    services.assign(eu, actor=None, everyone=True)
    assert "what holds for everyone (eu-only)" in desk.text("policies_datapolicy_trial")
    nested = desk.send("policies_datapolicy_trial", text="[" * 5_000 + "]" * 5_000)
    assert "nested too deeply" in nested.content.decode()
    assert "nobody-knows is no model" in shown(desk.send("policies_datapolicy_trial", text="x", model="nobody-knows"))


@pytest.mark.once
def test_who_may_not_see_keys_tries_policies_without_one(served):
    some = Desk(factories.staff("policies.view_datapolicy"))
    assert 'name="key"' not in some.text("policies_datapolicy_trial")
    assert some.send("policies_datapolicy_trial", text="x", key="robot").status_code == 200
    assert Desk(factories.staff("keys.view_key")).get("policies_datapolicy_trial").status_code == 403
