"""An answer that was given before is given again: to whom, as what, and what the ledger says of it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import Sum

from apps.catalog import services as catalog
from apps.gateway import kept
from apps.policies import services as policies
from apps.runtime import clock
from apps.tenants import services as tenants
from apps.usage import rollups
from apps.usage.books import verify
from apps.usage.models import Cached, Entry, HourlyRollup
from tests import services
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, frames
from tests.gateway.conftest import Gateway
from tests.gateway.sockets import call, leave
from tests.servers import until

pytestmark = pytest.mark.django_db(transaction=True)

RESPONSES, COMPLETIONS, EMBEDDINGS, CHAT = "/v1/responses", "/v1/completions", "/v1/embeddings", "/chat"
SURE = {"temperature": 0, "max_tokens": None}
WORDS = "Say hello."
TOLD = {
    ANTHROPIC: {"model": "claude-test", "max_tokens": 64, "messages": [{"role": "user", "content": WORDS}]},
    OPENAI: {"model": "gpt-test", "messages": [{"role": "user", "content": WORDS}]},
    RESPONSES: {"model": "gpt-test", "input": WORDS},
    COMPLETIONS: {"model": "gpt-test", "prompt": WORDS, "max_tokens": 64, "echo": True},
    CHAT: {"model": "gpt-test", "prompt": WORDS},
}


@pytest.fixture
def world(world, monkeypatch):
    """A machine that tests on all its processors is quick enough in a second."""
    monkeypatch.setattr(kept, "DEADLINE_SECONDS", 1.0)
    for name in ("claude-test", "gpt-test"):
        keeps(world, name)
    return world


def keeps(world, name: str, **fields):
    model = catalog.Model.objects.get(name=name)
    return policies.create_cache(actor=world.alice, **{"model": model, "ttl_seconds": 600} | fields)


@pytest.fixture
def gateway(gateway):
    until(lambda: gateway.engine.shelf.is_up)
    return gateway


def asked(gateway, path, **change):
    headers = change.pop("headers", None)
    key = {"key": change.pop("key")} if "key" in change else {}
    usage = {"stream_options": {"include_usage": True}} if change.get("stream") else {}
    usage = usage if path in (OPENAI, COMPLETIONS) else {}
    body = json.dumps(TOLD[path] | {"temperature": 0} | usage | change).encode()
    answer = ask(gateway, path, body=body, headers=headers, **key)
    assert answer.status_code == 200, answer.text
    return answer


def result(answer) -> str:
    return answer.headers.get("x-weir-cache", "")


def said(path, answer, stream: bool) -> str:
    """Its text."""
    if not stream:
        body = answer.json()
        found = {
            ANTHROPIC: lambda: body["content"][0]["text"],
            OPENAI: lambda: body["choices"][0]["message"]["content"],
            RESPONSES: lambda: body["output"][-1]["content"][0]["text"],
            COMPLETIONS: lambda: body["choices"][0]["text"],
            CHAT: lambda: body["text"],
        }[path]()
        assert found
        return found
    parts = []
    for _, data in frames(answer.text):
        if data == "[DONE]":
            continue
        if path == ANTHROPIC and data["type"] == "content_block_delta":
            parts.append(data["delta"]["text"])
        elif path == OPENAI and data["choices"]:
            parts.append(data["choices"][0]["delta"].get("content") or "")
        elif path == RESPONSES and data["type"] == "response.output_text.delta":
            parts.append(data["delta"])
        elif path == COMPLETIONS and data["choices"]:
            parts.append(data["choices"][0]["text"])
        elif path == CHAT:
            parts.append(data.get("text", ""))
    return "".join(parts)


def usage(path, answer, stream: bool) -> tuple[int, int]:
    """Tokens that went in and out, as the answer says."""
    if not stream:
        told = answer.json()["usage"]
    elif path == ANTHROPIC:
        told = {}
        for _, data in frames(answer.text):
            told |= data.get("usage") or data.get("message", {}).get("usage", {})
    else:
        last = [data for _, data in frames(answer.text) if data != "[DONE]"][-1]
        told = last.get("response", last)["usage"]
    into, out = (
        ("prompt_tokens", "completion_tokens")
        if path in (OPENAI, COMPLETIONS)
        else (
            "input_tokens",
            "output_tokens",
        )
    )
    return told[into], told[out]


@pytest.mark.parametrize("first", [False, True], ids=["whole first", "stream first"])
@pytest.mark.parametrize("path", TOLD)
def test_an_equal_question_is_answered_again_whichever_way_it_is_asked(gateway, simulator, path, first):
    before = simulator.seen()
    paid = asked(gateway, path, stream=first)
    assert (result(paid), simulator.seen()) == ("miss", before + 1)
    gateway.settle()
    again = [(stream, asked(gateway, path, stream=stream)) for stream in (first, not first)]
    assert simulator.seen() == before + 1
    assert [(result(answer), int(answer.headers["age"]) < 100) for _, answer in again] == [("hit", True)] * 2
    assert {said(path, answer, stream) for stream, answer in again} == {said(path, paid, first)}
    assert {usage(path, answer, stream) for stream, answer in again} == {usage(path, paid, first)}
    gateway.settle()
    one, *hits = Entry.objects.order_by("id")
    assert (one.cached, one.saved_nano) == (None, None)
    for entry, (stream, answer) in zip(hits, again, strict=True):
        assert (entry.cached, entry.saved_nano, entry.cost_nano, entry.out_total) == (Cached.EXACT, one.cost_nano, 0, 0)
        assert entry.saved_tokens == one.in_fresh + one.out_total
        assert (entry.deployment_id, entry.provider_id, entry.stream) == (one.deployment_id, one.provider_id, stream)
        assert (entry.status, entry.stop_reason, entry.price_version) == ("ok", one.stop_reason, one.price_version)
        assert entry.trail[-1].startswith("cache hit: exact, ")
        assert entry.request_id.hex in answer.headers["request-id" if path == ANTHROPIC else "x-request-id"]
        assert entry.request_id.hex in answer.text or path == CHAT, "the answer has an id of its own"
        assert one.request_id.hex not in answer.text


def test_the_books_are_true_and_sum_up_what_was_saved(gateway):
    for _ in range(3):
        asked(gateway, ANTHROPIC)
    gateway.settle()
    paid = Entry.objects.get(cached=None)
    rollups.roll_up()
    sums = HourlyRollup.objects.aggregate(**{name: Sum(name) for name in ("calls", "hits", "saved_nano", "cost_nano")})
    assert sums == {"calls": 3, "hits": 2, "saved_nano": 2 * paid.cost_nano, "cost_nano": paid.cost_nano}
    assert verify.run().violations == 0


def test_nobody_is_given_what_was_kept_for_another(gateway, world, simulator):
    """Whoever differs in what a key is made of is a miss; asking again is a hit, so each was kept by itself."""
    other = tenants.create_tenant(actor=world.alice, name="Globex")
    model = catalog.Model.objects.get(name="gpt-test")
    keys = [
        world.key,
        world.issue_for(other),
        world.issue(models=[model.name]),
        world.issue(models=[model.name, "claude-test"]),
    ]
    gateway.refresh()
    for key in keys:
        assert result(asked(gateway, OPENAI, key=key)) == "miss"
    for key in [*keys, world.issue()]:
        assert result(asked(gateway, OPENAI, key=key)) == "hit"
    changes = [
        lambda: catalog.set_price(model.deployments.get(), actor=world.alice, input=1, output=2),
        lambda: catalog.update_deployment(model.deployments.get(), actor=world.alice, upstream_model="gpt-other"),
    ]
    cache = model.cache_policy
    changes += [
        lambda: policies.assign(
            policies.create_policy(actor=world.alice, name="eu", forbidden_tags=["china"]),
            actor=world.alice,
            tenant=world.tenant,
        ),
        lambda: call_command("forget_answers", "--model", model.name, stdout=StringIO()),
        lambda: policies.forget_answers(cache, actor=world.alice),
        lambda: policies.forget_tenant(world.tenant, actor=world.alice),
        lambda: policies.forget_tenant(world.tenant, actor=world.alice),
        lambda: (policies.remove_cache(cache, actor=world.alice), keeps(world, model.name)),
    ]
    for change in changes:
        assert result(asked(gateway, OPENAI)) == "hit"
        change()
        gateway.refresh()
        assert result(asked(gateway, OPENAI)) == "miss"


def test_twenty_who_ask_at_once_are_one_call_upstream(gateway, world, simulator):
    world.deploy("claude-pace-5-tokens-20", upstream="claude-pace-5-tokens-20")
    keeps(world, "claude-pace-5-tokens-20")
    gateway.refresh()
    before = simulator.seen()
    with ThreadPoolExecutor(20) as pool:
        told = list(
            pool.map(
                lambda turn: asked(gateway, ANTHROPIC, model="claude-pace-5-tokens-20", stream=turn % 2 == 0),
                range(20),
            )
        )
    assert simulator.seen() == before + 1
    assert sorted(map(result, told)) == ["hit"] * 19 + ["miss"]
    assert len({said(ANTHROPIC, answer, turn % 2 == 0) for turn, answer in enumerate(told)}) == 1


def test_when_the_first_client_leaves_another_takes_its_place(gateway, world, simulator):
    name = "claude-slow-700-tokens-4"
    world.deploy(name, upstream=name)
    keeps(world, name)
    gateway.refresh()
    before = simulator.seen()
    body = TOLD[ANTHROPIC] | {"model": name, "temperature": 0}
    first = call(gateway, ANTHROPIC, **body)
    until(lambda: simulator.seen() == before + 1)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(asked, gateway, ANTHROPIC, model=name) for _ in range(3)]
        leave(first, "rst")
        told = [each.result() for each in waiting]
    assert sorted(map(result, told)) == ["hit", "hit", "miss"]
    assert simulator.seen() == before + 2


def test_only_whole_answers_to_sure_questions_are_kept_and_only_as_long_as_they_may_be(gateway, world, monkeypatch):
    for change in ({"temperature": 1}, {"n": 2}):
        assert [result(asked(gateway, OPENAI, **change)) for _ in range(2)] == ["skip", "skip"]
    long = [{"role": "user", "content": "x" * 2 * 1024 * 1024}]
    assert result(asked(gateway, OPENAI, messages=long)) == "skip", "to tell it apart would hold up everybody"
    for change in ({"max_tokens": 1}, {"max_completion_tokens": 1}):
        assert [result(asked(gateway, OPENAI, **change)) for _ in range(2)] == ["miss", "miss"], "it was cut short"
    assert [result(asked(gateway, OPENAI, headers={"x-weir-cache": word})) for word in ("skip", "use", "refresh")] == [
        *("skip", "miss", "refresh")
    ]
    assert result(asked(gateway, OPENAI)) == "hit"
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + 601)
    assert result(asked(gateway, OPENAI)) == "miss"


def test_who_has_no_policy_is_told_nothing_and_who_has_to_ask_is_told_what_came_of_it(gateway, world):
    world.deploy("claude-plain", upstream="claude-upstream")
    world.deploy("claude-asked", upstream="claude-upstream")
    world.deploy("claude-tokens-900", upstream="claude-tokens-900")
    keeps(world, "claude-asked", is_always=False, is_forced=True)
    keeps(world, "claude-test", model=None, key=world.key_row, max_bytes=1_000)
    gateway.refresh()
    other = world.issue()
    use = {"x-weir-cache": "use"}
    chance = {"model": "claude-asked", "temperature": 1, "key": other}
    assert [result(asked(gateway, ANTHROPIC, model="claude-plain", key=other, headers=use)) for _ in range(2)] == [
        "",
        "",
    ]
    assert [result(asked(gateway, ANTHROPIC, **chance)) for _ in range(2)] == ["", ""]
    assert [result(asked(gateway, ANTHROPIC, **chance, headers=use)) for _ in range(2)] == ["miss", "hit"]
    large = [result(asked(gateway, ANTHROPIC, model="claude-tokens-900", max_tokens=2_000)) for _ in range(2)]
    assert large == ["miss", "miss"], "its answer is too large for the key's own policy"


@pytest.mark.redis
def test_without_its_server_calls_go_on_and_nothing_is_kept(world, settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{services.free_port()}/0"
    running = Gateway(world)
    try:
        assert [result(asked(running, ANTHROPIC)) for _ in range(2)] == ["miss", "miss"]
    finally:
        running.stop()
