"""Clients that stop reading: cut off in time, with little held for them, and then as if they had left."""

from __future__ import annotations

import time

import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC
from tests.gateway.sockets import call, read_until
from tests.servers import until

pytestmark = pytest.mark.django_db(transaction=True)

READERS = 20
HELD_BYTES = 128 * 1024
TOKENS = 30_000
MODEL = f"claude-tokens-{TOKENS}-ignore-max"


@pytest.fixture
def stalled(world, settings, request):
    """Readers of a flood, of whom none reads on."""
    settings.WEIR_STALL_SECONDS = 1.0
    gateway = request.getfixturevalue("gateway")
    opened = []

    def open_some(count: int):
        for _ in range(count):
            raw = call(gateway, ANTHROPIC, model=MODEL, receive_buffer=4096, stream=True)
            assert raw.recv(1)
            opened.append(raw)
        return gateway

    yield open_some
    for raw in opened:
        raw.close()


def held(gateway) -> list[int]:
    """Bytes in this process for each connection and the upstream behind it. On the gateway's own loop."""

    async def look() -> list[int]:
        connections = [each.transport.get_write_buffer_size() for each in gateway._server.server_state.connections]
        calls = list(gateway.engine.configuration.underway._ends)
        bodies = [ctx.attempts[-1].answer._body._response.content._size for ctx in calls]
        return [sum(pair) for pair in zip(sorted(connections), sorted(bodies), strict=False)]

    return gateway.call(look())


def test_little_is_held_for_them_and_they_are_cut_off_in_time(stalled, world, simulator):
    world.deploy(MODEL, upstream=MODEL)
    gateway = stalled(0)
    gateway.refresh()
    before = len(simulator.readings())
    started = time.monotonic()
    stalled(READERS)
    most = 0
    while any(reading.outcome == "open" for reading in simulator.readings()[before:]):
        most = max([most, *held(gateway)])
        assert time.monotonic() - started < 30
    print(most, time.monotonic() - started)
    assert 0 < most <= HELD_BYTES
    gateway.settle()
    rows = Entry.objects.all()
    assert {(row.status, row.state, row.usage_source) for row in rows} == {("client_gone", "settled", "estimated")}
    assert len(rows) == READERS
    assert all(row.out_total < TOKENS for row in rows)


def test_one_whose_provider_bills_anyway_is_heard_out(stalled, world, simulator):
    world.deploy(MODEL, upstream=MODEL, on_disconnect="drain")
    stalled(0).refresh()
    stalled(1)
    assert simulator.last().outcome == "end"
    stalled(0).settle()
    row = Entry.objects.get()
    assert (row.status, row.usage_source, row.out_total) == ("client_gone", "provider", TOKENS)


def test_one_that_reads_slowly_has_it_all(stalled, world, gateway):
    world.deploy(MODEL, upstream=MODEL)
    gateway.refresh()
    with call(gateway, ANTHROPIC, model="claude-test", receive_buffer=4096, stream=True) as raw:
        assert b"message_stop" in read_until(raw, b"message_stop")


def test_one_that_never_takes_the_end_of_an_answer_keeps_no_connection(stalled, world, gateway):
    """Less than what is ever waited for in the middle of a stream: it lies in the system's buffers."""
    world.deploy("claude-tokens-2000-ignore-max", upstream="claude-tokens-2000-ignore-max")
    gateway.refresh()
    raw = call(gateway, ANTHROPIC, model="claude-tokens-2000-ignore-max", receive_buffer=4096, stream=True)
    assert raw.recv(1)
    gateway.settle()
    assert Entry.objects.get().status == "ok"
    until(lambda: not gateway._server.server_state.connections)
    raw.close()
