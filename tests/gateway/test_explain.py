"""Dry runs: they say what a call would be told, and change nothing."""

from __future__ import annotations

import json

import msgspec
import pytest

from apps.catalog import services as catalog
from apps.catalog.models import Model, Provider
from apps.domain.explanation import Explanation
from apps.gateway import explain, vantage, ways
from apps.policies import services as policies
from apps.quotas.models import BudgetWindow, Lease
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, body_of

EXPLAIN = "/v1/explain"
OF = {"messages": ANTHROPIC, "chat_completions": OPENAI}


def dry(gateway, endpoint: str = "messages", *, key: str | None = None, body: bytes | None = None, **change):
    content = b'{"endpoint": "%b", "request": %b}' % (endpoint.encode(), body or body_of(OF[endpoint], **change))
    return ask(gateway, EXPLAIN, body=content, **({"key": key} if key else {}))


def told(response) -> dict:
    assert response.status_code == 200, response.text
    return response.json()


def test_it_says_what_then_happens_and_changes_nothing_before_it(gateway, world, simulator):
    model = world.model("claude-spare")
    for priority, upstream in enumerate(("claude-near", "claude-far")):
        world.deploy("claude-spare", upstream=upstream, model=model, priority=priority)
    world.limit(tenant=world.tenant, requests_per_minute=50, tokens_per_minute=100_000, concurrency=4)
    world.budget(tenant=world.tenant, amount=10**9)
    gateway.refresh()
    before = (simulator.seen(), gateway.engine.accounts.journal.path.read_bytes())
    for _ in range(3):
        found = told(dry(gateway, model="claude-spare"))
    assert (simulator.seen(), gateway.engine.accounts.journal.path.read_bytes()) == before
    gateway.settle()
    assert not Entry.objects.exists()
    assert not Lease.objects.exists()
    assert not BudgetWindow.objects.exists()
    assert found["serves"]
    assert {limit["kind"]: limit["left"] for limit in found["limits"]} == {
        "requests": 50,
        "tokens": 100_000,
        "concurrency": 4,
    }
    assert found["budgets"][0]["covers"]
    first = found["deployments"][0]
    assert (first["state"], first["order"], first["number"]) == ("first", 1, 1)
    assert ask(gateway, ANTHROPIC, model="claude-spare").status_code == 200
    gateway.settle()
    entry = Entry.objects.get()
    assert entry.deployment_id == gateway.engine.configuration.snapshot.models["claude-spare"].deployments[0].id
    assert entry.cost_nano <= first["cost"]["most"] == entry.reserved_nano


def test_a_tenant_is_told_of_nobody_else_s_and_of_no_provider(gateway, world):
    found = dry(gateway)
    assert "claude-upstream" not in found.text
    assert "main" not in found.text
    assert told(found)["deployments"][0]["provider"] is None


