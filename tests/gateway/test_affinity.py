"""A conversation with signed thinking goes back to whoever signed it, or without what is signed; the row says so."""

from __future__ import annotations

import pytest

from apps.catalog import services as catalog
from apps.gateway import cooling as coolings
from apps.gateway import signatures as module
from apps.gateway.conversations import conversations
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
HOST = "127.0.0.1"  # the family of an address that anybody may stand behind
THINKS = {"type": "enabled", "budget_tokens": 1024}
ROOM = {"max_tokens": 3000, "thinking": THINKS}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.signatures, "_families", {})
    monkeypatch.setattr(coolings.cooling, "_rests", {})
    monkeypatch.setattr(conversations, "_places", {})


@pytest.fixture
def both(gateway, world):
    """One model at two vendors who sign their thinking. Which of them goes first is for `first` to say."""
    model = world.model("claude-both")
    rows = {}
    for vendor in ("anthropic", "anthropic_compatible"):
        rows[vendor] = world.deploy("claude-both", upstream=f"{vendor}-thinking", model=model, vendor=vendor)
    first(gateway, world, rows, "anthropic")
    return rows


def first(gateway, world, rows, vendor: str) -> None:
    for name, row in rows.items():
        catalog.update_deployment(row, actor=world.alice, priority=0 if name == vendor else 1)
    gateway.refresh()


def talk(gateway, messages, **change):
    response = ask(gateway, ANTHROPIC, model="claude-both", change={"messages": messages, **ROOM, **change})
    assert response.status_code == 200, response.text
    return response.json()["content"]


def entries(gateway):
    gateway.settle()
    return list(Entry.objects.order_by("id"))


def told_of(gateway):
    """Where the last call went, and what its row says."""
    row = entries(gateway)[-1]
    return row.upstream_model, row.trail


HELLO = {"role": "user", "content": "Say hello."}
MORE = {"role": "user", "content": "Go on."}


def test_a_conversation_goes_back_to_who_signed_it_whatever_the_priorities(gateway, world, both, simulator):
    content = talk(gateway, [HELLO])
    assert content[0]["type"] == "thinking"
    first(gateway, world, both, "anthropic_compatible")
    again = talk(gateway, [HELLO, {"role": "assistant", "content": content}, MORE])
    chose = "chose claude-both anthropic-thinking: made for what the conversation carries"
    assert told_of(gateway) == (
        "anthropic-thinking",
        [f"{chose}, answered this conversation before, priority 1", "signed by anthropic: tried first"],
    )
    assert simulator.calls()[-1]["body"]["messages"][1]["content"] == content, "byte for byte"
    assert again
    talk(gateway, [MORE])
    chose = "chose claude-both anthropic_compatible-thinking: priority 0"
    assert told_of(gateway) == ("anthropic_compatible-thinking", [chose]), (
        "other conversations go where they are meant to"
    )


def test_another_vendor_gets_it_without_what_is_signed(gateway, world, both, simulator):
    content = talk(gateway, [HELLO])
    catalog.update_deployment(both["anthropic"], actor=world.alice, is_enabled=False)
    gateway.refresh()
    talk(gateway, [HELLO, {"role": "assistant", "content": content}, MORE])
    assert told_of(gateway) == ("anthropic_compatible-thinking", ["thinking of anthropic dropped: 1"])
    sent = simulator.calls()[-1]["body"]["messages"][1]["content"]
    assert sent == [block for block in content if block["type"] != "thinking"]


def test_a_conversation_of_two_keeps_each_ones_own(gateway, world, both, simulator):
    first(gateway, world, both, "anthropic_compatible")
    two = talk(gateway, [HELLO])
    signature = "what-the-other-one-signed-before"
    module.signatures.remember("anthropic", [module.signed.mark(signature)])
    one = [{"type": "thinking", "thinking": "Hm.", "signature": signature}, {"type": "text", "text": "hello"}]
    history = [HELLO, {"role": "assistant", "content": one}, MORE, {"role": "assistant", "content": two}, MORE]
    first(gateway, world, both, "anthropic")
    talk(gateway, history)
    assert told_of(gateway) == (
        "anthropic_compatible-thinking",
        [
            "chose claude-both anthropic_compatible-thinking: made for what the conversation carries, "
            "answered this conversation before, priority 1",
            f"signed by {HOST}: tried first",
            "thinking of anthropic dropped: 1",
        ],
    )
    sent = simulator.calls()[-1]["body"]["messages"]
    assert [block["type"] for block in sent[1]["content"]] == ["text"]
    assert sent[3]["content"] == two


def test_streams_are_remembered_from_the_moment_that_they_pass(gateway, world, both):
    body = {"messages": [HELLO], **ROOM, "stream": True}
    text = ask(gateway, ANTHROPIC, model="claude-both", change=body).text
    signature = text.partition('"signature_delta","signature":"')[2].partition('"')[0]
    assert signature
    assert module.signatures._families == {module.signed.mark(signature): "anthropic"}


def test_what_nobody_knows_is_left_as_it_is_and_goes_to_who_speaks_its_dialect(gateway, world, simulator):
    model = world.model("claude-mixed")
    world.deploy("gpt-mixed", upstream="gpt-upstream", model=model, priority=0)
    world.deploy("claude-mixed", upstream="claude-lenient", model=model, priority=1)
    gateway.refresh()
    unknown = {"type": "thinking", "thinking": "Hm.", "signature": "from-before-this-process-was-started"}
    history = [HELLO, {"role": "assistant", "content": [unknown, {"type": "text", "text": "hi"}]}, MORE]
    ask(gateway, ANTHROPIC, model="claude-mixed", change={"messages": history, **ROOM})
    asked = simulator.calls()[-1]["body"]
    assert asked["model"] == "claude-lenient"
    assert asked["messages"][1]["content"][0] == unknown


def test_the_trail_says_what_a_translation_lost_and_not_what_was_in_it(gateway, world):
    response = ask(gateway, ANTHROPIC, model="gpt-test", change={"top_k": 3, "container": "c1"})
    assert response.status_code == 200
    assert entries(gateway)[-1].trail == [
        "translated anthropic_messages -> openai_chat",
        "dropped: container, top_k",
    ]
    ask(gateway, OPENAI, model="gpt-test")
    assert entries(gateway)[-1].trail == []


def test_memory_is_bounded_and_the_oldest_go_first():
    small = module.Signatures(most=3)
    for number in range(5):
        small.remember("f", [bytes([number])])
    small.remember("g", [bytes([2])])
    small.remember("f", [bytes([9])])
    assert list(small._families.items()) == [(b"\x04", "f"), (b"\x02", "g"), (b"\x09", "f")]
