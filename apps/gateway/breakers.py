"""The circuit breakers of this process, and what it has measured, by deployment.

A deployment that is asked elsewhere, for another model or under other rules is another one: nothing that was learned
of it says anything of what it has become. So is one whose breaker somebody has reset (`Deployment.version`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from apps.domain import errors
from apps.domain.routing.breaker import Breaker
from apps.domain.routing.measures import Measures
from apps.runtime.rooms import rooms
from apps.runtime.state import DeploymentStanding, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apps.domain.snapshot import Breaker as Rules
    from apps.domain.snapshot import Deployment

log = structlog.get_logger(__name__)

_MOST = 4096  # deployments, of which some may be long gone
_FAILURES = (errors.UpstreamTimeout, errors.UpstreamBroken, errors.UpstreamFailed, errors.UpstreamOverloaded)


def is_failure(error: errors.UpstreamError) -> bool:
    """Whether it speaks against the deployment: not a limit, not a refused credential or request, and not a connection
    that had been closed before it was used."""
    told = error.upstream_status
    return isinstance(error, _FAILURES) and not isinstance(error, errors.ConnectionStale) and not 400 <= told < 500


class Known:
    """What is known of one deployment, and what it is called; nothing that holds its credentials. `field`: under which
    others are told of it. `longest`: seconds that a call may take there."""

    __slots__ = ("breaker", "field", "id", "likeness", "longest", "measures", "model", "provider", "rules")

    def __init__(self, deployment: Deployment) -> None:
        self.id = deployment.id
        self.field = f"b:{deployment.id}:{deployment.likeness}"
        self.rules = deployment.breaker
        self.breaker = Breaker(deployment.breaker)
        self.measures = Measures()
        self.recognise(deployment)

    def recognise(self, deployment: Deployment) -> None:
        """Under another snapshot it may have other names."""
        self.likeness = deployment.likeness
        self.provider, self.model = deployment.provider.name, deployment.upstream_model
        self.longest = (deployment.timeouts or deployment.provider.timeouts).total


class Turn:
    """A call's leave to ask a deployment, from `asked_at` on. Ended once."""

    __slots__ = ("asked_at", "known", "permit")

    def __init__(self, known: Known, permit: int, asked_at: float) -> None:
        self.known = known
        self.permit = permit
        self.asked_at = asked_at


