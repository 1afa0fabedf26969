"""Calls that wait for a deployment, through the real gateway: their order, their leaving, and what they are told."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
import pytest

from apps.catalog import services as catalog
from apps.gateway.attempt import Attempt
from apps.quotas import leases, replicas, windows
from apps.runtime.rooms import rooms
from apps.tenants import services as tenants
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, MESSAGES, OPENAI, anthropic_error, ask, openai_error
from tests.gateway.sockets import call, leave, read_until
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

STALL = "stall"
_open: list[socket.socket] = []


@pytest.fixture
def beating(monkeypatch):
    """Processes hear of one another at once."""
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(replicas, "_live", 1)


@pytest.fixture(autouse=True)
def hung_up(beating, gateway):
    """Whoever still waits for an answer when a test is over would keep the gateway from ending."""
    yield
    while _open:
        _open.pop().close()


@pytest.fixture
def queued(gateway, world):
    """The models have one place each, and a queue."""
    rows = [price.deployment for price in world.prices.values()]
    change(gateway, world, rows, max_concurrency=1, queue_places=40, queue_seconds=60.0)
    return rows


def change(gateway, world, rows, **changes) -> None:
    for row in rows:
        catalog.update_deployment(row, actor=world.alice, **changes)
    gateway.refresh()


def waiting() -> int:
    return sum(room.waiting for room in tuple(rooms.open.values()))


def in_flight() -> int:
    return sum(room.in_flight for room in tuple(rooms.open.values()))


def called(*asked, **options) -> socket.socket:
    _open.append(call(*asked, **options))
    return _open[-1]


def held(gateway, simulator, path=ANTHROPIC, *, model="claude-test", key=""):
    """A call that has the place until it is left: the provider says nothing."""
    before = simulator.seen()
    raw = called(gateway, path, model=model, key=key, simulate=STALL)
    until(lambda: simulator.seen() > before)
    return raw


def queue(gateway, said: str, **options):
    """A call that says `said`, when it waits."""
    before = waiting()
    asked = [{"role": "user", "content": said}]
    raw = called(gateway, ANTHROPIC, **{"model": "claude-test", "messages": asked, **options})
    until(lambda: waiting() == before + 1)
    return raw


def said(simulator, *, since: int) -> list[str]:
    return [one["body"]["messages"][0]["content"] for one in simulator.calls()[-(simulator.seen() - since) :]]


def test_a_flood_and_anothers_few_calls_take_turns_and_keys_of_high_priority_gain_nothing_on_others(
    gateway, world, simulator, queued
):
    flooding, urgent = world.issue(), world.issue(priority=100)
    other = world.issue_for(tenants.create_tenant(actor=world.alice, name="Other", owner=world.alice))
    gateway.refresh()
    holder, before = held(gateway, simulator), simulator.seen()
    raws = [queue(gateway, f"flood {number}", key=flooding) for number in range(4)]
    raws += [queue(gateway, f"other {number}", key=other) for number in range(2)]
    raws += [queue(gateway, f"urgent {number}", key=urgent) for number in range(2)]
    leave(holder, "fin")
    answers = [read_until(raw, b"message") for raw in raws]
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert said(simulator, since=before) == [
        *("urgent 0", "other 0", "urgent 1", "other 1"),
        *(f"flood {number}" for number in range(4)),
    ]
    gateway.settle()
    assert not rooms.open
    waited = [entry.queue_ms for entry in Entry.objects.order_by("started_at")]
    assert waited[0] == 0
    assert min(waited[1:]) > 0
    trails = [entry.trail[0] for entry in Entry.objects.order_by("started_at") if entry.status == "ok"]
    assert all(trail.startswith("waited ") and " for claude-test claude-upstream, " in trail for trail in trails)
    assert [trail.rpartition(" ")[2] for trail in trails] == ["1st", "2nd", "3rd", "4th", "2nd", "4th", "1st", "3rd"]


@pytest.mark.parametrize("way", ["fin", "rst"])
def test_who_leaves_or_loses_the_key_frees_the_place_and_the_provider_never_hears_of_it(
    gateway, world, simulator, queued, way
):
    theirs = world.issue()
    holder, before = held(gateway, simulator, key=theirs), simulator.seen()
    first = queue(gateway, "stays", key=theirs)
    gone = queue(gateway, "leaves", key=theirs)
    revoked = queue(gateway, "is revoked")
    leave(gone, way)
    until(lambda: waiting() == 2)
    world.revoke()
    gateway.refresh()
    assert b"authentication_error" in read_until(revoked, b"stopped working")
    until(lambda: waiting() == 1)
    assert in_flight() == 1
    leave(holder, way)
    assert b"200 OK" in read_until(first, b"message")
    gateway.settle()
    assert said(simulator, since=before) == ["stays"]


def test_who_leaves_between_two_tries_keeps_no_place_where_it_was_to_go_next(gateway, world, monkeypatch):
    model, closing, leaves = world.model("claude-two", is_sticky=False), threading.Event(), Attempt.leave
    upstreams = ("claude-500", "claude-next")
    rows = [
        world.deploy("claude-two", upstream=upstream, model=model, priority=priority)
        for priority, upstream in enumerate(upstreams)
    ]
    change(gateway, world, rows, max_concurrency=1)

    async def dawdle(attempt: Attempt) -> None:
        """A connection that takes its time to close, once."""
        if not closing.is_set():
            closing.set()
            await asyncio.sleep(30)
        await leaves(attempt)

    monkeypatch.setattr(Attempt, "leave", dawdle)
    raw = called(gateway, ANTHROPIC, model="claude-two")
    assert closing.wait(10)
    assert in_flight() == 1
    leave(raw, "fin")
    until(lambda: not rooms.open)
    gateway.settle()
    assert [row.upstream_model for row in Entry.objects.all()] == ["claude-500"]


def test_who_finds_no_place_or_waits_in_vain_is_told_in_its_dialect_when_to_come_again(
    gateway, world, simulator, queued
):
    change(gateway, world, queued, queue_places=0)
    held(gateway, simulator)
    held(gateway, simulator, OPENAI, model="gpt-test")
    full = ask(gateway, ANTHROPIC)
    assert "full" in anthropic_error(full, 529, "overloaded_error")
    assert 1 <= int(full.headers["retry-after"]) <= 60
    assert openai_error(ask(gateway, OPENAI), 503, "queue_full")
    change(gateway, world, queued, queue_places=5, queue_seconds=0.02)
    late = ask(gateway, ANTHROPIC)
    assert "in vain" in anthropic_error(late, 529, "overloaded_error")
    told = openai_error(ask(gateway, OPENAI, change={"stream": True}), 503, "queue_timeout")
    assert "in vain" in told["message"], "a stream's status is open until its first event"
    reasons = {reason for (named, reason), count in rooms.refusals.items() if count and named.model == "gpt-upstream"}
    assert reasons == {"full", "timeout"}


def test_official_clients_see_an_overloaded_server_and_come_back_when_they_are_told_to(
    gateway, world, simulator, queued
):
    change(gateway, world, queued, queue_places=0, queue_seconds=0.5)
    holders = [held(gateway, simulator), held(gateway, simulator, OPENAI, model="gpt-test")]
    options = {"api_key": world.key}
    claude = anthropic.Anthropic(base_url=gateway.url, **options)
    gpt = openai.OpenAI(base_url=f"{gateway.url}/v1", **options)
    with pytest.raises(anthropic._exceptions.OverloadedError) as overloaded:
        claude.with_options(max_retries=0).messages.create(model="claude-test", max_tokens=9, messages=MESSAGES)
    with pytest.raises(openai.InternalServerError) as failed:
        gpt.with_options(max_retries=0).chat.completions.create(model="gpt-test", messages=MESSAGES)
    assert (overloaded.value.status_code, failed.value.status_code) == (529, 503)
    assert failed.value.code == "queue_full"
    waits = [int(error.value.response.headers["retry-after"]) for error in (overloaded, failed)]
    before, begun = sum(rooms.refusals.values()), time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(claude.messages.create, model="claude-test", max_tokens=9, messages=MESSAGES),
            pool.submit(gpt.chat.completions.create, model="gpt-test", messages=MESSAGES),
        ]
        until(lambda: sum(rooms.refusals.values()) == before + 2)
        for holder in holders:
            leave(holder, "fin")
        assert asked[0].result().role == "assistant"
        assert asked[1].result().choices
    assert time.monotonic() - begun >= min(waits)


def test_a_second_gateway_has_its_share_of_the_room_as_soon_as_it_is_heard_of(gateway, world, simulator, queued):
    change(gateway, world, queued, max_concurrency=3)
    windows.register("another")
    until(lambda: replicas.count() == 2)
    held(gateway, simulator)
    queue(gateway, "waits though two of three places are free: another gateway may be using them")
    assert in_flight() == 1


def test_what_cools_down_is_waited_for_and_asked_by_one_first(gateway, world, simulator, queued):
    change(gateway, world, queued, max_concurrency=None)
    before = simulator.seen()
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(ask, gateway, ANTHROPIC, headers={"x-simulate": f"429-then-ok,{next(_numbers)}"})
        until(lambda: waiting() == 1)
        others = [pool.submit(ask, gateway, ANTHROPIC) for _ in range(5)]
        until(lambda: waiting() == 6)
        assert simulator.seen() == before + 1, "nobody asks while it rests"
        assert {asked.result().status_code for asked in (first, *others)} == {200}
    gateway.settle()
    assert simulator.seen() == before + 7
    trails = [entry.trail for entry in Entry.objects.filter(status="ok")]
    assert all(any(step.startswith("waited ") for step in trail) for trail in trails)


_numbers = itertools.count()
