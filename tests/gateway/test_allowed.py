"""What a model's fallbacks are confined to holds for whoever is answered by them; and nobody is offered a model that
nobody may answer them for."""

from __future__ import annotations

import pytest

from apps.catalog import services as catalog
from apps.catalog.models import Model, Provider
from apps.policies import services as policies
from apps.tenants import services as tenants
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, body_of

pytestmark = pytest.mark.once
NEAR, FAR = ["127.0.0.0/8"], ["203.0.113.0/24"]
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
SEES = {"messages": [{"role": "user", "content": [PICTURE, {"type": "text", "text": "What is it?"}]}]}
CLOSED = "no deployment of {} may answer this key from where it calls"


@pytest.fixture
def target(gateway, world) -> Model:
    """Two models fall back on it: one that is virtual, one that cannot see."""
    row = world.deploy("claude-sees", upstream="claude-upstream").model
    blind = world.deploy("claude-blind", upstream="claude-other")
    catalog.update_deployment(blind, actor=None, capabilities=["text"], upstream_model="plain")
    catalog.update_model(blind.model, actor=None, name="blind")
    for model in (world.model("fast"), blind.model):
        catalog.add_fallback(model, actor=None, target=row)
    gateway.refresh()
    return row


def listed(gateway, key: str | None = None) -> set[str]:
    headers = {"x-api-key": key or gateway.world.key}
    return {row["id"] for row in gateway.client.get("/v1/models", headers=headers).json()["data"]}


def explained(gateway, request: bytes, **who) -> dict:
    return ask(gateway, "/v1/explain", body=b'{"endpoint": "messages", "request": %b}' % request, **who).json()


def refusal(answer) -> str:
    assert answer.status_code == 403, answer.text
    return answer.json()["error"]["message"]


def test_a_fallback_answers_whom_its_own_networks_let_in(gateway, world, target, simulator):
    catalog.update_model(target, actor=None, networks=FAR)
    gateway.refresh()
    before = simulator.seen()
    assert refusal(ask(gateway, ANTHROPIC, model="fast")) == CLOSED.format("fast")
    seeing = ask(gateway, ANTHROPIC, model="blind", change=SEES)
    assert (seeing.status_code, seeing.json()["error"]["message"]) == (
        400,
        "no deployment of blind offers vision",
    )
    assert simulator.seen() == before
    assert listed(gateway) == {"claude-test", "gpt-test", "blind"}
    catalog.update_model(target, actor=None, networks=FAR + NEAR)
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, model="fast").status_code == 200
    assert ask(gateway, ANTHROPIC, model="blind", change=SEES).status_code == 200
    assert {"fast", "claude-sees"} <= listed(gateway)


def test_a_key_that_is_for_some_models_gets_no_other_by_way_of_them(gateway, world, target):
    confined, virtual = world.issue(models=["blind"]), world.issue(models=["fast"])
    both = world.issue(models=["blind", "claude-sees"])
    seeing = {"model": "blind", "change": SEES}
    assert ask(gateway, ANTHROPIC, **seeing).status_code == 200
    assert ask(gateway, ANTHROPIC, key=both, **seeing).status_code == 200
    assert ask(gateway, ANTHROPIC, key=confined, model="blind").status_code == 200
    assert ask(gateway, ANTHROPIC, key=confined, **seeing).status_code == 400
    assert ask(gateway, OPENAI, key=virtual, model="fast").status_code == 200, "it is nothing but its fallbacks"
    told = explained(gateway, body_of(ANTHROPIC, **seeing), key=confined)
    assert [one["reason"] for one in told["deployments"]] == ["no vision", "not in the key's list of models"]


def test_a_model_whose_own_deployments_are_switched_off_is_not_taken_for_a_virtual_one(gateway, world, target):
    confined = world.issue(models=["blind"])
    own = Model.objects.get(name="blind").deployments.get()
    catalog.update_deployment(own, actor=None, is_enabled=False)
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, model="blind").status_code == 200
    assert refusal(ask(gateway, ANTHROPIC, key=confined, model="blind")) == CLOSED.format("blind")


def test_a_fallback_that_is_for_another_tenant_answers_nobody_else(gateway, world, target):
    other = tenants.create_tenant(actor=world.alice, name="Globex", owner=world.alice)
    catalog.set_tenants(target, actor=None, tenants=[other])
    theirs = world.issue_for(other)
    gateway.refresh()
    assert refusal(ask(gateway, ANTHROPIC, model="fast")) == CLOSED.format("fast")
    assert ask(gateway, ANTHROPIC, model="fast", key=theirs).status_code == 200
    assert "fast" not in listed(gateway)
    assert "fast" in listed(gateway, theirs)


def test_models_that_a_policy_leaves_to_nobody_are_not_listed_and_say_why(gateway, world):
    policy = policies.create_policy(actor=world.alice, name="eu-only", required_tags=["eu"])
    policies.assign(policy, actor=world.alice, key=world.key_row)
    Provider.objects.filter(name__startswith="gpt").update(tags=["eu"])
    world.touch_catalog()
    free = world.issue()
    gateway.refresh()
    assert listed(gateway) == {"gpt-test"}
    assert listed(gateway, free) == {"gpt-test", "claude-test"}
    one = gateway.client.get("/v1/models/claude-test", headers={"x-api-key": world.key})
    why = "policy eu-only allows no deployment of claude-test"
    assert refusal(one) == refusal(ask(gateway, ANTHROPIC)) == why
    assert explained(gateway, body_of(ANTHROPIC))["refusal"]["message"] == why
    unnamed = ask(gateway, "/chat", body=b'{"prompt": "Hello"}')
    assert unnamed.status_code == 200, "the one that is left needs no name"


def test_a_model_of_which_a_policy_leaves_one_deployment_is_listed_and_answers(gateway, world, simulator):
    model = world.model("claude-both")
    world.deploy("claude-both", upstream="claude-there", model=model, priority=0)
    world.deploy("claude-both", upstream="claude-here", model=model, priority=1, tags=["eu"])
    policy = policies.create_policy(actor=world.alice, name="eu-only", required_tags=["eu"])
    policies.assign(policy, actor=world.alice, key=world.key_row)
    gateway.refresh()
    assert listed(gateway) == {"claude-both"}
    assert ask(gateway, ANTHROPIC, model="claude-both").status_code == 200
    assert simulator.calls(last=1)[0]["body"]["model"] == "claude-here"


@pytest.mark.parametrize("asked", ["claude-sees", "sees"])
@pytest.mark.parametrize("kept", ["claude-sees", "sees"])
def test_a_key_that_lists_any_name_of_a_model_may_use_it_by_each(gateway, world, target, kept, asked):
    catalog.update_model(target, actor=None, aliases=["sees"])
    catalog.update_model(Model.objects.get(name="blind"), actor=None, aliases=["dark"])
    key = world.issue(models=[kept, "dark"])
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, key=key, model=asked).status_code == 200
    assert ask(gateway, ANTHROPIC, key=key, model="blind", change=SEES).status_code == 200
    assert listed(gateway, key) == {"claude-sees", "blind"}
    assert ask(gateway, ANTHROPIC, key=key, model="claude-test").status_code == 404