class Breakers:
    """On one event loop. `on_change` is told of whatever has opened, closed or begun its half-open round, by itself or
    because another process said so. Times are monotonic."""

    def __init__(self, *, on_change: Callable[[Known], None], now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._on_change = on_change
        self._known: dict[int, Known] = {}
        self._share = (1, 0)
        self._heard: dict[str, tuple[str, float, str]] = {}  # by field: phase, until when, why

    def __iter__(self) -> Iterator[Known]:
        return iter(self._known.values())

    def of(self, deployment: Deployment) -> Known:
        known = self._known.get(deployment.id)
        if known is None or known.likeness is not deployment.likeness:  # each snapshot has its own string
            known = self._recognised(deployment, known)
        return known

    def take(self, deployment: Deployment) -> Turn | None:
        known, now = self.of(deployment), self._now()
        breaker = known.breaker
        before = breaker.phase
        permit = breaker.take(now, seconds=known.longest)
        if breaker.phase is not before:
            self._changed(known)
        return None if permit is None else Turn(known, permit, now)

    def answered(self, turn: Turn, *, first_token: float | None) -> None:
        """The first event, or a whole answer, is in; `first_token`: seconds until it was, of a stream."""
        known, now = turn.known, self._now()
        measures = known.measures
        measures.success.add(now, 1.0)
        if first_token is not None:
            measures.first_token.add(now, first_token)
        is_slow = now - turn.asked_at > known.rules.slow_seconds
        if known.breaker.record(turn.permit, now, is_failure=False, is_slow=is_slow):
            self._changed(known)

    def failed(self, turn: Turn) -> None:
        known, now = turn.known, self._now()
        known.measures.success.add(now, 0.0)
        if known.breaker.record(turn.permit, now, is_failure=True):
            self._changed(known)

    def broke(self, turn: Turn) -> None:
        """What had been answered ended in a failure: one more call of now. Its first event had counted already, so that
        a half-open round need not wait for the ends of streams."""
        known, now = turn.known, self._now()
        breaker = known.breaker
        known.measures.success.add(now, 0.0)
        permit = breaker.take(now) if breaker.phase == "closed" else None
        if permit is not None and breaker.record(permit, now, is_failure=True):
            self._changed(known)

    def released(self, turn: Turn) -> None:
        turn.known.breaker.release(turn.permit)

    def streamed(self, turn: Turn, *, tokens: int, seconds: float) -> None:
        turn.known.measures.tokens_per_second.add(self._now(), tokens / seconds)

    # --- with others -------------------------------------------------------------------------------------------

    def share(self, live: int, place: int) -> None:
        """Half-open rounds are shared out between `live` processes, of which this one is at `place`."""
        if (live, place) != self._share:
            self._share = (live, place)
            for known in self._known.values():
                known.breaker.round_size = self._round_size(known.rules)

    def heard(self, field: str, phase: str, seconds: float, reason: str) -> None:
        """What another process has found of a deployment, which may not have been asked here yet."""
        self._heard[field] = (phase, self._now() + seconds, reason)
        known = self._known.get(int(field.split(":", 2)[1]))
        if known is not None and known.field == field:
            self._adopt(known)

    def hold(self, fields: set[str]) -> None:
        """Of what was heard, no more than that still holds."""
        if not self._heard.keys() <= fields:
            self._heard = {field: told for field, told in self._heard.items() if field in fields}

    def _adopt(self, known: Known) -> None:
        phase, until, reason = self._heard.get(known.field, ("", 0.0, ""))
        breaker, now = known.breaker, self._now()
        if phase == "open" and until > now:
            breaker.open(now, reason, seconds=until - now)
        elif phase == "closed" and breaker.phase != "closed":
            breaker.close()
        else:
            return
        self._changed(known, heard=True)

    def forget(self) -> None:
        self._known.clear()
        self._heard.clear()
        self._share = (1, 0)
        state.deployments = ()

    def publish(self) -> None:
        """For whoever reads the process's state."""
        now, offset = self._now(), time.time() - self._now()
        state.deployments = tuple(self._standing(known, now, offset) for known in self._known.values())

    def _standing(self, known: Known, now: float, offset: float) -> DeploymentStanding:
        breaker, measured = known.breaker, known.measures.now(now)
        is_open = breaker.phase == "open" and breaker.until > now
        return DeploymentStanding(
            known.id,
            known.provider,
            known.model,
            "half_open" if breaker.phase == "open" and not is_open else breaker.phase,  # it waits for a call
            breaker.until + offset if is_open else None,
            breaker.reason,
            *measured,
            known.measures.success.weight(now),
            *_room(known.id),
        )

    # --- inside ------------------------------------------------------------------------------------------------

    def _changed(self, known: Known, *, heard: bool = False) -> None:
        breaker = known.breaker
        names = {"provider": known.provider, "model": known.model}
        if breaker.phase == "open":
            seconds = round(breaker.until - self._now(), 1)
            log.warning("breaker.open", **names, reason=breaker.reason, seconds=seconds)
        else:
            log.info(f"breaker.{breaker.phase}", **names)
        state.breaker_changes[known.provider, known.model, breaker.phase] += 1
        if not heard:
            self._on_change(known)

    def _recognised(self, deployment: Deployment, known: Known | None) -> Known:
        if known is not None and known.likeness == deployment.likeness:
            known.recognise(deployment)
            return known
        if len(self._known) >= _MOST:
            self._known.clear()
        known = self._known[deployment.id] = Known(deployment)
        known.breaker.round_size = self._round_size(known.rules)
        self._adopt(known)
        return known

    def _round_size(self, rules: Rules) -> int:
        live, place = self._share
        return max(1, rules.half_open_calls // live + (place < rules.half_open_calls % live))


def _room(deployment_id: int) -> tuple[int | None, int | None, int]:
    room = rooms.open.get(deployment_id)
    return (None, None, 0) if room is None else (room.in_flight, room.most, room.waiting)
