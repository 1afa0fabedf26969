"""Notices a client that stops sending, or leaves: then the call is stopped, or the provider may finish, as its policy
says."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from apps.domain import errors
from apps.runtime.state import state

if TYPE_CHECKING:
    from apps.gateway.context import RequestContext
    from apps.runtime.ticker import Ticker

# In the scope's state: whom the server tells that the body comes too slowly (gateway_site/connections.py).
LATE = "weir.late"
# Most calls outlive this; those that do not are not worth a task of their own to watch them.
GRACE_SECONDS = 0.1
# A provider that bills to the end anyway is heard out, within reason.
DRAIN_SECONDS = 120.0
DRAIN_BYTES = 32 * 1024 * 1024
MAX_DRAINS = 64

_GONE = "client closed the connection"


class Watch:
    """Is told by the server if the body comes too slowly; waits for `http.disconnect` beside the call from shortly
    after `arm`, when the body is in. Until it is disarmed."""

    __slots__ = ("_ctx", "_drain", "_due", "_state", "_task", "_ticker")

    def __init__(self, ctx: RequestContext, ticker: Ticker) -> None:
        self._ctx = ctx
        self._ticker = ticker
        self._due = math.inf
        self._state: dict[str, Any] = ctx.scope.get("state", {})  # some servers have none
        self._task: asyncio.Task[None] | None = None
        self._drain: _Drain | None = None
        self._state[LATE] = self._late

    def arm(self) -> None:
        self._state.pop(LATE, None)
        self._ticker.add(self)

    def disarm(self) -> None:
        self._state.pop(LATE, None)
        self._ticker.discard(self)
        if self._task is not None:
            self._task.cancel()
        if self._drain is not None:
            self._drain.stop()

    def tick(self, now: float) -> None:
        """The first one begins the time that is given."""
        if self._due == math.inf:
            self._due = now + GRACE_SECONDS
        elif now >= self._due:
            self._ticker.discard(self)
            self._task = asyncio.create_task(self._wait())

    def _late(self) -> None:
        self._ctx.end(errors.BodyTooSlow("the request body came too slowly"))

    async def _wait(self) -> None:
        while (await self._ctx.receive())["type"] != "http.disconnect":
            pass
        if self._has_all():
            return
        self._ctx.gone = True
        if self._may_drain():
            self._drain = _Drain(self._ctx, self._ticker)
        else:
            self._ctx.end(errors.ClientGone(_GONE))

    def _has_all(self) -> bool:
        """OpenAI's SDK hangs up on `[DONE]`, a moment before the upstream's body ends: that call was served."""
        attempts = self._ctx.attempts
        return bool(attempts) and attempts[-1].is_finished

    def _may_drain(self) -> bool:
        attempts = self._ctx.attempts
        is_asked = bool(attempts) and attempts[-1].is_open
        wants = is_asked and attempts[-1].deployment.provider.on_disconnect == "drain"
        return wants and state.draining_calls < MAX_DRAINS


class _Drain:
    """Hears a provider out to whom nobody listens any more, for so long and so many bytes. Until it is stopped."""

    __slots__ = ("_ctx", "_due", "_most", "_ticker")

    def __init__(self, ctx: RequestContext, ticker: Ticker) -> None:
        self._ctx = ctx
        self._ticker = ticker
        self._due = asyncio.get_running_loop().time() + DRAIN_SECONDS
        self._most = ctx.attempts[-1].received + DRAIN_BYTES
        state.draining_calls += 1
        ticker.add(self)

    def stop(self) -> None:
        self._ticker.discard(self)
        state.draining_calls -= 1
        state.drained += 1

    def tick(self, now: float) -> None:
        if now >= self._due or self._ctx.attempts[-1].received > self._most:
            self._ctx.end(errors.ClientGone(_GONE))


def explain(ctx: RequestContext) -> errors.GatewayError:
    """Why the call's task was cancelled: what it was ended for, or the server is going down."""
    if ctx.task is not None:
        ctx.task.uncancel()
    return ctx.ended or errors.Unavailable("the gateway is shutting down", retry_after=1)
