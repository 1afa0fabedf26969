"""Credentials that a provider refuses, set aside for a time, so that others are asked instead and it is not stormed.

- 429: for the upstream model that was asked, as long as the provider's `Retry-After` says. Nobody asks with it before,
  but one call every PROBE_SECONDS for which everything else has failed.
- 401 and 402: altogether; 403: for that model, as it may be the model that is forbidden. A minute, doubled every time
  up to a quarter of an hour. One call every PROBE_SECONDS may ask with it where nothing else is left, and only one at
  a time when the time is over. The first success ends it.

Another secret under the same alias has never been refused: see `Credential.version`.
"""

from __future__ import annotations

import math
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

import structlog

from apps.domain import errors
from apps.runtime import clock
from apps.runtime.state import Resting, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from apps.domain.routing.plan import Try
    from apps.domain.snapshot import Credential, Deployment

log = structlog.get_logger(__name__)

LIMITED_SECONDS = 5.0  # where a 429 names no time
MAX_LIMITED_SECONDS = 900.0  # some name tomorrow
REFUSED_SECONDS = 60.0
MAX_REFUSED_SECONDS = 900.0
PROBE_SECONDS = 5.0
_SWEEP_SECONDS = 60.0
_FORBIDDEN = 403


class _Rest:
    """Times are monotonic. `strikes`: refusals in a row, without those of calls that were under way already."""

    __slots__ = (
        *("alias", "asked_at", "id", "is_limit", "model", "provider", "reason", "since", "strikes", "until"),
        "version",
    )

    def __init__(self, *, id: int, version: float, alias: str, provider: str, model: str, is_limit: bool) -> None:
        self.id, self.version, self.alias = id, version, alias  # of the credential
        self.provider = provider
        self.model = model
        self.is_limit = is_limit
        self.reason = ""
        self.since = self.until = self.asked_at = -math.inf
        self.strikes = 0

    def aside(self, seconds: float) -> Aside:
        told = (self.alias, self.provider, self.model, self.is_limit)
        return Aside(self.id, self.version, *told, self.reason, self.strikes, seconds)

    def ready_at(self) -> float:
        return self.until if self.is_limit else max(self.until, self.asked_at + PROBE_SECONDS)

    def is_forgotten(self, credential: Credential, now: float) -> bool:
        """A limit is over with its time; a refusal is remembered until somebody has asked again, within reason."""
        return self.version != credential.version or self.is_over(now)

    def is_over(self, now: float) -> bool:
        return now >= self.until + (0.0 if self.is_limit else MAX_REFUSED_SECONDS)


class Aside(NamedTuple):
    """A credential that is set aside for so many `seconds` from when it is told; 0: no more."""

    credential_id: int
    version: float
    alias: str
    provider: str
    model: str
    is_limit: bool
    reason: str
    strikes: int
    seconds: float


