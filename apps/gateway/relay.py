"""Upstream events to client frames. What a frame looks like is the exchange's business; this room keeps the pace."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from apps.domain import errors
from apps.gateway import answers
from apps.runtime.failpoints import failpoint

if TYPE_CHECKING:
    from apps.gateway.context import RequestContext
    from apps.gateway.dispatch import Answered
    from apps.runtime.ticker import Ticker

# Claude Code gives up on a stream after five minutes without a byte, proxies after one; both count this frame.
KEEPALIVE_SECONDS = 15.0
# A checkpoint after so long, or so many bytes (256 tokens). Looked at ten times a second, so no chunk pays for it.
CHECKPOINT_SECONDS = 2.0
CHECKPOINT_BYTES = 1024
# Who was told that there is no more money is not told so again at once.
GROW_AGAIN_SECONDS = 0.5


async def relay(ctx: RequestContext, answered: Answered, ticker: Ticker) -> None:
    """Raises UpstreamError when the upstream fails on the way; the exchange has then sent no last frame."""
    if answered.body is not None:
        await answers.json(ctx, answered.body)
        return
    pulse = _Pulse(ctx, answered)
    await _begin(ctx, answered.first)
    ticker.add(pulse)
    try:
        await _pump(ctx, answered, pulse)
    except errors.UpstreamError:
        if not answered.attempt.is_finished:
            raise
        # The whole answer is out, only the connection did not end well.
        await ctx.send({"type": "http.response.body", "body": answered.exchange.close()})
    finally:
        ticker.discard(pulse)
        pulse.stop()
        ctx.midway = not pulse.between_events


async def _begin(ctx: RequestContext, first: bytes) -> None:
    headers = [answers.EVENT_STREAM, *answers.UNBUFFERED, *answers.headers_for(ctx)]
    ctx.status = 200
    await ctx.send({"type": "http.response.start", "status": 200, "headers": headers})
    await ctx.send({"type": "http.response.body", "body": first, "more_body": True})
    failpoint("relay.begun")


async def _pump(ctx: RequestContext, answered: Answered, pulse: _Pulse) -> None:
    exchange, send, next_chunk = answered.exchange, ctx.send, answered.answer.chunk
    feed, seen = exchange.feed, exchange.seen
    chunk = b""
    while chunk := await next_chunk(gathering=chunk.count(b"\n\n") > 1):
        if frames := feed(chunk):
            pulse.last = frames  # before it is sent: while a slow client takes it, a beat waits in line behind it
            await send({"type": "http.response.body", "body": frames, "more_body": True})
        pulse.has_moved = True
        if seen.error is not None:
            break
    await send({"type": "http.response.body", "body": exchange.close()})


class _Pulse:
    """At every tick: a checkpoint when one is due, more money for an answer that outgrows its reservation, and a frame
    that every client skips when the upstream has been silent for KEEPALIVE_SECONDS."""

    __slots__ = (
        "_at", "_attempt", "_checkpoint_at", "_checkpoint_bytes", "_ctx", "_grow_at", "_growing", "_seen", "_sending",
        "has_moved", "last",
    )  # fmt: skip

    def __init__(self, ctx: RequestContext, answered: Answered) -> None:
        self._ctx = ctx
        self._attempt = answered.attempt
        self._sending: asyncio.Task[None] | None = None
        self._at = math.inf  # when the last chunk was noticed
        self._seen = answered.exchange.seen
        self._checkpoint_at = math.inf
        self._checkpoint_bytes = CHECKPOINT_BYTES
        self._growing: asyncio.Task[None] | None = None
        self._grow_at = 0.0
        self.last = answered.first
        self.has_moved = True

    @property
    def between_events(self) -> bool:
        return self.last.endswith((b"\n\n", b"\r\n\r\n"))

    def tick(self, now: float) -> None:
        if self.has_moved:
            self.has_moved = False
            self._at = now
            if self._checkpoint_at == math.inf:
                self._checkpoint_at = now + CHECKPOINT_SECONDS
            elif now >= self._checkpoint_at or self._seen.output_bytes >= self._checkpoint_bytes:
                self._checkpoint_at = now + CHECKPOINT_SECONDS
                self._checkpoint_bytes = self._seen.output_bytes + CHECKPOINT_BYTES
                self._attempt.checkpoint()
            if self._attempt.outgrows and self._growing is None and now >= self._grow_at:
                self._growing = asyncio.ensure_future(self._grow(now))
        elif now - self._at >= KEEPALIVE_SECONDS:
            self._at = now
            self._sending = asyncio.ensure_future(self._beat())

    async def _beat(self) -> None:
        """Half an event may have come since it was planned."""
        if self.between_events:
            await self._ctx.send({"type": "http.response.body", "body": self._ctx.wire.keepalive, "more_body": True})

    async def _grow(self, now: float) -> None:
        ended = await self._attempt.grow()
        self._growing = None
        self._grow_at = now + GROW_AGAIN_SECONDS if self._attempt.outgrows else now
        if ended is not None:
            self._ctx.end(ended)

    def stop(self) -> None:
        for task in (self._sending, self._growing):
            if task is not None:
                task.cancel()