@pytest.mark.parametrize("endpoint", OF)
@pytest.mark.parametrize(
    "change", [{"model": "no-such"}, {"change": {"messages": None}}, {"change": {"max_tokens": "many"}}]
)
def test_what_a_call_would_be_refused_for_is_told_as_its_dialect_tells_it(gateway, world, endpoint, change):
    real = ask(gateway, OF[endpoint], body=body_of(OF[endpoint], **change))
    found = told(dry(gateway, endpoint, **change))
    assert not found["serves"]
    refusal = found["refusal"]
    assert refusal["status"] == real.status_code >= 400
    assert refusal["body"]["error"] == real.json()["error"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b'{"request": {}}', "endpoint"),
        (b'{"endpoint": "messages"}', "request"),
        (b'{"endpoint": "models", "request": {}}', "endpoint"),
        (b'{"endpoint": "messages", "request": {}, "key": "x"}', None),
    ],
)
def test_a_question_that_is_none_is_a_plain_error(gateway, world, body, param):
    answer = ask(gateway, EXPLAIN, body=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_it_is_for_whoever_has_a_key_and_not_too_often(gateway, world):
    assert ask(gateway, EXPLAIN, key="weir_nobody", body=b"{}").status_code == 401
    confined = world.issue(endpoints=["messages"])
    assert told(dry(gateway, key=confined))["serves"]
    elsewhere = told(dry(gateway, "chat_completions", key=confined))
    assert elsewhere["refusal"]["status"] == 403
    answers = [ask(gateway, EXPLAIN, body=b"{}", key=confined).status_code for _ in range(80)]
    assert answers[0] == 400
    assert answers[-1] == 429


def test_long_questions_take_the_minute_that_they_are_worth(gateway, world):
    """Each costs what a call costs before it is sent, and no limit counts it."""
    long = b'{"endpoint": "messages", "request": %b}' % body_of(
        ANTHROPIC, change={"messages": [{"role": "user", "content": "x" * (explain.BYTES_A_MINUTE + 1)}]}
    )
    assert ask(gateway, EXPLAIN, body=long).status_code == 200
    again = ask(gateway, EXPLAIN, body=long)
    assert (again.status_code, again.json()["error"]["message"]) == (429, "8388608 bytes to explain a minute")
    assert 0 < int(again.headers["retry-after"]) <= 60
    assert told(dry(gateway, key=world.issue()))["serves"], "it is each key's own"


def test_where_the_question_comes_from_is_where_the_call_would(gateway, world):
    target = world.deploy("claude-near", upstream="claude-upstream").model
    catalog.update_model(target, actor=None, networks=["203.0.113.0/24"])
    gateway.refresh()
    found = told(dry(gateway, model="claude-near"))
    assert (found["who"]["address"], found["notes"]) == ("127.0.0.1", [])
    assert found["refusal"]["body"]["error"] == ask(gateway, ANTHROPIC, model="claude-near").json()["error"]


def test_whether_other_words_were_answered_is_not_pretended_to_be_known(gateway, world, simulator):
    vectors = world.model("gpt-vectors", capabilities=["embeddings"])
    world.deploy("gpt-vectors", upstream="embedding-upstream", model=vectors)
    policies.create_cache(
        actor=world.alice, model=Model.objects.get(name="claude-test"), semantic_model=vectors, semantic_threshold=0.9
    )
    gateway.refresh()
    before = simulator.seen()
    found = told(dry(gateway, change={"temperature": 0}))
    assert (found["cache"]["looked_up"], found["cache"]["compares"]) == (True, "gpt-vectors")
    assert found["notes"] == [vantage.UNCOMPARED.format("gpt-vectors")]
    assert simulator.seen() == before
    assert told(dry(gateway))["notes"] == [], "chance decides: nothing is looked up"


def test_a_question_on_nobodys_behalf_disturbs_nothing_that_calls_have_found_out(gateway, world):
    assert ask(gateway, ANTHROPIC).status_code == 200
    kept = dict(ways._options.under(gateway.engine.configuration.snapshot))
    assert kept
    asked = explain.Asked("messages", body_of(ANTHROPIC), explain.NOBODY)
    assert gateway.call(explain.explain(asked, vantage.inside(gateway.engine, shows_all=True))).serves
    assert kept.items() <= ways._options.under(gateway.engine.configuration.snapshot).items()


def test_a_limit_that_is_used_up_and_a_budget_that_is_too_small_are_told(gateway, world):
    world.limit(key=world.key_row, requests_per_minute=1)
    world.budget(key=world.key_row, amount=1)
    gateway.refresh()
    found = told(dry(gateway))
    assert found["refusal"]["status"] == 429
    assert "monthly budget" in found["refusal"]["message"]
    assert json.loads(ask(gateway, ANTHROPIC).text)["error"]["message"] == found["refusal"]["message"]
    found = told(dry(gateway))
    assert found["refusal"]["message"] == "rate limit reached: 1 requests per minute for this key"
    assert found["limits"][0]["left"] == 0


def test_json_is_the_shape_that_is_documented(gateway, world):
    msgspec.json.decode(dry(gateway).content, type=Explanation)


def test_what_policies_find_and_whom_they_leave_out_is_told(gateway, world):
    card = {"messages": [{"role": "user", "content": "My card is 4111 1111 1111 1111."}]}
    policy = policies.create_policy(
        actor=world.alice, name="careful", required_tags=[], rules={"card": ("block", "")}, forbidden_tags=["far"]
    )
    policies.assign(policy, actor=world.alice, tenant=world.tenant)
    gateway.refresh()
    assert told(dry(gateway))["serves"]
    found = told(dry(gateway, change=card))
    assert found["policy"]["findings"] == [{"kind": "card", "count": 1, "action": "block"}]
    assert found["refusal"]["body"]["error"] == ask(gateway, ANTHROPIC, change=card).json()["error"]
    assert found["deployments"][0]["state"] == "first"
    assert "4111" not in json.dumps(found)
    Provider.objects.filter(name__startswith="claude").update(tags=["far"])
    world.touch_catalog()
    gateway.refresh()
    found = told(dry(gateway))
    assert [one["reason"] for one in found["deployments"]] == ["tag far forbidden"]
    assert found["refusal"]["body"]["error"] == ask(gateway, ANTHROPIC).json()["error"]
