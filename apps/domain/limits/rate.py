"""Rates a minute by GCRA, and calls at one time; over several limits all or nothing.

A meter is one moment: when the bucket will be empty again ("theoretical arrival time"). Its distance from now is what
is in use, and a full minute's distance is a full bucket. All is integer microseconds, so a thing costs its share of a
minute rounded down, which lets through at most a microsecond's worth a call.

A call that asks for more tokens than a whole minute allows takes the whole minute: it waits for an empty bucket, and
what it really used is charged when it is over, so the average holds without refusing large calls for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from apps.domain.limits.decision import FREE, Allowance, Charge, Decision, Kind, Stand
from apps.domain.snapshot import Limit

MINUTE = 60_000_000
# Nobody knows when a running call will end.
BUSY_WAIT = 1_000_000
_SWEEP_AT_LEAST = 4096


def share(amount: int, *, per_minute: int) -> int:
    """Microseconds of a minute that `amount` takes."""
    return amount * MINUTE // per_minute


class Meter:
    __slots__ = ("in_flight", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0
        self.in_flight = 0

    def is_idle(self, now: int) -> bool:
        return not self.in_flight and self.requests <= now and self.tokens <= now


Pairs = Sequence[tuple[Limit, Meter]]


class RateTable:
    """The meters of one process. `now` is any clock's microseconds that never runs backwards."""

    def __init__(self) -> None:
        self._meters: dict[str, Meter] = {}
        self._known: dict[int, tuple[Sequence[Limit], Pairs]] = {}  # by the identity of what is held here, too
        self._sweep_at = _SWEEP_AT_LEAST

    def __len__(self) -> int:
        return len(self._meters)

    def admit(self, limits: Sequence[Limit], *, tokens: int, now: int) -> Decision:
        if not limits:
            return FREE
        if len(self._meters) >= self._sweep_at:
            self._sweep(now)
        pairs = self._pairs(limits)
        return _take(limits, pairs, tokens=tokens, now=now) or _refusal(pairs, tokens=tokens, now=now)

    def stands(self, limits: Sequence[Limit], *, now: int) -> list[Stand]:
        """What is left of each. Takes nothing, and makes no meter where there is none."""
        idle = Meter()
        meters = [(limit, self._meters.get(limit.key, idle)) for limit in limits]
        return [
            stand_of(limit, requests=meter.requests, tokens=meter.tokens, in_flight=meter.in_flight, now=now)
            for limit, meter in meters
        ]

    def release(self, decision: Decision, *, tokens_used: int | None, now: int) -> None:
        """Frees the call's place; moves the meters of tokens from what was asked to what was used."""
        self.leave(decision.limits)
        if tokens_used is None:
            return
        meters = self._meters
        for charge in decision.charges:
            if (meter := meters[charge.limit.key]).tokens > now or tokens_used > charge.amount:
                meter.tokens = corrected(meter.tokens, charge, tokens_used=tokens_used, now=now)

    def mirror(self, limits: Sequence[Limit], stands: Sequence[int], *, then: int, now: int, admitted: bool) -> None:
        """Takes over where other meters stand: of each limit, that of requests and that of tokens, by their clock, on
        which it is `then`. A call that was admitted there has its places here too, until it leaves."""
        if len(self._meters) >= self._sweep_at:
            self._sweep(now)
        ahead, stand = now - then, iter(stands)
        for limit, meter in self._pairs(limits):
            meter.requests, meter.tokens = next(stand) + ahead, next(stand) + ahead
            if admitted and limit.concurrency is not None:
                meter.in_flight += 1

    def leave(self, limits: Sequence[Limit]) -> None:
        """A call's places are free."""
        for limit, meter in self._pairs(limits):
            if limit.concurrency is not None and meter.in_flight:
                meter.in_flight -= 1

    def _pairs(self, limits: Sequence[Limit]) -> Pairs:
        """A key's calls of one model bring the same tuple every time."""
        known = self._known.get(id(limits))
        if known is not None and known[0] is limits:
            return known[1]
        pairs = [(limit, self._meters.get(limit.key) or self._new(limit.key)) for limit in limits]
        if isinstance(limits, tuple):
            if len(self._known) >= _SWEEP_AT_LEAST:
                self._known.clear()
            self._known[id(limits)] = (limits, pairs)
        return pairs

    def _new(self, key: str) -> Meter:
        meter = self._meters[key] = Meter()
        return meter

    def _sweep(self, now: int) -> None:
        self._known.clear()
        self._meters = {name: meter for name, meter in self._meters.items() if not meter.is_idle(now)}
        self._sweep_at = max(_SWEEP_AT_LEAST, 2 * len(self._meters))


def stand_of(limit: Limit, *, requests: int, tokens: int, in_flight: int, now: int) -> Stand:
    """By where its meters stand, in microseconds."""
    places = limit.concurrency
    return Stand(
        limit,
        tightest_of([(limit, requests, tokens)], now=now)[0],
        tightest_of([(limit, requests, tokens)], now=now)[1],
        None if places is None else Allowance(places, max(0, places - in_flight), 0.0),
    )


