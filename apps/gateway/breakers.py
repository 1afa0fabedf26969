"""The circuit breakers of this process, and what it has measured, by deployment.

A deployment that is asked elsewhere, for another model or under other rules is another one: nothing that was learned
of it says anything of what it has become. So is one whose breaker somebody has reset (`Deployment.version`).
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec
import structlog

from apps.domain import errors
from apps.domain.routing.breaker import Breaker
from apps.domain.routing.measures import Measures
from apps.runtime.rooms import rooms
from apps.runtime.state import DeploymentStanding, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apps.domain.snapshot import Deployment

log = structlog.get_logger(__name__)

_MOST = 4096  # deployments, of which some may be long gone
_MOST_ALIKE = 64
_FAILURES = (errors.UpstreamTimeout, errors.UpstreamBroken, errors.UpstreamFailed, errors.UpstreamOverloaded)


def is_failure(error: errors.UpstreamError) -> bool:
    """Whether it speaks against the deployment: not a limit, not a refused credential or request, and not a connection
    that had been closed before it was used."""
    told = error.upstream_status
    return isinstance(error, _FAILURES) and not isinstance(error, errors.ConnectionStale) and not 400 <= told < 500


class Known:
    """What is known of one deployment. `field`: under which others are told of it."""

    __slots__ = ("alike", "breaker", "deployment", "field", "measures")

    def __init__(self, deployment: Deployment, field: str) -> None:
        self.deployment = deployment
        self.field = field
        self.alike = {id(deployment): deployment}  # held, so that no other gets its id
        self.breaker = Breaker(deployment.breaker)
        self.measures = Measures()


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
        if known is None or id(deployment) not in known.alike:
            known = self._recognised(deployment, known)
        return known

    def take(self, deployment: Deployment) -> Turn | None:
        known, now = self.of(deployment), self._now()
        breaker = known.breaker
        if breaker.phase == "closed":
            return Turn(known, breaker.take(now) or 0, now)
        before = breaker.phase
        timeouts = deployment.timeouts or deployment.provider.timeouts
        permit = breaker.take(now, seconds=timeouts.total)
        if breaker.phase != before:
            self._changed(known)
        return None if permit is None else Turn(known, permit, now)

    def answered(self, turn: Turn, *, first_token: float | None) -> None:
        """The first event, or a whole answer, is in; `first_token`: seconds until it was, of a stream."""
        known, now = turn.known, self._now()
        is_slow = now - turn.asked_at > known.deployment.breaker.slow_seconds
        known.measures.success.add(now, 1.0)
        if first_token is not None:
            known.measures.first_token.add(now, first_token)
        self._record(turn, now, is_failure=False, is_slow=is_slow)

    def failed(self, turn: Turn) -> None:
        now = self._now()
        turn.known.measures.success.add(now, 0.0)
        self._record(turn, now, is_failure=True, is_slow=False)

    def broke(self, turn: Turn) -> None:
        """What had been answered ended in a failure: one more call of now. Its first event had counted already, so that
        a half-open round need not wait for the ends of streams."""
        now, breaker = self._now(), turn.known.breaker
        turn.known.measures.success.add(now, 0.0)
        if breaker.phase == "closed" and (permit := breaker.take(now)) is not None:
            self._record(Turn(turn.known, permit, now), now, is_failure=True, is_slow=False)

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
                known.breaker.round_size = self._round_size(known.deployment)

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
        breaker, deployment, measured = known.breaker, known.deployment, known.measures.now(now)
        is_open = breaker.phase == "open" and breaker.until > now
        return DeploymentStanding(
            deployment.id,
            deployment.provider.name,
            deployment.upstream_model,
            "half_open" if breaker.phase == "open" and not is_open else breaker.phase,  # it waits for a call
            breaker.until + offset if is_open else None,
            breaker.reason,
            *measured,
            known.measures.success.weight(now),
            *_room(deployment.id),
        )

    # --- inside ------------------------------------------------------------------------------------------------

    def _record(self, turn: Turn, now: float, *, is_failure: bool, is_slow: bool) -> None:
        breaker = turn.known.breaker
        before = breaker.phase
        breaker.record(turn.permit, now, is_failure=is_failure, is_slow=is_slow)
        if breaker.phase != before:
            self._changed(turn.known)

    def _changed(self, known: Known, *, heard: bool = False) -> None:
        breaker, deployment = known.breaker, known.deployment
        names = {"provider": deployment.provider.name, "model": deployment.upstream_model}
        if breaker.phase == "open":
            seconds = round(breaker.until - self._now(), 1)
            log.warning("breaker.open", **names, reason=breaker.reason, seconds=seconds)
        else:
            log.info(f"breaker.{breaker.phase}", **names)
        state.breaker_changes[deployment.provider.name, deployment.upstream_model, breaker.phase] += 1
        if not heard:
            self._on_change(known)

    def _recognised(self, deployment: Deployment, known: Known | None) -> Known:
        field = _field(deployment)
        if known is None or known.field != field:
            if len(self._known) >= _MOST:
                self._known.clear()
            known = self._known[deployment.id] = Known(deployment, field)
            known.breaker.round_size = self._round_size(deployment)
            self._adopt(known)
        elif len(known.alike) >= _MOST_ALIKE:
            known.alike.clear()
        known.alike[id(deployment)] = known.deployment = deployment
        return known

    def _round_size(self, deployment: Deployment) -> int:
        live, place = self._share
        calls = deployment.breaker.half_open_calls
        return max(1, calls // live + (place < calls % live))


def _field(deployment: Deployment) -> str:
    provider = deployment.provider
    made_of = (
        *(provider.id, provider.vendor, provider.base_url, sorted(provider.options.items())),
        *(deployment.upstream_model, deployment.protocol, deployment.version, deployment.breaker),
    )
    digest = hashlib.blake2b(msgspec.json.encode(made_of), digest_size=8).hexdigest()
    return f"b:{deployment.id}:{digest}"


def _room(deployment_id: int) -> tuple[int | None, int | None, int]:
    room = rooms.open.get(deployment_id)
    return (None, None, 0) if room is None else (room.in_flight, room.most, room.waiting)
