"""Headers that go on to a provider as the caller wrote them: shaped as names, and looked into as the body is."""

from __future__ import annotations

import json

import pytest

from apps.policies import services as policies
from apps.policies.models import Intervention
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
CARD = "4111 1111 1111 1111"
ADDRESS = "mrs.jones@example.com"


def hold(world, gateway, action, **policy):
    rules = {"card": (action, ""), "email": (action, "")}
    made = policies.create_policy(actor=world.alice, name="pci", rules=rules, **policy)
    policies.assign(made, actor=world.alice, tenant=world.tenant)
    gateway.refresh()


def test_of_betas_only_names_go_on_whether_there_is_a_policy_or_none(gateway, simulator):
    headers = {"anthropic-beta": f"context-1m-2025-08-07, {ADDRESS}, {CARD}, made-up-2027-01-01"}
    assert ask(gateway, ANTHROPIC, headers=headers).status_code == 200
    seen = simulator.calls()[-1]
    assert seen["headers"]["anthropic-beta"].replace(" ", "") == "context-1m-2025-08-07,made-up-2027-01-01"
    assert "1111" not in json.dumps(seen)
    assert ask(gateway, ANTHROPIC, headers={"anthropic-beta": ADDRESS}).status_code == 200
    assert "anthropic-beta" not in simulator.calls()[-1]["headers"]


@pytest.mark.parametrize(
    "headers",
    [
        *({"anthropic-beta": f"context-1m-2025-08-07,{CARD}"}, {"anthropic-new-thing": ADDRESS}),
        *({"anthropic-4111111111111111": "x"}, {"anthropic-beta": "card-4111-1111-1111-1111"}),
    ],
)
@pytest.mark.parametrize("action", ["block", "mask"])
def test_what_is_found_in_one_blocks_the_call(gateway, world, simulator, action, headers, caplog):
    hold(world, gateway, action)
    seen = simulator.seen()
    for path in (ANTHROPIC, OPENAI):
        response = ask(gateway, path, model="claude-test", headers=headers)
        where = "the request" if action == "block" else "the headers, which it masks: no header is masked"
        message = told(path, response, 403)
        assert "policy pci found" in message
        assert where in message
        assert "1111" not in response.text
        assert ADDRESS not in response.text
    assert simulator.seen() == seen
    assert "1111" not in caplog.text
    gateway.call(gateway.engine.configuration._noting.ask(gateway.engine.configuration.findings.interventions.flush))
    assert {row.action for row in Intervention.objects.all()} == {"block"}
    assert Intervention.objects.count() == 2


def test_what_is_found_in_one_routes_the_call(gateway, world, simulator):
    model = world.model("claude-both")
    world.deploy("claude-both", upstream="claude-public", model=model, priority=0)
    world.deploy("claude-both", upstream="claude-private", model=model, priority=1, tags=["private"])
    hold(world, gateway, "route", route_tag="private")
    for headers in ({"anthropic-new-thing": "yes"}, {"anthropic-new-thing": ADDRESS}):
        assert ask(gateway, ANTHROPIC, model="claude-both", headers=headers).status_code == 200
    assert [call["body"]["model"] for call in simulator.calls()[-2:]] == ["claude-public", "claude-private"]


def test_the_headers_of_usual_clients_are_no_findings(gateway, world, simulator):
    hold(world, gateway, "block")
    headers = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14",
        "anthropic-dangerous-direct-browser-access": "true",
    }
    assert ask(gateway, ANTHROPIC, headers=headers).status_code == 200
    assert simulator.calls()[-1]["headers"]["anthropic-beta"] == headers["anthropic-beta"]
