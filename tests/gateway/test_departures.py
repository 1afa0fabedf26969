"""Clients that leave, at every moment and in every way: the provider is left or heard out, and there is a row."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from apps.gateway import departure
from apps.runtime.state import state
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask
from tests.gateway.sockets import call, leave, read_until
from tests.servers import until

# What a caller that leaves costs is no matter of the database: one pass suffices.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

NAMES = {ANTHROPIC: "claude", OPENAI: "gpt"}
WAYS = ("fin", "rst", "half-close")
DELTA = {ANTHROPIC: b"content_block_delta", OPENAI: b'"delta":{"content"'}
# All is said, only the counters and the terminator are to come.
SAID = {ANTHROPIC: b"event: content_block_stop", OPENAI: b'"finish_reason":"stop"'}
END = {ANTHROPIC: b"event: message_stop", OPENAI: b"data: [DONE]"}


class Moment(NamedTuple):
    """What the upstream does, and after which bytes of it the client leaves; None: when it has been called."""

    upstream: str
    mark: dict[str, bytes] | None = None


MOMENTS = {
    "before headers": Moment("slow-700-pace-5"),
    "before the first event": Moment("slow-headers-pace-5"),
    "in the middle": Moment("pace-40-tokens-60", DELTA),
    "before the counters": Moment("pace-150-tokens-4", SAID),
    "at the end": Moment("late-end-pace-5", END),
}


def left(gateway, simulator, path, moment: Moment, way: str):
    """A call that was left: its number among the provider's readings, when that was, in unix seconds, its socket."""
    before = len(simulator.readings())
    model = f"{NAMES[path]}-{moment.upstream}"
    options = {"stream_options": USAGE} if path == OPENAI else {}
    raw = call(gateway, path, model=model, stream=True, **PROMPT, **options)
    until(lambda: len(simulator.readings()) > before)
    if moment.mark is not None:
        read_until(raw, moment.mark[path])
    at = time.time()
    leave(raw, way)
    return before, at, raw


PROMPT = {"messages": [{"role": "user", "content": "Tell me more about the weather of the northern seas. " * 40}]}
USAGE = {"include_usage": True}


def booked(gateway) -> Entry:
    gateway.settle()
    row = Entry.objects.get()
    assert state.draining_calls == 0
    return row


def _learn(gateway, path: str, model: str) -> None:
    """What a token of this deployment weighs, from three answers that are heard out."""
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: ask(gateway, path, model=model, change=PROMPT), range(3)))
    assert [answer.status_code for answer in answers] == [200] * 3


@pytest.fixture
def departures(gateway, world, simulator, request):
    """Every moment and way of leaving under one policy, each with what was booked of it."""

    def made(path: str, policy: str):
        for moment in MOMENTS.values():
            name = f"{NAMES[path]}-{moment.upstream}"
            world.deploy(name, upstream=name, on_disconnect=policy)
        gateway.refresh()
        before = len(simulator.readings())
        for name, moment in MOMENTS.items():
            if moment.mark and policy == "cancel":
                _learn(gateway, path, f"{NAMES[path]}-{moment.upstream}")
            calls = [left(gateway, simulator, path, moment, way) for way in WAYS]
            until(lambda calls=calls: all(simulator.readings()[number].outcome != "open" for number, _, _ in calls))
            for _, _, raw in calls:
                raw.close()
            gateway.settle()
            for way, (number, at, _) in zip(WAYS, calls, strict=True):
                reading = simulator.readings()[number]
                request_id, _, attempt = reading.caller.rpartition("/")
                yield (name, way), reading, at, Entry.objects.get(request_id=request_id, attempt=int(attempt))
        assert Entry.objects.count() == len(simulator.readings()) - before
        assert state.draining_calls == 0

    return made