class Cooling:
    """Of one process, on its event loop. By credential and upstream model ("": all of them)."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._rests: dict[tuple[int, str], _Rest] = {}
        self._sweep_at = -math.inf
        self.on_change: Callable[[Aside], None] | None = None

    def __bool__(self) -> bool:
        """Whether anything may rest: nothing has to be asked while nothing does."""
        return bool(self._rests)

    def forget(self) -> None:
        self._rests.clear()
        self._publish()

    def seconds(self, deployment: Deployment, credential: Credential) -> float:
        """Until it is ready; 0: it is."""
        now = self._now()
        return max([0.0, *(rest.ready_at() - now for rest in self._of(deployment, credential))])

    def admits(self, candidate: Try, *, is_last_resort: bool) -> bool:
        """Whether it may be asked now. Says so once for every time that it may."""
        now = self._now()
        rests = [*self._of(candidate.deployment, candidate.credential)]
        for rest in rests:
            if now < rest.asked_at + PROBE_SECONDS and (now < rest.until or not rest.is_limit):
                return False
            if rest.is_limit and now < rest.until and not is_last_resort:
                return False
        for rest in rests:
            rest.asked_at = now
        return True

    def refused(self, candidate: Try, error: errors.UpstreamError, *, asked_at: float) -> str:
        """Notes what came of asking at `asked_at` (monotonic). Returns what is done about it, in a few words; "":
        nothing."""
        if isinstance(error, errors.UpstreamRateLimited):
            model, seconds = candidate.deployment.upstream_model, _limited_seconds(error)
        elif isinstance(error, errors.UpstreamAuth):
            model = candidate.deployment.upstream_model if error.upstream_status == _FORBIDDEN else ""
            seconds = math.inf
        else:
            return ""
        if seconds <= 0:
            return ""
        told = str(error.upstream_status or error.kind)
        rest = self._rest(candidate, model=model, is_limit=isinstance(error, errors.UpstreamRateLimited))
        left = self._set_aside(rest, told, seconds, asked_at=asked_at)
        return f"credential {candidate.credential.alias}: {told}, cooling {math.ceil(left)} s"

    def succeeded(self, candidate: Try, *, asked_at: float) -> None:
        """An answer has begun to a call of `asked_at`."""
        self._sweep()
        ended = [
            rest
            for rest in self._of(candidate.deployment, candidate.credential)
            if not rest.is_limit and asked_at >= rest.since
        ]
        for rest in ended:
            del self._rests[rest.id, rest.model]
            log.info("credential.recovered", provider=rest.provider, credential=rest.alias)
            self._tell(rest, 0.0)
        if ended:
            self._publish()

    def adopt(self, told: Aside, *, age: float) -> None:
        """What another process has found, `age` seconds ago."""
        key, now = (told.credential_id, told.model), self._now()
        if told.seconds <= age:
            rest = self._rests.get(key)
            if rest is not None and rest.version == told.version and not rest.is_limit:
                del self._rests[key]
                self._publish()
            return
        rest = self._rests[key] = _Rest(
            id=told.credential_id,
            version=told.version,
            alias=told.alias,
            provider=told.provider,
            model=told.model,
            is_limit=told.is_limit,
        )
        rest.reason, rest.strikes = told.reason, told.strikes
        rest.since = rest.asked_at = now - age
        rest.until = now + told.seconds - age
        self._publish()

    def asides(self) -> list[Aside]:
        """All that rest now."""
        now = self._now()
        return [rest.aside(rest.until - now) for rest in self._rests.values() if now < rest.until]

    def resting(self, candidates: Iterable[Try]) -> list[str]:
        """Of those that rest, why and how long, in a few words each."""
        now = self._now()
        return [
            f"credential {rest.alias}: {rest.reason}, {math.ceil(rest.until - now)} s to go"
            for deployment, credential, _ in candidates
            for rest in self._of(deployment, credential)
            if now < rest.until
        ]

    def refusal(self, candidates: Iterable[Try]) -> errors.UpstreamError:
        """What a call is told that none of them may be asked for."""
        rests = [rest for deployment, credential, _ in candidates for rest in self._of(deployment, credential)]
        limits = [rest.until - self._now() for rest in rests if rest.is_limit]
        if limits:
            soonest = max(0.001, min(limits))
            return errors.UpstreamRateLimited(
                f"the provider limits its calls; it may be asked again in {math.ceil(soonest)} s", retry_after=soonest
            )
        return errors.UpstreamAuth("the provider refused the gateway's credential a moment ago")

    def _of(self, deployment: Deployment, credential: Credential) -> Iterator[_Rest]:
        for model in ("", deployment.upstream_model):
            rest = self._rests.get((credential.id, model))
            if rest is None:
                continue
            if rest.is_forgotten(credential, self._now()):
                del self._rests[credential.id, model]
                continue
            yield rest

    def _rest(self, candidate: Try, *, model: str, is_limit: bool) -> _Rest:
        self._sweep()
        key = (candidate.credential.id, model)
        rest = self._rests.get(key)
        if rest is None or rest.is_limit != is_limit or rest.is_forgotten(candidate.credential, self._now()):
            credential = candidate.credential
            rest = self._rests[key] = _Rest(
                id=credential.id,
                version=credential.version,
                alias=credential.alias,
                provider=candidate.deployment.provider.name,
                model=model,
                is_limit=is_limit,
            )
        return rest

    def _set_aside(self, rest: _Rest, told: str, seconds: float, *, asked_at: float) -> float:
        """Returns the seconds that are left. Of calls that were under way together, one refusal counts."""
        now = self._now()
        rest.reason = told
        if asked_at < rest.since:
            rest.until = max(rest.until, now + seconds) if rest.is_limit else rest.until
            return rest.until - now
        rest.since = rest.asked_at = now
        rest.strikes += 1
        refused = REFUSED_SECONDS * 2 ** min(rest.strikes - 1, 16)
        rest.until = now + (seconds if rest.is_limit else min(refused, MAX_REFUSED_SECONDS))
        names = {"provider": rest.provider, "credential": rest.alias, "reason": told}
        log.warning("credential.cooling", **names, model=rest.model, seconds=round(rest.until - now, 1))
        state.cool_downs[rest.provider, rest.alias, told] += 1
        self._publish()
        self._tell(rest, rest.until - now)
        return rest.until - now

    def _tell(self, rest: _Rest, seconds: float) -> None:
        if self.on_change is not None:
            self.on_change(rest.aside(seconds))

    def _sweep(self) -> None:
        """Now and then, what is over: of a credential that there is no more, nobody asks."""
        now = self._now()
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP_SECONDS
        self._rests = {key: rest for key, rest in self._rests.items() if not rest.is_over(now)}
        self._publish()

    def _publish(self) -> None:
        offset = time.time() - self._now()
        state.resting = tuple(
            Resting(rest.provider, rest.alias, rest.model, rest.reason, rest.until + offset)
            for rest in self._rests.values()
        )


cooling = Cooling()
"""This process's."""


def heed(error: errors.UpstreamError, headers: Mapping[str, str]) -> None:
    """Lets an error know the wait that its answer names as a date."""
    if error.retry_after is None and isinstance(error, errors.UpstreamRateLimited | errors.UpstreamOverloaded):
        error.retry_after = told_wait(headers)


def told_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After` that is a date, by the answer's own date where it has one: clocks differ."""
    due = _moment(headers.get("retry-after", ""))
    if due is None:
        return None
    sent = _moment(headers.get("date", ""))
    return max(0.0, due - (clock.now() if sent is None else sent))


def _moment(date: str) -> float | None:
    """Unix seconds of an HTTP date."""
    try:
        return parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp()  # HTTP's are GMT, whatever they say
    except (ValueError, OverflowError):
        return None


def _limited_seconds(error: errors.UpstreamRateLimited) -> float:
    wait = LIMITED_SECONDS if error.retry_after is None else error.retry_after
    return min(wait, MAX_LIMITED_SECONDS)
