"""A silent upstream does not make the client's connection silent."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace

import pytest

from apps.domain.protocols.contract import Seen
from apps.gateway import relay
from tests.gateway.calls import ANTHROPIC, OPENAI, body_of

pytestmark = pytest.mark.once

FRAMES = {ANTHROPIC: b"event: ping", OPENAI: b": keepalive"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", FRAMES)
def test_a_silent_stream_gets_frames_that_clients_skip(gateway, world, monkeypatch, path):
    monkeypatch.setattr(relay, "KEEPALIVE_SECONDS", 0.2)
    world.scripted("stall-after-3")
    gateway.refresh()
    content = body_of(path, model="claude-stall-after-3", change={"stream": True})
    received = b""
    with gateway.client.stream("POST", path, content=content, headers={"x-api-key": world.key}) as response:
        for chunk in response.iter_raw():
            received += chunk
            if received.count(FRAMES[path]) >= 3:
                break
    assert received.count(FRAMES[path] + b"\n") >= 3
    assert b"\n\n" + FRAMES[path] in received


async def test_no_frame_gets_into_half_an_event_that_comes_while_one_is_planned():
    sent = []

    async def send(message):
        sent.append(message["body"])

    ctx = SimpleNamespace(wire=SimpleNamespace(keepalive=b": keepalive\n\n"), send=send)
    attempt, exchange = SimpleNamespace(outgrows=False), SimpleNamespace(seen=Seen())
    pulse = relay._Pulse(ctx, SimpleNamespace(attempt=attempt, exchange=exchange, first=b"data: {}\n\n"))
    pulse.tick(0.0)
    pulse.tick(relay.KEEPALIVE_SECONDS)
    pulse.last = b'data: {"half'
    await asyncio.sleep(0)
    assert sent == []
    pulse.last = b' of it"}\n\n'
    pulse.tick(3 * relay.KEEPALIVE_SECONDS)
    await asyncio.sleep(0)
    assert sent == [b": keepalive\n\n"]


async def test_a_checkpoint_comes_after_two_seconds_or_256_tokens_and_not_for_every_chunk():
    checkpoints = []
    attempt = SimpleNamespace(outgrows=False, checkpoint=lambda: checkpoints.append(seen.output_bytes))
    seen = Seen()
    pulse = relay._Pulse(
        SimpleNamespace(), SimpleNamespace(attempt=attempt, exchange=SimpleNamespace(seen=seen), first=b"")
    )
    for tick in range(40):  # four seconds of 100 bytes a second, then one of 4,000
        seen.output_bytes += 10
        pulse.has_moved = True
        pulse.tick(tick / 10)
    assert checkpoints == [210]
    for tick in range(40, 50):
        seen.output_bytes += 400
        pulse.has_moved = True
        pulse.tick(tick / 10)
    assert [after - before for before, after in itertools.pairwise(checkpoints)] == [590, 1_200, 1_200, 1_200]