@pytest.mark.parametrize("path", NAMES)
def test_drained_calls_cost_to_the_token_what_the_provider_metered(departures, path):
    for case, reading, _, row in departures(path, "drain"):
        assert reading.outcome == "end", case
        assert (row.state, row.usage_source) == ("settled", "provider"), case
        assert (row.in_fresh, row.out_total) == (reading.billed.fresh, reading.billed.output), case
        assert row.status in ("client_gone", "ok"), case  # ok: it had all of it


@pytest.mark.parametrize("path", NAMES)
def test_cancelled_calls_leave_the_provider_within_a_second_and_are_estimated_closely(departures, path):
    """Estimated by what the same deployment's tokens weighed when they were counted."""
    took: dict[str, list[float]] = {}  # by moment
    for case, reading, at, row in departures(path, "cancel"):
        name, _ = case
        if name == "at the end":  # the client had all of it
            assert (row.status, row.usage_source) == ("ok", "provider"), case
            assert row.out_total == reading.billed.output, case
            continue
        assert (reading.outcome, row.status) == ("aborted", "client_gone"), case
        took.setdefault(name, []).append(reading.closed_at - at)
        if name in ("before headers", "before the first event"):  # whether it had begun is the provider's secret
            assert (row.state, row.low_nano, row.high_nano) == ("unconfirmed", 0, row.reserved_nano), case
            continue
        assert (row.state, row.usage_source) == ("settled", "estimated"), case
        metered, estimated = reading.billed.fresh + reading.billed.output, row.in_fresh + row.out_total
        assert estimated == pytest.approx(metered, rel=0.1, abs=3), case
    assert all(min(each) <= 1.0 for each in took.values()), took
    assert max(map(max, took.values())) <= 10.0, took  # on a machine that does much else


def test_no_more_are_heard_out_at_a_time_than_may_be(gateway, world, simulator, monkeypatch):
    monkeypatch.setattr(departure, "MAX_DRAINS", 1)
    world.scripted("stall-after-9", on_disconnect="drain", idle_timeout=1.0)
    gateway.refresh()
    calls = [call(gateway, ANTHROPIC, model="claude-stall-after-9", stream=True) for _ in range(2)]
    for raw in calls:
        read_until(raw, DELTA[ANTHROPIC])
    before = len(simulator.readings()) - 2
    calls[0].close()
    until(lambda: state.draining_calls == 1)
    calls[1].close()
    until(lambda: sum(reading.outcome == "open" for reading in simulator.readings()[before:]) == 1)
    assert state.draining_calls <= 1
    gateway.settle()
    assert (Entry.objects.filter(status="client_gone").count(), state.draining_calls) == (2, 0)


@pytest.mark.parametrize(
    ("bound", "most", "upstream"),
    [("DRAIN_SECONDS", 0.3, "stall-after-9"), ("DRAIN_BYTES", 2_000, "pace-20-tokens-4000-ignore-max")],
)
def test_nobody_is_heard_out_beyond_a_bound(gateway, world, simulator, monkeypatch, bound, most, upstream):
    monkeypatch.setattr(departure, bound, most)
    world.scripted(upstream, on_disconnect="drain")
    gateway.refresh()
    with call(gateway, ANTHROPIC, model=f"claude-{upstream}", stream=True) as raw:
        read_until(raw, DELTA[ANTHROPIC])
    assert simulator.last().emitted < 1000
    row = booked(gateway)
    assert (row.status, row.state, row.usage_source) == ("client_gone", "settled", "estimated")


def test_nobody_else_is_tried_for_a_client_that_has_left(gateway, world, simulator):
    model = world.model("claude-left")
    world.deploy("claude-left", upstream="claude-slow-700-dies-after-0", model=model, priority=0, on_disconnect="drain")
    world.deploy("claude-left", upstream="claude-upstream", model=model, priority=1)
    gateway.refresh()
    before = len(simulator.readings())
    raw = call(gateway, ANTHROPIC, model="claude-left", stream=True)
    until(lambda: len(simulator.readings()) > before)
    raw.close()
    booked(gateway)
    assert len(simulator.readings()) == before + 1
