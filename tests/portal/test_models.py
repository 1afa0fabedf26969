"""Models as a tenant may call them: what policies and keys leave of them, what they cost, and how fast they were."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver

from apps.catalog import services as catalog
from apps.catalog.models import Provider
from apps.domain.tokens import TokenUsage
from apps.gateway import routes
from apps.policies import services as policies
from apps.policies.offered import offered
from apps.usage import ledger
from tests import factories
from tests.money.calls import intent, outcome

MOST_QUERIES = 25
PAYLOAD = "<script>alert(1)</script>"


@pytest.fixture
def sonnet(db):
    row = factories.model("claude-sonnet-4-5", display_name="Sonnet", aliases=["sonnet"], context_tokens=200_000)
    place = factories.deployment(row, factories.provider("Near", tags=["private"], region="eu"))
    factories.price(place, input=3_000_000_000, output=15_000_000_000)
    return row


@pytest.fixture
def far(db):
    row = factories.model("gpt-5")
    factories.deployment(row, factories.provider("Far", vendor="openai", protocol="openai_chat"))
    return row


def names(response):
    assert response.status_code == 200
    return [row["model"].name for row in response.context["rows"]]


def test_a_model_tells_what_it_can_and_costs(visit, bob, sonnet):
    text = visit(bob).text("models")
    for word in ("claude-sonnet-4-5", "also sonnet", "200.0 k", "$3.00", "$15.00", "images", "tools", "private", "eu"):
        assert word in text, word
    page = visit(bob).text("models-one", model=sonnet.pk)
    for word in ("Sonnet", "Near", "200,000 tokens", "$3.00", "healthy"):
        assert word in page, word


def test_only_what_the_tenant_may_use_is_there(visit, bob, charlie, globex, acme, sonnet, far):
    far.tenants.set([globex])
    assert names(visit(bob).get("models")) == ["claude-sonnet-4-5"]
    assert visit(bob).get("models-one", model=far.pk).status_code == 404
    assert names(visit(charlie, globex).get("models")) == ["claude-sonnet-4-5", "gpt-5"]
    catalog.update_model(sonnet, actor=None, is_enabled=False)
    assert names(visit(bob).get("models")) == []
    assert "No model yet" in visit(bob).text("models")


def test_policies_leave_what_they_let_calls_go_to(visit, acme, globex, bob, charlie, sonnet, far):
    rule = policies.create_policy(actor=None, name="Private only", required_tags=["private"])
    policies.assign(rule, actor=None, tenant=acme)
    assert names(visit(bob).get("models")) == ["claude-sonnet-4-5"]
    assert names(visit(charlie, globex).get("models")) == ["claude-sonnet-4-5", "gpt-5"]


def test_a_key_leaves_what_is_in_its_list(visit, website, alice, bob, sonnet, far):
    narrow = factories.key(website, user=bob, models=["sonnet"]).key
    others = factories.key(website, user=alice, models=["gpt-5"]).key
    assert names(visit(bob).get("models", {"key": narrow.pk})) == ["claude-sonnet-4-5"]
    assert len(names(visit(bob).get("models", {"key": others.pk}))) == 2, "another's key is none"
    assert names(visit(alice).get("models", {"key": others.pk})) == ["gpt-5"]


def test_looking_for_one(visit, bob, sonnet, far):
    at = visit(bob)
    assert names(at.get("models", {"q": "SONN"})) == ["claude-sonnet-4-5"]
    assert names(at.get("models", {"can": "tools", "q": "gpt"})) == ["gpt-5"]
    assert names(at.get("models", {"can": "embeddings"})) == []
    for query in ({"q": "x" * 500}, {"can": "\x00"}, {"key": "-1"}, {"key": "9" * 40}):
        assert at.get("models", query).status_code == 200


def test_who_serves_none_says_so(visit, bob, far, sonnet):
    empty = factories.model("lonely")
    Provider.objects.filter(name="Near").update(is_healthy=False)
    rows = {row["model"].name: row for row in visit(bob).get("models").context["rows"]}
    assert (rows["claude-sonnet-4-5"]["health"], rows["lonely"]["health"]) == ("failing", "nobody serves it")
    assert "no price" in visit(bob).text("models-one", model=far.pk)
    assert "Nobody serves it" in visit(bob).text("models-one", model=empty.pk)


def test_times_are_medians_of_what_was_answered(visit, acme, website, bob, sonnet):
    for latency, first, status in ((100, 10, "ok"), (300, 30, "ok"), (900, 90, "ok"), (60_000, None, "timeout")):
        call = intent(tenant_id=acme.pk, project_id=website.pk, user_id=bob.pk, model_id=sonnet.pk)
        ledger.post(
            [outcome(call, status=status, latency_ms=latency, ttft_ms=first, cost=1, usage=TokenUsage(in_fresh=1))]
        )
    (row,) = visit(bob).get("models").context["rows"]
    assert row["speed"] == (3, 300, 30)
    page = visit(bob).get("models-one", model=sonnet.pk)
    assert page.context["week"].calls == 4


def test_the_pages_ask_a_few_questions_however_many_models_there_are(visit, bob, sonnet):
    at = visit(bob)

    def queries(page, **where):
        with CaptureQueriesContext(connection) as found:
            assert at.get(page, **where).status_code == 200
        return len(found)

    few = queries("models")
    for number in range(8):
        factories.deployment(factories.model(f"another-{number}"))
    assert queries("models") == few <= MOST_QUERIES
    assert queries("models-one", model=sonnet.pk) <= MOST_QUERIES


def test_names_of_models_are_text(visit, bob):
    row = factories.model("plain", display_name=PAYLOAD)
    factories.deployment(row, factories.provider(PAYLOAD, tags=[PAYLOAD]), upstream_model=PAYLOAD)
    for text in (visit(bob).text("models"), visit(bob).text("models-one", model=row.pk)):
        assert PAYLOAD not in text
        assert "&lt;script&gt;" in text


def test_strangers_see_no_models(visit, charlie, sonnet):
    assert visit(charlie).get("models").status_code == 404
    assert visit(None).get("models").status_code == 302


def test_what_is_offered_needs_no_key(acme, sonnet, far):
    assert [offer.model.name for offer in offered(acme.pk)] == ["claude-sonnet-4-5", "gpt-5"]


def test_no_page_of_a_tenant_is_taken_for_a_path_of_programs():
    """The data plane answers `…/models` wherever it finds it, but not here."""
    prefix, portal = get_resolver().namespace_dict["portal"]
    programs, found = routes.patterns(routes.data_plane), 0
    for name in {name for name in portal.reverse_dict if isinstance(name, str)}:
        for possibilities, *_ in portal.reverse_dict.getlist(name):
            for template, parameters in possibilities:
                values = dict.fromkeys(parameters, "7") | {"tenant": "acme", "entry": uuid.UUID(int=7)}
                path = prefix + template % {key: values[key] for key in parameters}
                if path.startswith("t/"):
                    assert not any(route.pattern.match(path) for route in programs), path
                    found += 1
    assert found > 20
