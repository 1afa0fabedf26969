"""How every deployment and credential stands just now: what the router goes by, and what calls have taught.

One per process. What changes is told to the other replicas, and what they found is heeded here, within a second.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
from django.conf import settings

from apps.domain import errors
from apps.domain.routing.retry import Budget
from apps.gateway.breakers import Breakers, Known, Turn, is_failure
from apps.gateway.cooling import Aside, Cooling, cooling, heed
from apps.gateway.sharing import News, Sharing
from apps.gateway.waiting import waiting
from apps.runtime.standings import ROWS
from apps.runtime.state import state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apps.domain.routing.facts import Measured
    from apps.domain.routing.plan import Try
    from apps.domain.snapshot import Credential, Deployment, Model
    from apps.gateway.attempt import Attempt

_ROW_SECONDS = 1.0
_ROW_KEPT_SECONDS = 5.0
_KEPT_SECONDS = 60.0  # what is over is worth telling for so long
_MOST_BUDGETS = 4096
# Of a shorter stream, its rate says little.
_LEAST_SECONDS, _LEAST_TOKENS = 0.05, 8


class _Told(msgspec.Struct, array_like=True):
    """Of a breaker, `by` a replica. `seconds`: for which it is open."""

    by: str
    phase: str
    seconds: float
    reason: str


class _ToldAside(msgspec.Struct, array_like=True):
    by: str
    aside: Aside


_encode = msgspec.json.Encoder().encode
_told = msgspec.json.Decoder(_Told)
_told_aside = msgspec.json.Decoder(_ToldAside)


class Standing:
    """Implements `routing.facts.Facts`. On one event loop; times are monotonic. `replica`: what others know it by; "":
    as the process is called."""

    def __init__(
        self, *, replica: str = "", cooling: Cooling = cooling, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._named = replica
        self._cooling = cooling
        self.breakers = Breakers(on_change=self._tell_breaker, now=now)
        self._budgets: dict[int, Budget] = {}
        self._sharing: Sharing | None = None
        self._row_at = 0.0

    @property
    def _replica(self) -> str:
        return self._named or state.replica

    def start(self) -> None:
        self._sharing = Sharing(
            settings.REDIS_URL,
            before=self._publish,
            on_news=self._heed,
            on_fields=self._count,
            on_up=self._tell_all,
            on_down=lambda: self.breakers.share(1, 0),
        )
        self._cooling.on_change = self._tell_aside
        self._sharing.start()

    async def close(self) -> None:
        """What was learned is forgotten: the process's next engine may have another catalog."""
        self._cooling.on_change = None
        self._cooling.forget()
        if self._sharing is not None:
            await self._sharing.close()
            self._sharing = None
        self.breakers.forget()
        self._budgets.clear()

    # --- facts -------------------------------------------------------------------------------------------------

    def is_ready(self, deployment: Deployment) -> bool:
        is_closed = self.breakers.of(deployment).breaker.phase == "closed"
        return is_closed and not self._cooling and not waiting.is_full(deployment)

    def rests(self, deployment: Deployment, credential: Credential) -> float:
        return self._cooling.seconds(deployment, credential) if self._cooling else 0.0

    def open_for(self, deployment: Deployment) -> float:
        breaker = self.breakers.of(deployment).breaker
        return 0.0 if breaker.phase == "closed" else breaker.open_for(self._now())

    def is_full(self, deployment: Deployment) -> bool:
        return waiting.is_full(deployment)

    def measured(self, deployment: Deployment) -> Measured:
        return self.breakers.of(deployment).measures.now(self._now())

    # --- a call's tries ----------------------------------------------------------------------------------------

    def take(self, candidate: Try, *, is_last_resort: bool) -> Turn | None:
        """Leave to ask it now; None: its breaker or its credential has none to give."""
        turn = self.breakers.take(candidate.deployment)
        if turn is not None and self._cooling and not self._cooling.admits(candidate, is_last_resort=is_last_resort):
            self.breakers.released(turn)
            return None
        return turn

    def why_not(self, candidate: Try) -> str:
        """Why its breaker lets nobody through, in a few words; "": it does."""
        breaker, provider = self.breakers.of(candidate.deployment).breaker, candidate.deployment.provider
        seconds = breaker.open_for(self._now())
        if not seconds:
            return ""
        if breaker.phase == "half_open":
            return f"skipped {provider.name}: breaker half open, its trial calls are under way"
        return f"skipped {provider.name}: breaker open {seconds:.0f} s, {breaker.reason}"

    def budget(self, model: Model) -> Budget:
        """What pays for a model's tries beyond each call's first. Of each model: that one is ill is not to take from
        the others what they fail over with."""
        budget = self._budgets.get(model.id)
        if budget is None:
            if len(self._budgets) >= _MOST_BUDGETS:
                self._budgets.clear()
            budget = self._budgets[model.id] = Budget(self._now())
        return budget

    def answered(self, candidate: Try, turn: Turn, attempt: Attempt) -> None:
        """The first event is in, or the whole answer."""
        self.breakers.answered(turn, first_token=attempt.first_byte_seconds)
        if self._cooling:
            self._cooling.succeeded(candidate, asked_at=attempt.started)

    def failed(self, candidate: Try, turn: Turn, attempt: Attempt, error: errors.UpstreamError) -> None:
        """Nothing had come yet."""
        if attempt.answer is not None:
            heed(error, attempt.answer.headers)
        if is_failure(error):
            self.breakers.failed(turn)
            breaker = turn.known.breaker
            if breaker.phase == "open":
                attempt.note(f"breaker open {breaker.open_for(self._now()):.0f} s: {breaker.reason}")
        else:
            self.breakers.released(turn)
        if step := self._cooling.refused(candidate, error, asked_at=attempt.started):
            attempt.note(step)

    def ended(self, attempt: Attempt, failure: errors.GatewayError | None) -> None:
        """An answer that had begun is over."""
        turn, attempt.turn = attempt.turn, None
        if turn is None:
            return
        failure = failure or attempt.failure
        if failure is not None:
            if isinstance(failure, errors.UpstreamError) and is_failure(failure) and not attempt.is_finished:
                self.breakers.broke(turn)
        elif attempt.first_byte_seconds is not None and attempt.usage is not None:
            seconds = self._now() - attempt.started - attempt.first_byte_seconds
            if seconds >= _LEAST_SECONDS and attempt.usage.out_total >= _LEAST_TOKENS:
                self.breakers.streamed(turn, tokens=attempt.usage.out_total, seconds=seconds)

    def refusal(self, candidates: Sequence[Try], model: Model) -> errors.GatewayError:
        """What a call is told that none of its candidates may be asked for."""
        waits = [wait for candidate in candidates if (wait := self.open_for(candidate.deployment))]
        if self._cooling and len(waits) < len(candidates):
            return self._cooling.refusal(candidates)
        return errors.NoDeployment(
            f"every deployment of {model.name} has failed too often of late and is left alone for a while",
            retry_after=min(waits, default=1.0),
        )

    # --- other replicas ----------------------------------------------------------------------------------------

    def _publish(self) -> None:
        now, sharing = self._now(), self._sharing
        self.breakers.publish()
        if sharing is not None and now >= self._row_at + _ROW_SECONDS:
            self._row_at = now
            sharing.tell(ROWS + self._replica, _encode(state.deployments), seconds=_ROW_KEPT_SECONDS)

    def _tell_breaker(self, known: Known) -> None:
        breaker = known.breaker
        if self._sharing is None or breaker.phase == "half_open":
            return
        seconds = max(0.0, breaker.until - self._now()) if breaker.phase == "open" else 0.0
        text = _encode(_Told(self._replica, breaker.phase, seconds, breaker.reason))
        self._sharing.tell(known.field, text, seconds=seconds + _KEPT_SECONDS)

    def _tell_aside(self, aside: Aside) -> None:
        if self._sharing is not None:
            field = f"c:{aside.credential_id}:{aside.version}:{aside.model}"
            text = _encode(_ToldAside(self._replica, aside))
            self._sharing.tell(field, text, seconds=aside.seconds or _KEPT_SECONDS)

    def _tell_all(self) -> None:
        """Redis is back, and may have forgotten."""
        for known in self.breakers:
            if known.breaker.phase == "open":
                self._tell_breaker(known)
        for aside in self._cooling.asides():
            self._tell_aside(aside)

    def _heed(self, news: News) -> None:
        if news.field.startswith("b:"):
            told = _told.decode(news.text)
            if told.by != self._replica:
                self.breakers.heard(news.field, told.phase, told.seconds - news.age, told.reason)
        elif news.field.startswith("c:"):
            told_aside = _told_aside.decode(news.text)
            if told_aside.by != self._replica:
                self._cooling.adopt(told_aside.aside, age=news.age)

    def _count(self, fields: list[str]) -> None:
        """Who is there, to share half-open rounds out."""
        self.breakers.hold(set(fields))
        rows = sorted(field for field in fields if field.startswith(ROWS))
        mine = ROWS + self._replica
        if mine in rows:
            self.breakers.share(len(rows), rows.index(mine))


standing = Standing()
"""This process's."""
