"""Where calls go by what they need, and what a caller is told whom nobody can answer."""

from __future__ import annotations

import msgspec
import pytest

from apps.catalog import services as catalog
from apps.domain.snapshot import DataPolicy, Policies
from apps.gateway.conversations import conversations
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
PICTURE_URL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "_places", {})


def seeing(*parts):
    return {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": "What is it?"}]}]}


def last(gateway):
    gateway.settle()
    row = Entry.objects.order_by("id").last()
    return row.upstream_model, [step for step in row.trail if step.startswith(("chose", "skipped"))]


def test_a_virtual_model_is_answered_by_its_fallbacks_in_their_order(gateway, world):
    fast = world.model("fast", aliases=["quick"])
    for name in ("claude-test", "gpt-test"):
        catalog.add_fallback(
            fast, actor=None, target=catalog.Model.objects.get(name=name), position=1 + name.startswith("c")
        )
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, model="quick").status_code == 200
    assert last(gateway) == ("gpt-upstream", ["chose gpt-test gpt-upstream: fallback gpt-test, priority 0"])
    at_gpt = catalog.Deployment.objects.get(upstream_model="gpt-upstream")
    catalog.update_deployment(at_gpt, actor=None, is_enabled=False)
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, model="fast").status_code == 200
    assert last(gateway)[0] == "claude-upstream"


def test_a_call_goes_to_who_can_answer_it_and_its_conversation_stays_there(gateway, world):
    model = world.model("claude-two", capabilities=["budget_thinking"])
    blind = world.deploy("claude-two", upstream="claude-blind", model=model)
    sees = world.deploy("claude-two", upstream="claude-lenient", model=model, priority=1)
    catalog.update_deployment(blind, actor=None, capabilities=["text", "no_tools"])
    catalog.update_deployment(sees, actor=None, defaults=["tools"], capabilities=["vision"])
    catalog.update_deployment(blind, actor=None, upstream_model="plain")
    catalog.update_model(model, actor=None, name="plain-two")
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, model="plain-two", change=seeing(PICTURE)).status_code == 200
    skipped = "skipped claude-two claude-blind: no vision"
    assert last(gateway) == ("claude-lenient", [skipped, "chose claude-two claude-lenient: priority 1"])
    assert ask(gateway, ANTHROPIC, model="plain-two").status_code == 200
    assert last(gateway)[0] == "plain", "by priority, as nothing is needed"
    ask(gateway, ANTHROPIC, model="plain-two", change=seeing(PICTURE))
    again = seeing(PICTURE)["messages"] + [{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]
    ask(gateway, ANTHROPIC, model="plain-two", change={"messages": again})
    assert "answered this conversation before" in last(gateway)[1][-1]


@pytest.mark.parametrize(("path", "picture"), [(ANTHROPIC, PICTURE), (OPENAI, PICTURE_URL)])
def test_whom_nobody_can_answer_is_told_why_in_its_own_dialect(path, picture, gateway, world):
    model = world.model("claude-blind", capabilities=["text"])
    world.deploy("claude-blind", upstream="u1", model=model, tags=["private"])
    world.deploy("claude-blind", upstream="u2", model=model, region="us")
    catalog.update_model(model, actor=None, name="blind")
    gateway.refresh()
    configuration = gateway.engine.configuration

    def refused(policy=None, **change):
        snapshot = configuration.snapshot
        policies = Policies(everyone=(policy,) if policy else ())
        configuration.snapshot = msgspec.structs.replace(snapshot, policies=policies)
        response = ask(gateway, path, model="blind", change=change)
        configuration.snapshot = snapshot
        assert not any(
            secret in response.text for secret in ("u1", "u2", "private", "claude-blind", "no deployment can")
        )
        return response.status_code, response.json()["error"]["type"], response.json()["error"]["message"]

    vision = "no deployment of blind offers vision"
    assert refused(**seeing(picture)) == (400, "invalid_request_error", vision)
    only = DataPolicy(id=1, name="own-only", required_tags=frozenset({"private"}))
    assert refused(only, **seeing(picture)) == (400, "invalid_request_error", f"{vision} under policy own-only")
    eu = DataPolicy(id=2, name="eu-only", regions=frozenset({"eu"}))
    assert refused(eu) == (403, "permission_error", "policy eu-only allows no deployment of blind")
