"""Whom a call asks next: the candidates in their order, as far as places, breakers, credentials and the retry budget
let it.

The first try is free. Whatever a provider has seen fail costs one of the model's budget to try again; where no
connection was made nobody was burdened, so that is free. Another credential or deployment is asked at once; the same
deployment, if it was not the credential that it refused, after a pause. When nobody is left but who is full or rests,
the call waits for one of these.
"""

from __future__ import annotations

import asyncio
import random
import time
from itertools import chain
from typing import TYPE_CHECKING

from apps.domain import errors
from apps.domain.routing import retry
from apps.domain.routing.plan import MAX_TRIES
from apps.gateway.breakers import is_failure
from apps.gateway.cooling import cooling
from apps.gateway.standing import standing
from apps.gateway.waiting import FREE, waiting
from apps.runtime.state import state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from apps.domain.routing.plan import Try
    from apps.gateway.attempt import Attempt
    from apps.gateway.breakers import Turn
    from apps.gateway.context import RequestContext
    from apps.gateway.waiting import Place


class Leave:
    """To ask a candidate now: its breaker's, and a place there. Goes over to the attempt that is answered."""

    __slots__ = ("candidate", "place", "turn")

    def __init__(self, candidate: Try, turn: Turn, place: Place) -> None:
        self.candidate = candidate
        self.turn: Turn | None = turn
        self.place = place

    def give_back(self) -> None:
        """Does nothing the second time, or when it has gone over."""
        if self.turn is not None:
            standing.breakers.released(self.turn)
            self.turn = None
        self.place.leave()


