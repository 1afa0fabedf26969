"""A call that nobody has answered for a while asks another deployment, too; whoever answers first is heard.

Each of the two is asked in a task of its own, as its time limits cancel the task that asks. Both are booked: whoever is
not heard is left at once, at what it may have cost. A call that streams, or whose deployment names no time, never comes
here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from apps.domain import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from apps.gateway.attempt import Accounts, Attempt
    from apps.gateway.context import RequestContext
    from apps.gateway.dispatch import Answered
    from apps.gateway.tries import Leave, Tries

    Serve = Callable[[Leave, Attempt | None], Coroutine[None, None, Answered | None]]
    Leg = asyncio.Task[Answered | None]


class _Hedge(NamedTuple):
    leave: Leave
    attempt: Attempt


async def race(
    ctx: RequestContext, tries: Tries, leave: Leave, *, seconds: float, accounts: Accounts, serve: Serve
) -> Answered | None:
    """What `serve` makes of this leave, or of another one's beside it after so many seconds. None: both failed, and
    somebody else may be asked. Raises UpstreamError where nobody may be, and whatever is no provider's failure."""
    first = asyncio.create_task(serve(leave, None))
    legs = [first]
    hedge: _Hedge | None = None
    try:
        await asyncio.wait(legs, timeout=seconds)
        while not first.done() and not _is_asked(ctx):  # its files are being fetched, or its connection had been closed
            await asyncio.wait(legs, timeout=seconds)
        if not first.done():
            hedge = await _hedge(ctx, tries, leave, accounts=accounts)
        if hedge is not None:
            hedge.attempt.note(
                f"hedged after {seconds:g} s: {leave.candidate.deployment.provider.name} had not answered"
            )
            legs.append(asyncio.create_task(_beside(ctx, tries, hedge, serve=serve)))
        answered = await _first_of(legs)
    finally:
        await _stop(legs)
        leave.give_back()
        if hedge is not None:
            hedge.leave.give_back()
    if answered is not None and hedge is not None:
        await _leave_others(ctx, answered.attempt, hedge=hedge.attempt)
    return answered


def _is_asked(ctx: RequestContext) -> bool:
    return bool(ctx.attempts) and ctx.attempts[-1].is_open


async def _hedge(ctx: RequestContext, tries: Tries, leave: Leave, *, accounts: Accounts) -> _Hedge | None:
    """None where nobody else may be asked, or nothing pays for it."""
    asked, other = ctx.attempts[-1], tries.beside(leave)
    if other is None:
        return None
    try:
        attempt = await accounts.open(ctx, other.candidate)
    except (errors.BudgetExhausted, errors.Unavailable) as error:
        asked.note(f"not hedged: {error.code or error.kind}")
        tries.withdrawn(other)
        return None
    except BaseException:
        other.give_back()
        raise
    if not asked.is_open or not tries.pays():
        if asked.is_open:
            asked.note("not hedged: the retry budget is used up")
        _withdraw(ctx, tries, _Hedge(other, attempt))
        return None
    return _Hedge(other, attempt)


async def _beside(ctx: RequestContext, tries: Tries, hedge: _Hedge, *, serve: Serve) -> Answered | None:
    """That it could not even be sent is no failure of the call."""
    try:
        return await serve(hedge.leave, hedge.attempt)
    except errors.GatewayError as error:
        if isinstance(error, errors.UpstreamError) or hedge.attempt.is_journalled:
            raise
        _withdraw(ctx, tries, hedge)
        return None


def _withdraw(ctx: RequestContext, tries: Tries, hedge: _Hedge) -> None:
    """Nothing was sent: its number is free for the next."""
    hedge.attempt.settle(None)
    ctx.attempts.remove(hedge.attempt)
    tries.withdrawn(hedge.leave)


async def _first_of(legs: Iterable[Leg]) -> Answered | None:
    """One's failure is the call's only when the other has failed, too."""
    running, failure = set(legs), None
    while running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for leg in done:
            error = leg.exception()
            if error is None and (answered := leg.result()) is not None:
                return answered
            if error is not None and not isinstance(error, errors.UpstreamError):
                raise error
            failure = error or failure
    if failure is not None:
        raise failure
    return None


async def _stop(legs: list[Leg]) -> None:
    running = [leg for leg in legs if leg.cancel()]
    if running:
        await asyncio.wait(running)
    for leg in legs:
        if not leg.cancelled():
            leg.exception()  # or it is told that nobody asked for it
    legs.clear()  # their errors' tracebacks hold the frames that hold them


async def _leave_others(ctx: RequestContext, heard: Attempt, *, hedge: Attempt) -> None:
    """The one that is heard is the call's last."""
    ctx.attempts.remove(heard)
    ctx.attempts.append(heard)
    to = "the hedge" if heard is hedge else "the one that was asked first"
    for attempt in ctx.attempts[:-1]:
        if attempt.is_open:
            attempt.note(f"lost to {to}")
            attempt.settle(errors.Outpaced(f"{heard.deployment.provider.name} was faster"))
            await attempt.leave()
