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
        meters = [self._meters.get(limit.key) or self._new(limit.key) for limit in limits]
        waits = [_wait(limit, meter, tokens=tokens, now=now) for limit, meter in zip(limits, meters, strict=True)]
        if any(waits):
            wait, kind, limit = max(
                ((*wait, limit) for wait, limit in zip(waits, limits, strict=True) if wait), key=lambda found: found[0]
            )
            requests, tightest = tightest_of(
                [(limit, meter.requests, meter.tokens) for limit, meter in zip(limits, meters, strict=True)], now=now
            )
            return Decision(False, limit, kind, wait / 1_000_000, requests, tightest, held=False)
        return _take(limits, meters, tokens=tokens, now=now)

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


def _wait(limit: Limit, meter: Meter, *, tokens: int, now: int) -> tuple[int, Kind] | None:
    """None: it may pass. Otherwise how long it must wait, and for what."""
    found: tuple[int, Kind] | None = None
    if limit.concurrency is not None and meter.in_flight >= limit.concurrency:
        found = (BUSY_WAIT, "concurrency")
    full = now + MINUTE
    if (allowed := limit.requests_per_minute) is not None:
        wait = max(meter.requests, now) + MINUTE // allowed - full
        if wait > 0 and (found is None or wait > found[0]):
            found = (wait, "requests")
    if (allowed := limit.tokens_per_minute) is not None:
        wait = max(meter.tokens, now) + min(tokens, allowed) * MINUTE // allowed - full
        if wait > 0 and (found is None or wait > found[0]):
            found = (wait, "tokens")
    return found


def _take(limits: Sequence[Limit], meters: Sequence[Meter], *, tokens: int, now: int) -> Decision:
    charges = []
    stands = []
    for limit, meter in zip(limits, meters, strict=True):
        if (allowed := limit.requests_per_minute) is not None:
            meter.requests = max(meter.requests, now) + MINUTE // allowed
        if (allowed := limit.tokens_per_minute) is not None:
            amount = min(tokens, allowed)
            meter.tokens = max(meter.tokens, now) + amount * MINUTE // allowed
            charges.append(Charge(limit, amount, meter.tokens))
        if limit.concurrency is not None:
            meter.in_flight += 1
        stands.append((limit, meter.requests, meter.tokens))
    requests, tightest = tightest_of(stands, now=now)
    return Decision(True, None, None, 0.0, requests, tightest, tuple(limits), tuple(charges))


def tightest_of(stands: Sequence[tuple[Limit, int, int]], *, now: int) -> tuple[Allowance | None, Allowance | None]:
    """Of requests and of tokens, the limit with least left. `stands`: limit, its meters of requests and tokens."""
    requests = tokens = None
    for limit, requests_at, tokens_at in stands:
        if (allowed := limit.requests_per_minute) is not None:
            requests = _tighter(requests, allowed=allowed, used=requests_at - now)
        if (allowed := limit.tokens_per_minute) is not None:
            tokens = _tighter(tokens, allowed=allowed, used=tokens_at - now)
    return requests, tokens


def _tighter(best: Allowance | None, *, allowed: int, used: int) -> Allowance:
    """`used` is in microseconds of a minute."""
    used = max(used, 0)
    remaining = max(0, (MINUTE - used) * allowed // MINUTE)
    if best is not None and best.remaining <= remaining:
        return best
    return Allowance(allowed, remaining, used / 1_000_000)
