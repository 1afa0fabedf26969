"""Rates a minute by GCRA, and calls at one time; over several limits all or nothing.

A meter is one moment: when the bucket will be empty again ("theoretical arrival time"). Its distance from now is what
is in use, and a full minute's distance is a full bucket. All is integer microseconds, so a thing costs its share of a
minute rounded down, which lets through at most a microsecond's worth a call.

A call that asks for more tokens than a whole minute allows takes the whole minute: it waits for an empty bucket, and
what it really used is charged when it is over, so the average holds without refusing large calls for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from apps.domain.limits.decision import FREE, Allowance, Charge, Decision, Kind
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


class RateTable:
    """The meters of one process. `now` is any clock's microseconds that never runs backwards."""

    def __init__(self) -> None:
        self._meters: dict[str, Meter] = {}
        self._sweep_at = _SWEEP_AT_LEAST

    def __len__(self) -> int:
        return len(self._meters)

    def admit(self, limits: Sequence[Limit], *, tokens: int, now: int) -> Decision:
        if not limits:
            return FREE
        if len(self._meters) >= self._sweep_at:
            self._sweep(now)
        pairs = [(limit, self._meters.get(limit.key) or self._new(limit.key)) for limit in limits]
        refusal: tuple[int, Kind, Limit] | None = None
        for limit, meter in pairs:
            found = _wait(limit, meter, tokens, now)
            if found is not None and (refusal is None or found[0] > refusal[0]):
                refusal = (*found, limit)
        if refusal is None:
            return _take(pairs, tokens=tokens, now=now)
        wait, kind, limit = refusal
        requests, tightest = tightest_of([(limit, meter.requests, meter.tokens) for limit, meter in pairs], now=now)
        return Decision(False, limit, kind, wait / 1_000_000, requests, tightest, held=False)

    def release(self, decision: Decision, *, tokens_used: int | None, now: int) -> None:
        """Frees the call's place; moves the meters of tokens from what was asked to what was used."""
        for limit in decision.limits:
            if limit.concurrency is not None and (meter := self._meters.get(limit.key)) is not None:
                meter.in_flight = max(0, meter.in_flight - 1)
        if tokens_used is None:
            return
        for charge in decision.charges:
            if (meter := self._meters.get(charge.limit.key)) is not None:
                meter.tokens = corrected(meter.tokens, charge, tokens_used=tokens_used, now=now)

    def _new(self, key: str) -> Meter:
        meter = self._meters[key] = Meter()
        return meter

    def _sweep(self, now: int) -> None:
        self._meters = {name: meter for name, meter in self._meters.items() if not meter.is_idle(now)}
        self._sweep_at = max(_SWEEP_AT_LEAST, 2 * len(self._meters))


def corrected(stands: int, charge: Charge, *, tokens_used: int, now: int) -> int:
    """Where a meter of tokens stands once a call's true use is known.

    Only what has not drained since may be given back, or it would be given twice.
    """
    assert charge.limit.tokens_per_minute is not None
    if tokens_used > charge.amount:
        return max(stands, now) + share(tokens_used - charge.amount, per_minute=charge.limit.tokens_per_minute)
    unused = share(charge.amount - tokens_used, per_minute=charge.limit.tokens_per_minute)
    return stands - min(unused, max(0, charge.mark - now))


def _wait(limit: Limit, meter: Meter, tokens: int, now: int) -> tuple[int, Kind] | None:
    """None: it may pass. Otherwise how long it must wait, and for what."""
    found: tuple[int, Kind] | None = None
    if limit.concurrency is not None and meter.in_flight >= limit.concurrency:
        found = (BUSY_WAIT, "concurrency")
    if (allowed := limit.requests_per_minute) is not None:
        used = meter.requests - now if meter.requests > now else 0
        wait = used + MINUTE // allowed - MINUTE
        if wait > 0 and (found is None or wait > found[0]):
            found = (wait, "requests")
    if (allowed := limit.tokens_per_minute) is not None:
        used = meter.tokens - now if meter.tokens > now else 0
        wait = used + (tokens if tokens < allowed else allowed) * MINUTE // allowed - MINUTE
        if wait > 0 and (found is None or wait > found[0]):
            found = (wait, "tokens")
    return found


def _take(pairs: Sequence[tuple[Limit, Meter]], *, tokens: int, now: int) -> Decision:
    charges = []
    stands = []
    for limit, meter in pairs:
        if (allowed := limit.requests_per_minute) is not None:
            meter.requests = (meter.requests if meter.requests > now else now) + MINUTE // allowed
        if (allowed := limit.tokens_per_minute) is not None:
            amount = tokens if tokens < allowed else allowed
            meter.tokens = (meter.tokens if meter.tokens > now else now) + amount * MINUTE // allowed
            charges.append(Charge(limit, amount, meter.tokens))
        if limit.concurrency is not None:
            meter.in_flight += 1
        stands.append((limit, meter.requests, meter.tokens))
    requests, tightest = tightest_of(stands, now=now)
    limits = tuple([limit for limit, _ in pairs])
    return Decision(True, None, None, 0.0, requests, tightest, limits, tuple(charges))


def tightest_of(stands: Sequence[tuple[Limit, int, int]], *, now: int) -> tuple[Allowance | None, Allowance | None]:
    """Of requests and of tokens, the limit with least left. `stands`: limit, its meters of requests and tokens."""
    requests = tokens = None
    fewest = least = 0
    for limit, requests_at, tokens_at in stands:
        if (allowed := limit.requests_per_minute) is not None:
            used = requests_at - now if requests_at > now else 0
            left = (MINUTE - used) * allowed // MINUTE
            if requests is None or left < fewest:
                requests, fewest = (allowed, used), left
        if (allowed := limit.tokens_per_minute) is not None:
            used = tokens_at - now if tokens_at > now else 0
            left = (MINUTE - used) * allowed // MINUTE
            if tokens is None or left < least:
                tokens, least = (allowed, used), left
    return _allowance(requests, fewest), _allowance(tokens, least)


def _allowance(found: tuple[int, int] | None, left: int) -> Allowance | None:
    """`found`: the limit and the microseconds of a minute in use."""
    return None if found is None else Allowance(found[0], max(0, left), found[1] / 1_000_000)
