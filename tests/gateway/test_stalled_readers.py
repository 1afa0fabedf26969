"""Clients that stop reading: cut off in time, with little held for them, and then as if they had left."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC
from tests.gateway.sockets import call
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F17")]

READERS = 20
FULL_BYTES = 8 * 1024  # more than that is on its way only where a client does not take it
HELD_BYTES = 128 * 1024
TOKENS = 30_000
FLOOD = f"claude-tokens-{TOKENS}-ignore-max"
PACED = f"claude-pace-1-tokens-{TOKENS}-ignore-max"  # a thousand events a second: faster than any model


@pytest.fixture
def stalled(world, settings, request):
    """Readers of whom none reads on after the first byte."""
    settings.WEIR_STALL_SECONDS = 1.0
    gateway = request.getfixturevalue("gateway")
    opened = []

    def open_some(count: int, model: str):
        for _ in range(count):
            raw = call(gateway, ANTHROPIC, model=model, receive_buffer=4096, stream=True)
            assert raw.recv(1)
            opened.append(raw)

    yield open_some
    for raw in opened:
        raw.close()


def held(gateway) -> int:
    """The most bytes that this process holds for a client, and for an upstream. On its event loop."""
    unsent = [each.transport.get_write_buffer_size() for each in gateway._server.server_state.connections]
    calls = [ctx.attempts[-1].answer for ctx in gateway.engine.configuration.underway._ends if ctx.attempts]
    unread = [answer._body._response.content._size for answer in calls if answer is not None]
    return max(unsent, default=0) + max(unread, default=0)


@contextlib.contextmanager
def watched(gateway) -> Iterator[list[int]]:
    """What is held, looked at on the loop itself: from here it could be missed while the machine has other work."""
    found, over = [0], threading.Event()

    async def look() -> None:
        while not over.is_set():
            found.append(held(gateway))
            await asyncio.sleep(0.01)

    looking = asyncio.run_coroutine_threadsafe(look(), gateway._loop)
    try:
        yield found
    finally:
        over.set()
        looking.result(30)


def test_little_is_held_for_them_and_they_are_cut_off_in_time(stalled, world, gateway, simulator):
    world.deploy(PACED, upstream=PACED)
    gateway.refresh()
    before = len(simulator.readings())
    with watched(gateway) as found:
        stalled(READERS, PACED)
        until(lambda: all(reading.outcome != "open" for reading in simulator.readings()[before:]))
    assert FULL_BYTES < max(found) <= HELD_BYTES
    gateway.settle()
    rows = Entry.objects.all()
    assert {(row.status, row.state, row.usage_source) for row in rows} == {("client_gone", "settled", "estimated")}
    assert len(rows) == READERS
    assert all(row.out_total < TOKENS for row in rows)


def test_one_whose_provider_bills_anyway_is_heard_out(stalled, world, gateway, simulator):
    world.deploy(FLOOD, upstream=FLOOD, on_disconnect="drain")
    gateway.refresh()
    stalled(1, FLOOD)
    assert simulator.last().outcome == "end"
    gateway.settle()
    row = Entry.objects.get()
    assert (row.status, row.usage_source, row.out_total) == ("client_gone", "provider", TOKENS)


def test_one_that_reads_slowly_has_it_all(stalled, world, gateway):
    name = "claude-tokens-2000-ignore-max"
    world.deploy(name, upstream=name)
    gateway.refresh()
    received = b""
    with call(gateway, ANTHROPIC, model=name, receive_buffer=4096, stream=True) as raw:
        while b"message_stop" not in received[-1000:]:
            received += raw.recv(8192)
            time.sleep(0.02)  # the client's own pace
    gateway.settle()
    assert Entry.objects.get().status == "ok"


def test_one_that_never_takes_the_end_of_an_answer_keeps_no_connection(stalled, world, gateway):
    """All of the answer lies in the system's buffers: nobody but the system waits for it to be taken."""
    name = "claude-tokens-100-ignore-max"
    world.deploy(name, upstream=name)
    gateway.refresh()
    stalled(1, name)
    gateway.settle()
    assert Entry.objects.get().status == "ok"
    gateway.client.close()
    until(lambda: not gateway._server.server_state.connections)
