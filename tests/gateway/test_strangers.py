"""What one tenant's calls, keys, limits and budgets are to another's calls: nothing. Answers are the same, byte by
byte, but for the ids and moments of the calls themselves."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apps.tenants import services as tenants
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, body_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F27")]

OWN = re.compile(r"(req|msg|chatcmpl|resp|chat)[-_][0-9A-Za-z_-]+|[0-9a-f]{32}|\b1[0-9]{9}\b")
TIMES = re.compile(r'"(?:first_byte|waited|seconds|milliseconds|at|until|took)[a-z_]*": ?[0-9.]+')
SHORT_LIVED = {"date", "x-trace-id", "request-id", "x-request-id", "server-timing", "traceparent"}


def answered(gateway: Any, method: str, path: str, key: str, body: Any = None) -> tuple[int, dict[str, str], str]:
    headers = {"x-api-key": key, "content-type": "application/json"}
    answer = gateway.client.request(method, path, headers=headers, content=body)
    told = {name: OWN.sub("#", value) for name, value in answer.headers.items() if name not in SHORT_LIVED}
    return answer.status_code, told, TIMES.sub("#", OWN.sub("#", answer.text))


def seen(gateway: Any, key: str) -> dict[str, Any]:
    """All that somebody may be told who calls."""
    asked = {
        "models": ("GET", "/v1/models"),
        "models, as Anthropic's": ("GET", "/anthropic/v1/models"),
        "one of them": ("GET", "/v1/models/claude-test"),
        "none of them": ("GET", "/v1/models/acme-only"),
        "settings": ("GET", "/managed/settings"),
        "no path": ("GET", "/v1/lost"),
        "a call": ("POST", ANTHROPIC, body_of(ANTHROPIC)),
        "a stream": ("POST", OPENAI, body_of(OPENAI, change={"stream": True})),
        "a model that is not there": ("POST", OPENAI, body_of(OPENAI, model="acme-only")),
        "a wrong body": ("POST", ANTHROPIC, b"[]"),
        "why": ("POST", "/v1/explain", b'{"endpoint": "messages", "request": %b}' % body_of(ANTHROPIC)),
    }
    found = {}
    for name, (method, path, *body) in asked.items():
        found[name] = answered(gateway, method, path, key, body[0] if body else None)
    return found


def busy(gateway: Any, world: Any) -> None:
    """Acme calls, is refused by limits and a budget, and makes keys, a project and an endpoint of its own."""
    limited, poor = world.issue(), world.issue()
    rows = type(world.key_row).objects.order_by("pk")
    world.limit(key=rows[len(rows) - 2], requests_per_minute=1)
    world.budget(key=rows[len(rows) - 1], amount=0)
    world.budget(tenant=world.tenant, amount=10**12)
    tenants.create_project(world.tenant, actor=world.alice, name="Secret project")
    world.issue(models=["claude-test"])
    gateway.refresh()
    statuses = [ask(gateway, ANTHROPIC, key=key).status_code for key in [world.key] * 5 + [limited] * 2 + [poor]]
    assert statuses == [200] * 6 + [429, 429]
    assert ask(gateway, OPENAI, model="acme-only").status_code == 404
    gateway.settle()


def test_whoever_calls_is_told_the_same_whatever_another_tenant_does(gateway, world, figure):
    theirs = world.issue_for(tenants.create_tenant(actor=world.alice, name="Globex"))
    gateway.refresh()
    seen(gateway, theirs)  # an upstream that was called before has no "first"
    gateway.settle()
    before = seen(gateway, theirs)
    assert [told[0] for told in before.values()].count(200) >= 6, before
    busy(gateway, world)
    after = seen(gateway, theirs)
    assert {name: (told, after[name]) for name, told in before.items() if after[name] != told} == {}
    figure("F27", "answers of the data plane that are as before another's doings", len(before), least=11)


def test_no_answer_names_another_tenant(gateway, world):
    theirs = world.issue_for(tenants.create_tenant(actor=world.alice, name="Globex"))
    busy(gateway, world)
    told = repr(seen(gateway, theirs))
    for name in ("Acme", "Rockets", "Secret project", "alice", world.key_row.public_id):
        assert name not in told
