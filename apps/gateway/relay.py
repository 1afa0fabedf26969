"""Upstream events to client frames. What a frame looks like is the exchange's business; this room keeps the pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from apps.domain import errors
from apps.gateway import answers

if TYPE_CHECKING:
    from apps.gateway.context import RequestContext
    from apps.gateway.dispatch import Answered

# Claude Code gives up on a stream after five minutes without a byte, proxies after one; both count this frame.
KEEPALIVE_SECONDS = 15.0


async def relay(ctx: RequestContext, answered: Answered) -> None:
    """Raises UpstreamError when the upstream fails on the way; the exchange has then sent no last frame."""
    if answered.body is not None:
        await answers.json(ctx, answered.body)
        return
    pulse = _Pulse(ctx, answered.first)
    await _begin(ctx, answered.first)
    try:
        await _pump(ctx, answered, pulse)
    except errors.UpstreamError:
        if answered.attempt.is_finished:  # the whole answer is out, only the connection did not end well
            await ctx.send({"type": "http.response.body", "body": answered.exchange.close()})
            return
        await _finish_frame(ctx, pulse)
        raise
    finally:
        pulse.stop()


async def _begin(ctx: RequestContext, first: bytes) -> None:
    headers = [answers.EVENT_STREAM, *answers.UNBUFFERED, *answers.headers_for(ctx)]
    ctx.committed = True
    await ctx.send({"type": "http.response.start", "status": 200, "headers": headers})
    await ctx.send({"type": "http.response.body", "body": first, "more_body": True})


async def _pump(ctx: RequestContext, answered: Answered, pulse: _Pulse) -> None:
    attempt, exchange, send = answered.attempt, answered.exchange, ctx.send
    now = asyncio.get_running_loop().time
    async for chunk in answered.answer.chunks():
        frames = exchange.feed(chunk)
        if frames:
            pulse.last = frames  # before it is sent: while a slow client takes it, a beat waits in line behind it
            await send({"type": "http.response.body", "body": frames, "more_body": True})
        pulse.at = moment = now()
        if moment >= attempt.checkpoint_due:
            attempt.checkpoint(moment)
        if exchange.seen.error is not None:
            break
    await send({"type": "http.response.body", "body": exchange.close()})


async def _finish_frame(ctx: RequestContext, pulse: _Pulse) -> None:
    """An answer cut inside an event: end that event, so that the error frame after it stands alone."""
    if not pulse.between_events:
        await ctx.send({"type": "http.response.body", "body": b"\n\n", "more_body": True})


class _Pulse:
    """Sends a frame that every client skips whenever the upstream has been silent for KEEPALIVE_SECONDS."""

    __slots__ = ("_ctx", "_loop", "_sending", "_timer", "at", "last")

    def __init__(self, ctx: RequestContext, first: bytes) -> None:
        self._ctx = ctx
        self._loop = asyncio.get_running_loop()
        self._sending: asyncio.Task[None] | None = None
        self.last = first
        self.at = self._loop.time()
        self._timer = self._loop.call_at(self.at + KEEPALIVE_SECONDS, self._beat)

    @property
    def between_events(self) -> bool:
        return self.last.endswith((b"\n\n", b"\r\n\r\n"))

    def _beat(self) -> None:
        now = self._loop.time()
        if now - self.at >= KEEPALIVE_SECONDS:
            self.at = now
            if self.between_events:
                frame = {"type": "http.response.body", "body": self._ctx.wire.keepalive, "more_body": True}
                self._sending = asyncio.ensure_future(self._ctx.send(frame))
        self._timer = self._loop.call_at(self.at + KEEPALIVE_SECONDS, self._beat)

    def stop(self) -> None:
        self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()
