"""The gateway's own Prometheus figures. Labels are bounded: dialects, outcomes and the catalog's names."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from apps.runtime.state import state

if TYPE_CHECKING:
    from apps.domain.errors import GatewayError
    from apps.domain.tokens import TokenUsage
    from apps.gateway.context import RequestContext

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class _Told(NamedTuple):
    """A settled call, as far as it is counted: seconds, nano-USD."""

    dialect: str
    model: str
    outcome: str
    seconds: float
    attempts: list[tuple[float | None, TokenUsage | None, int]]  # to the first byte, usage, cost


class _Waiting(Collector):
    """Calls that are not counted yet: each counter takes a lock and microseconds, and less when many come at once.
    Counted some times a second, and when the registry is read: this one stands before the counters there."""

    def __init__(self) -> None:
        self._calls: deque[_Told] = deque()  # may be filled and emptied by two threads

    def add(self, call: _Told) -> None:
        """On the event loop."""
        if not self._calls:
            asyncio.get_running_loop().call_later(_TELL_SECONDS, self.tell)
        self._calls.append(call)

    def tell(self) -> None:
        sums: dict[Counter, float] = defaultdict(float)
        with contextlib.suppress(IndexError):  # empty, perhaps because another thread tells at the same time
            while True:
                _count(self._calls.popleft(), sums)
        for counter, amount in sums.items():
            counter.inc(amount)

    def collect(self) -> list[Counter]:  # type: ignore[override]  # none
        self.tell()
        return []

    def describe(self) -> list[Counter]:
        return []


_TELL_SECONDS = 0.2
_waiting = _Waiting()
tell = _waiting.tell
REGISTRY.register(_waiting)

CALLS = Counter("weir_calls", "Calls by dialect, model and outcome.", ("dialect", "model", "outcome"))
DURATION = Histogram("weir_call_duration_seconds", "From request to last byte.", ("dialect",), buckets=_SECONDS)
FIRST_BYTE = Histogram(
    "weir_time_to_first_token_seconds", "From request to the first event.", ("dialect",), buckets=_SECONDS
)
TOKENS = Counter("weir_tokens", "Tokens by model and direction.", ("model", "direction"))
COST = Counter("weir_cost_usd", "Cost in US dollars by model; the exact figure is in the ledger.", ("model",))
FINDINGS = Counter(
    "weir_policy_findings", "What policies found, by kind, what was done, and where.", ("kind", "action", "in")
)
CACHE = Counter("weir_cache_lookups", "Calls under a cache policy, by model and what came of it.", ("model", "result"))
SAVED = Counter("weir_cache_saved_usd", "What answers had cost that were given again.", ("model",))
TELEMETRY = Counter("weir_telemetry_bytes", "OTLP that coding agents have sent, not kept, by signal.", ("signal",))
IN_FLIGHT = Gauge("weir_calls_in_flight", "Calls being answered.", multiprocess_mode="livesum")
IN_FLIGHT.set_function(lambda: state.in_flight)


def observe(ctx: RequestContext, failure: GatewayError | None) -> None:
    """Counts one settled call."""
    _waiting.add(
        _Told(
            ctx.wire.name,
            ctx.model.name if ctx.model is not None else "",
            failure.kind if failure is not None else "ok",
            time.monotonic() - ctx.started,
            [(attempt.first_byte_seconds, attempt.usage, attempt.cost) for attempt in ctx.attempts],
        )
    )


def exported(signal: str, size: int) -> None:
    """Counts what an agent has exported; `size` in bytes."""
    TELEMETRY.labels(signal).inc(size)


def looked_up(ctx: RequestContext, result: str, *, saved: int) -> None:
    """Counts a call that the cache has to do with; `saved` in nano-USD."""
    model = ctx.model.name if ctx.model is not None else ""
    _cache(model, result).inc()
    if saved:
        _saved(model).inc(saved / 1e9)


def _count(call: _Told, sums: dict[Counter, float]) -> None:
    """Adds to `sums` what goes to counters; a histogram is told at once."""
    dialect, model, outcome, seconds, attempts = call
    sums[_calls(dialect, model, outcome)] += 1
    _duration(dialect).observe(seconds)
    for first_byte_seconds, usage, cost in attempts:
        if first_byte_seconds is not None:
            _first_byte(dialect).observe(first_byte_seconds)
        if usage is not None:
            sums[_tokens(model, "in")] += usage.in_total
            sums[_tokens(model, "out")] += usage.out_total
        if cost:
            sums[_cost(model)] += cost / 1e9


# `labels()` takes a lock and builds a tuple; a child is looked up once.
_calls = lru_cache(maxsize=4096)(CALLS.labels)
_duration = lru_cache(maxsize=64)(DURATION.labels)
_first_byte = lru_cache(maxsize=64)(FIRST_BYTE.labels)
_tokens = lru_cache(maxsize=4096)(TOKENS.labels)
_cost = lru_cache(maxsize=4096)(COST.labels)
_cache = lru_cache(maxsize=4096)(CACHE.labels)
_saved = lru_cache(maxsize=4096)(SAVED.labels)