class Tries:
    """Of one call. `failure`: what the last one asked came to."""

    __slots__ = (
        "_candidates",
        "_ctx",
        "_is_hedged",
        "_is_over",
        "_next",
        "_passed",
        "_pause",
        "_since",
        "_steps",
        "_turns",
        "failure",
    )

    def __init__(self, ctx: RequestContext, candidates: Sequence[Try]) -> None:
        self._ctx = ctx
        self._candidates = candidates
        self._turns: Iterator[Try] = iter(candidates)
        self._passed: list[Try] = []  # that are full or rest: who may be waited for
        self._since: float | None = None  # when it has waited
        self._next: Leave | None = None
        self._is_hedged = False  # two are being asked
        self._is_over = False
        self._pause = 0.0
        self._steps: list[str] = []  # for the next attempt's trail
        self.failure: errors.UpstreamError | None = None

    async def next(self) -> Leave | None:
        """Leave to ask whose turn it is; None: nobody is left. Raises NoDeployment when it has waited in vain."""
        leave, self._next = self._next, None
        if leave is None and not self._is_over:
            leave = self._choose() or await self._wait()
        if leave is not None and self._pause:
            try:
                await asyncio.sleep(self._pause)
            except BaseException:
                leave.give_back()
                raise
        return leave

    def end(self) -> None:
        """Nobody else is asked. Whoever was to be next has held a place and a permit already."""
        self.failure = None  # its traceback holds the frame of who asks
        leave, self._next = self._next, None
        if leave is not None:
            leave.give_back()

    @property
    def may_repeat(self) -> bool:
        """A request that most likely came to nobody. Where another one is under way that one is enough."""
        return not self._ctx.gone and not self._is_hedged

    def beside(self, leave: Leave) -> Leave | None:
        """Leave to ask another deployment at the same time; None: nobody else may be asked without waiting."""
        asked, tenant = leave.candidate, self._ctx.principal
        assert tenant is not None
        if self._is_over or self._ctx.gone or len(self._ctx.attempts) >= MAX_TRIES:
            return None
        left = [*self._turns]
        self._turns = iter(left)
        for candidate in left:
            if candidate.deployment.id == asked.deployment.id or candidate.credential.id == asked.credential.id:
                continue
            place = waiting.take(candidate.deployment, tenant_id=tenant.tenant_id)
            if place is None:
                continue
            turn = standing.take(candidate, is_last_resort=False)
            if turn is None:
                place.leave()
                continue
            self._turns = iter([one for one in left if one is not candidate])
            self._is_hedged = True
            return Leave(candidate, turn, place)
        return None

    def withdrawn(self, leave: Leave) -> None:
        """It was not asked after all."""
        leave.give_back()
        self._turns = chain((leave.candidate,), self._turns)
        self._is_hedged = False

    def explain(self, attempt: Attempt) -> None:
        """Why it is this one's turn, where that is not plain."""
        if attempt.number == 1 and cooling:
            for step in cooling.resting(self._candidates):
                attempt.note(step)
        if self._steps:
            self._tell(attempt)

    def refusal(self) -> errors.GatewayError:
        assert self._ctx.model is not None
        return self.failure or standing.refusal(self._candidates, self._ctx.model)

    def answered(self, leave: Leave, attempt: Attempt) -> None:
        assert self._ctx.model is not None
        assert leave.turn is not None
        standing.answered(leave.candidate, leave.turn, attempt)
        standing.budget(self._ctx.model).earn()
        attempt.turn, leave.turn = leave.turn, None
        attempt.place, leave.place = leave.place, FREE
        attempt.place.began()

    def failed(self, leave: Leave, attempt: Attempt, error: errors.UpstreamError) -> None:
        """Learns from it, and chooses whom to ask next while the attempt's trail is still open."""
        candidate = leave.candidate
        assert leave.turn is not None
        self.failure = error
        standing.failed(candidate, leave.turn, attempt, error)
        leave.turn = None
        leave.give_back()
        if not error.retryable or self._ctx.gone or self._is_over:
            self._is_over = True
            return
        if cooling and cooling.seconds(candidate.deployment, candidate.credential):
            self._passed.append(candidate)
        if self._is_hedged:  # the other may still answer
            self._is_hedged = False
            self._failed_so(candidate, error)
            return
        chosen = self._choose(after=(candidate, error))
        if chosen is None and not self._passed:
            self._is_over = True
            self._tell(attempt)
        elif chosen is not None and error.reached and not self.pays():
            chosen.give_back()
            self._is_over = True
            attempt.note("nobody else is asked: the retry budget is used up")
        else:
            self._next = chosen
            self._failed_so(candidate, error)

    def _failed_so(self, candidate: Try, error: errors.UpstreamError) -> None:
        told = error.upstream_status or error.kind
        self._steps.append(f"after {told} of {candidate.deployment.provider.name}")

    def _tell(self, attempt: Attempt) -> None:
        for step in self._steps:
            attempt.note(step)
        self._steps.clear()

    def _choose(self, *, after: tuple[Try, errors.UpstreamError] | None = None) -> Leave | None:
        principal = self._ctx.principal
        assert principal is not None
        for candidate in self._turns:
            if after is not None and not self._waits(candidate, *after):
                continue
            place = waiting.take(candidate.deployment, tenant_id=principal.tenant_id)
            if place is None:
                self._passed.append(candidate)
            elif (leave := self._entered(candidate, place)) is not None:
                return leave
        return None

    def _entered(self, candidate: Try, place: Place) -> Leave | None:
        """None: its breaker is open, or its credential rests."""
        turn = standing.take(candidate, is_last_resort=self.failure is not None)
        if turn is not None:
            return Leave(candidate, turn, place)
        place.leave()
        if step := standing.why_not(candidate):
            self._steps.append(step)
        else:
            self._passed.append(candidate)
        return None

    async def _wait(self) -> Leave | None:
        """For one of those that are full or rest."""
        principal = self._ctx.principal
        assert principal is not None
        self._pause = 0.0
        while self._passed and len(self._ctx.attempts) < MAX_TRIES:
            passed, self._passed = self._passed, []
            granted = await waiting.wait(principal, passed, rests=cooling.seconds, since=self._since)
            if granted is None:
                return None
            self._since, self._turns = granted.since, iter(granted.candidates)
            leave = self._entered(next(self._turns), granted.place)
            if leave is None:
                leave = self._choose()
            if leave is None:
                continue
            if self.failure is not None and self.failure.reached and not self.pays():
                leave.give_back()
                return None
            if leave.place.explained:
                self._steps.append(leave.place.explained)
            return leave
        return None

    def _waits(self, candidate: Try, failed: Try, error: errors.UpstreamError) -> bool:
        """Sets the pause before it; False: it would be too long."""
        self._pause = 0.0
        if candidate.deployment.id != failed.deployment.id or not is_failure(error):
            return True
        tried = len(self._ctx.attempts)
        pause = retry.pause(tried, told=error.retry_after, dice=random.random())  # noqa: S311  # spreads load
        name = candidate.deployment.provider.name
        if pause is None:
            self._steps.append(f"skipped {name}: it wants to be left alone for {error.retry_after:.0f} s")
            return False
        self._pause = pause
        self._steps.append(f"{name} again after {pause:.2f} s")
        return True

    def pays(self) -> bool:
        """For one more request."""
        model = self._ctx.model
        assert model is not None
        if standing.budget(model).spend(time.monotonic()):
            state.retries[model.name] += 1
            return True
        state.retries_unpaid[model.name] += 1
        return False