def corrected(stands: int, charge: Charge, *, tokens_used: int, now: int) -> int:
    """Where a meter of tokens stands once a call's true use is known.

    Only what has not drained since may be given back, or it would be given twice.
    """
    assert charge.limit.tokens_per_minute is not None
    if tokens_used > charge.amount:
        return max(stands, now) + share(tokens_used - charge.amount, per_minute=charge.limit.tokens_per_minute)
    unused = share(charge.amount - tokens_used, per_minute=charge.limit.tokens_per_minute)
    return stands - min(unused, max(0, charge.mark - now))


def _take(limits: Sequence[Limit], pairs: Pairs, *, tokens: int, now: int) -> Decision | None:
    """None: some limit refuses, and what was taken of those before it is given back. On every call's way, hence in
    one pass."""
    charges: list[Charge] = []
    requests: tuple[int, int, int] | None = None  # of the tightest limit: what is left, allowed, microseconds in use
    tightest: tuple[int, int, int] | None = None
    for taken, (limit, meter) in enumerate(pairs):
        requests_used = tokens_used = amount = 0
        if (per_minute := limit.requests_per_minute) is not None:
            stands = meter.requests
            requests_used = (stands - now if stands > now else 0) + MINUTE // per_minute
        if (allowed := limit.tokens_per_minute) is not None:
            amount = tokens if tokens < allowed else allowed
            stands = meter.tokens
            tokens_used = (stands - now if stands > now else 0) + amount * MINUTE // allowed
        most = limit.concurrency
        if requests_used > MINUTE or tokens_used > MINUTE or (most is not None and meter.in_flight >= most):
            _undo(pairs[:taken], tokens=tokens)
            return None
        if most is not None:
            meter.in_flight += 1
        if per_minute is not None:
            meter.requests = now + requests_used
            left = (MINUTE - requests_used) * per_minute // MINUTE
            if requests is None or left < requests[0]:
                requests = (left, per_minute, requests_used)
        if allowed is not None:
            meter.tokens = now + tokens_used
            left = (MINUTE - tokens_used) * allowed // MINUTE
            if tightest is None or left < tightest[0]:
                tightest = (left, allowed, tokens_used)
            charges.append(Charge(limit, amount, now + tokens_used))
    return Decision(True, None, None, 0.0, _allowance(requests), _allowance(tightest), tuple(limits), tuple(charges))


def _undo(pairs: Pairs, *, tokens: int) -> None:
    """Gives back what was taken. A meter that stood in the past stands at the present then, which is the same."""
    for limit, meter in pairs:
        if limit.concurrency is not None:
            meter.in_flight -= 1
        if limit.requests_per_minute is not None:
            meter.requests -= MINUTE // limit.requests_per_minute
        if limit.tokens_per_minute is not None:
            meter.tokens -= share(min(tokens, limit.tokens_per_minute), per_minute=limit.tokens_per_minute)


def _refusal(pairs: Pairs, *, tokens: int, now: int) -> Decision:
    """By the limit that is longest to wait for."""
    waits = [(*found, limit) for limit, meter in pairs if (found := _wait(limit, meter, tokens, now)) is not None]
    wait, kind, limit = max(waits, key=lambda found: found[0])
    requests, tightest = tightest_of([(limit, meter.requests, meter.tokens) for limit, meter in pairs], now=now)
    return Decision(False, limit, kind, wait / 1_000_000, requests, tightest, held=False)


def _wait(limit: Limit, meter: Meter, tokens: int, now: int) -> tuple[int, Kind] | None:
    """None: it may pass. Otherwise how long it must wait, and for what."""
    found: tuple[int, Kind] | None = None
    if limit.concurrency is not None and meter.in_flight >= limit.concurrency:
        found = (BUSY_WAIT, "concurrency")
    if (allowed := limit.requests_per_minute) is not None:
        wait = max(0, meter.requests - now) + MINUTE // allowed - MINUTE
        if wait > 0 and (found is None or wait > found[0]):
            found = (wait, "requests")
    if (allowed := limit.tokens_per_minute) is not None:
        wait = max(0, meter.tokens - now) + min(tokens, allowed) * MINUTE // allowed - MINUTE
        if wait > 0 and (found is None or wait > found[0]):
            found = (wait, "tokens")
    return found


def tightest_of(stands: Sequence[tuple[Limit, int, int]], *, now: int) -> tuple[Allowance | None, Allowance | None]:
    """Of requests and of tokens, the limit with least left. `stands`: limit, its meters of requests and tokens."""
    requests: tuple[int, int, int] | None = None
    tokens: tuple[int, int, int] | None = None
    for limit, requests_at, tokens_at in stands:
        if (allowed := limit.requests_per_minute) is not None:
            used = requests_at - now if requests_at > now else 0
            left = (MINUTE - used) * allowed // MINUTE
            if requests is None or left < requests[0]:
                requests = (left, allowed, used)
        if (allowed := limit.tokens_per_minute) is not None:
            used = tokens_at - now if tokens_at > now else 0
            left = (MINUTE - used) * allowed // MINUTE
            if tokens is None or left < tokens[0]:
                tokens = (left, allowed, used)
    return _allowance(requests), _allowance(tokens)


def _allowance(found: tuple[int, int, int] | None) -> Allowance | None:
    """`found`: what is left, what is allowed, the microseconds of a minute in use."""
    return None if found is None else Allowance(found[1], max(0, found[0]), found[2] / 1_000_000)
