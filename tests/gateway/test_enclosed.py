"""What lies at the URLs of a call is looked into before it is sent: blocked, routed and masked as what stands in the
body. The files lie on a real server, and the provider is asked what it saw."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from apps.gateway import policy, readers
from apps.policies import services as policies
from apps.policies.models import Intervention
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, ask, told
from tests.shelf import Shelf

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
CARD = "4111 1111 1111 1111"
RESPONSES, COUNT = "/v1/responses", "/v1/messages/count_tokens"
PDF = b"%PDF-1.4 " + CARD.encode()
FILES = {
    "/card.txt": f"Pay with {CARD}, please.".encode(),
    "/wide.txt": f"Pay with {CARD}, please.".encode("utf-16"),
    "/plain.txt": "Grüße".encode(),
    "/long.txt": b"so many words " * 5_000,
    "/card.pdf": PDF,
    "/a.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
}


@pytest.fixture
def shelf(settings) -> Iterator[Shelf]:
    settings.WEIR_FETCH_NETWORKS = ["127.0.0.1/32"]
    running = Shelf(FILES)
    yield running
    running.stop()


@pytest.fixture
def deployed(world, gateway):
    world.deploy("llama-test", upstream="qwen3:8b")
    gateway.refresh()


def hold(world, gateway, action, **policy):
    made = policies.create_policy(actor=world.alice, name="pci", rules={"card": (action, "")}, **policy)
    policies.assign(made, actor=world.alice, tenant=world.tenant)
    gateway.refresh()


def asking(path: str, url: str) -> dict[str, Any]:
    if path == RESPONSES:
        turns = [{"role": "user", "content": [{"type": "input_file", "file_url": url}]}]
        return {"input": turns, "messages": None, "max_tokens": None}
    return {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": url}}]}]}


def done(gateway) -> list[tuple[str, dict[str, int], int]]:
    configuration = gateway.engine.configuration
    gateway.call(configuration._noting.ask(configuration.findings.interventions.flush))
    return [(row.action, row.kinds, row.attempt) for row in Intervention.objects.order_by("id")]


@pytest.mark.parametrize("path", [ANTHROPIC, RESPONSES])
@pytest.mark.parametrize("name", ["/card.txt", "/card.pdf"])
def test_what_is_blocked_reaches_no_provider(gateway, world, simulator, shelf, deployed, caplog, path, name):
    model = "llama-test" if name.endswith("txt") else "gpt-test" if path == ANTHROPIC else "llama-test"
    hold(world, gateway, "block")
    seen = simulator.seen()
    response = ask(gateway, path, model=model, change=asking(path, shelf.url + name))
    assert response.status_code == 403
    assert "policy pci found card in what lies at a URL" in response.json()["error"]["message"]
    assert "1111" not in response.text
    assert simulator.seen() == seen
    assert shelf.paths() == [name]
    gateway.settle()
    assert Entry.objects.count() == 0
    assert done(gateway) == [("block", {"card": 1}, 0)]
    assert "1111" not in caplog.text


def test_what_holds_nothing_is_sent_and_pictures_are(gateway, world, simulator, shelf, deployed):
    hold(world, gateway, "block")
    response = ask(gateway, ANTHROPIC, model="llama-test", change=asking(ANTHROPIC, f"{shelf.url}/plain.txt"))
    assert response.status_code == 200, response.text
    assert "Grüße" in json.dumps(simulator.calls()[-1]["body"], ensure_ascii=False)
    picture = {"type": "image", "source": {"type": "url", "url": f"{shelf.url}/a.png"}}
    change = {"messages": [{"role": "user", "content": [picture]}]}
    assert ask(gateway, ANTHROPIC, model="llama-test", change=change).status_code == 200
    assert base64.b64encode(FILES["/a.png"]).decode() in json.dumps(simulator.calls()[-1]["body"])
    assert done(gateway) == []


def test_what_is_routed_goes_to_providers_with_the_tag_alone(gateway, world, simulator, shelf):
    world.deploy("llama-open", upstream="qwen3:8b")
    world.deploy("llama-private", upstream="qwen3:4b", tags=["private"])
    hold(world, gateway, "route", route_tag="private")
    change = asking(ANTHROPIC, f"{shelf.url}/card.txt")
    assert ask(gateway, ANTHROPIC, model="llama-private", change=change).status_code == 200
    assert CARD in json.dumps(simulator.calls()[-1]["body"])
    seen = simulator.seen()
    refused = told(ANTHROPIC, ask(gateway, ANTHROPIC, model="llama-open", change=change), 403)
    assert "tag private missing" in refused
    assert simulator.seen() == seen
    gateway.settle()
    assert "found at a URL: card x1, routed to private" in Entry.objects.get().trail
    assert done(gateway) == [("route", {"card": 1}, 1)] * 2


def test_what_was_routed_is_not_given_to_the_next_without_the_tag(gateway, world, simulator, shelf):
    model = world.model("llama-both")
    world.deploy("llama-both", upstream="qwen-500", model=model, priority=0, tags=["private"])
    world.deploy("llama-both", upstream="qwen3:8b", model=model, priority=1)
    world.deploy("claude-both", upstream="claude-fetches", model=model, priority=2)
    hold(world, gateway, "route", route_tag="private")
    response = ask(gateway, ANTHROPIC, model="llama-both", change=asking(ANTHROPIC, f"{shelf.url}/card.txt"))
    assert "tag private missing" in told(ANTHROPIC, response, 403)
    assert simulator.calls()[-1]["body"]["model"] == "qwen-500"
    assert shelf.paths() == ["/card.txt"]


@pytest.mark.parametrize("name", ["/card.txt", "/wide.txt"])
def test_what_is_masked_is_not_in_what_is_sent(gateway, world, simulator, shelf, deployed, name):
    hold(world, gateway, "mask")
    response = ask(gateway, ANTHROPIC, model="llama-test", change=asking(ANTHROPIC, shelf.url + name))
    seen = json.dumps(simulator.calls()[-1]["body"]) if response.status_code == 200 else ""
    assert "1111" not in response.text
    if name == "/card.txt":
        assert "Pay with [card], please." in seen
        assert done(gateway) == [("mask", {"card": 1}, 1)]
    else:  # no provider is sent UTF-16 as a text; masked, it is one
        assert response.status_code == 400 or "Pay with [card], please." in seen


def test_what_is_masked_is_not_left_to_a_provider_that_fetches_it(gateway, world, simulator, shelf):
    model = world.model("llama-both")
    world.deploy("llama-both", upstream="qwen-500", model=model, priority=0)
    world.deploy("claude-both", upstream="claude-fetches", model=model, priority=1)
    hold(world, gateway, "mask")
    response = ask(gateway, ANTHROPIC, model="llama-both", change=asking(ANTHROPIC, f"{shelf.url}/card.txt"))
    assert "fetches it itself" in told(ANTHROPIC, response, 403)
    assert simulator.calls()[-1]["body"]["model"] == "qwen-500"


def test_what_is_masked_blocks_where_bytes_are_relayed(gateway, world, simulator, shelf):
    world.deploy("titan-claude", upstream="us.anthropic.claude-sonnet-4-6-v1:0")
    hold(world, gateway, "mask")
    seen = simulator.seen()
    response = ask(gateway, ANTHROPIC, model="titan-claude", change=asking(ANTHROPIC, f"{shelf.url}/card.pdf"))
    assert "byte for byte" in told(ANTHROPIC, response, 403)
    assert simulator.seen() == seen


@pytest.mark.parametrize("action", ["block", "mask"])
def test_what_takes_too_long_is_refused_and_written_down(
    gateway, world, simulator, shelf, deployed, monkeypatch, action
):
    hold(world, gateway, action)
    monkeypatch.setattr(policy, "MOST_SECONDS", 0.0)
    monkeypatch.setattr(readers, "SLICE_SECONDS", 0.0)
    seen = simulator.seen()
    response = ask(gateway, ANTHROPIC, model="llama-test", change=asking(ANTHROPIC, f"{shelf.url}/long.txt"))
    assert "takes too long to be looked into" in told(ANTHROPIC, response, 403)
    assert simulator.seen() == seen
    assert done(gateway) == [("block", {}, 1)]


def test_counting_sends_nothing_either(gateway, world, simulator, shelf):
    world.deploy("titan-claude", upstream="us.anthropic.claude-sonnet-4-6-v1:0")
    hold(world, gateway, "block")
    seen = simulator.seen()
    change = asking(ANTHROPIC, f"{shelf.url}/card.pdf") | {"max_tokens": None}
    response = ask(gateway, COUNT, model="titan-claude", change=change)
    assert "found card in what lies at a URL" in told(ANTHROPIC, response, 403)
    assert simulator.seen() == seen
