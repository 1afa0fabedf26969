"""The gateway's own Prometheus figures. Labels are bounded: dialects, outcomes and the catalog's names."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from prometheus_client import REGISTRY, Counter
from prometheus_client.registry import Collector

from apps.domain import errors
from apps.runtime.measured import Counts, Spreads, Words, apart

if TYPE_CHECKING:
    from apps.domain.snapshot import Deployment
    from apps.domain.tokens import TokenUsage
    from apps.gateway.context import RequestContext

Child = TypeVar("Child")

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_OVERHEAD = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_A_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0)

_OUTCOMES: tuple[tuple[type[errors.GatewayError], str], ...] = (
    (errors.UpstreamRefused, "refused"),
    (errors.UpstreamAuth, "auth"),
    (errors.UpstreamRateLimited, "rate_limit"),
    (errors.UpstreamOverloaded, "overloaded"),
    (errors.UpstreamTimeout, "timeout"),
    (errors.ConnectionStale, "stale"),
    (errors.UpstreamBroken, "broken"),
    (errors.UpstreamError, "failed"),
    (errors.Outpaced, "outpaced"),
    (errors.ClientGone, "client_gone"),
    (errors.ClientError, "stopped"),  # a budget or a policy ended it
)
# Whose a call's failure is; the first that it is.
_FAULTS: tuple[tuple[type[errors.GatewayError], str], ...] = (
    (errors.ClientError, "caller"),
    (errors.Unsupported, "caller"),
    (errors.UpstreamRefused, "caller"),
    (errors.UpstreamError, "provider"),
    (errors.NoPrice, "gateway"),
    (errors.NoDeployment, "provider"),
)


_Tried = tuple["Deployment", str, float, float | None, float, "TokenUsage | None", int]
"""An attempt whose upstream was asked: its outcome, seconds from the call's beginning to its own, then from its own to
the first event and to the end; nano-USD."""


class _Told(NamedTuple):
    """A settled call, as far as it is counted: seconds. `overhead` None: nobody was asked."""

    dialect: str
    model: str
    outcome: str
    fault: str
    seconds: float
    overhead: float | None
    tried: list[_Tried]


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

CALLS = Counter(
    "weir_calls",
    "Calls by dialect, model, outcome, and whose the failure is.",
    ("dialect", "model", "outcome", "fault"),
)
TOKENS = Counter(
    "weir_tokens", "Tokens by model and provider: five counters that never overlap.",
    ("model", "provider", "direction", "kind"),
)  # fmt: skip
COST = Counter(
    "weir_cost_usd", "Cost in US dollars by model and provider; the exact figure is in the ledger.",
    ("model", "provider"),
)  # fmt: skip
FINDINGS = Counter(
    "weir_policy_findings", "What policies found, by kind, what was done, and where.", ("kind", "action", "in")
)
CACHE = Counter("weir_cache_lookups", "Calls under a cache policy, by model and what came of it.", ("model", "result"))
SAVED = Counter("weir_cache_saved_usd", "What answers had cost that were given again.", ("model",))
TELEMETRY = Counter("weir_telemetry_bytes", "OTLP that coding agents have sent, not kept, by signal.", ("signal",))

_OF = ("provider", "model")
DURATION = Spreads("weir_call_duration_seconds", "From request to last byte.", ("dialect",), bounds=_SECONDS)
FIRST_BYTE = Spreads(
    "weir_time_to_first_token_seconds",
    "From a streamed call's request to its first event.",
    ("dialect",),
    bounds=_SECONDS,
)
OVERHEAD = Spreads(
    "weir_overhead_seconds",
    "What Weir adds: from request to the first byte towards a provider, without its body's way in or a queue.",
    ("dialect",),
    bounds=_OVERHEAD,
)
ASKED = Counts("weir_upstream_requests", "Attempts by provider, its model, and what came of it.", (*_OF, "outcome"))
ASKED_SECONDS = Spreads("weir_upstream_duration_seconds", "Of an attempt, to its end.", _OF, bounds=_SECONDS)
ASKED_FIRST = Spreads(
    "weir_upstream_time_to_first_token_seconds", "Of a streamed attempt, to its first event.", _OF, bounds=_SECONDS
)
A_TOKEN = Spreads(
    "weir_time_per_output_token_seconds", "Of answered streams, after their first event.", _OF, bounds=_A_TOKEN
)


_number = operator.attrgetter("number")


def outcome(failure: errors.GatewayError | None) -> str:
    """What came of an attempt, in one of few words."""
    if failure is None:
        return "ok"
    if isinstance(failure, errors.UpstreamError) and not failure.reached:
        return "unreachable"
    return next((word for kind, word in _OUTCOMES if isinstance(failure, kind)), "fault")


def fault(failure: errors.GatewayError | None) -> str:
    """Whose a call's failure is: "caller", "provider" or "gateway"; "none" without one."""
    if failure is None:
        return "none"
    return next((word for kind, word in _FAULTS if isinstance(failure, kind)), "gateway")


def observe(ctx: RequestContext, failure: errors.GatewayError | None) -> None:
    """Counts one settled call."""
    started, attempts, model = ctx.started, ctx.attempts, ctx.model.name if ctx.model is not None else ""
    overhead = None
    if attempts:
        # Of two that race, the one that is heard stands last: the first is the one that was asked first.
        first = attempts[0] if len(attempts) == 1 else min(attempts, key=_number)
        if first.asked_at is not None:
            overhead = first.asked_at - started - ctx.listened - first.queued
    tried: list[_Tried] = [
        (
            attempt.deployment, attempt.outcome, attempt.started - started,
            attempt.first_byte_seconds, attempt.seconds, attempt.usage, attempt.cost,
        )
        for attempt in attempts
        if attempt.outcome
    ]  # fmt: skip
    kind = failure.kind if failure is not None else "ok"
    _waiting.add(_Told(ctx.wire.name, model, kind, fault(failure), time.monotonic() - started, overhead, tried))


def exported(signal: str, size: int) -> None:
    """Counts what an agent has exported; `size` in bytes."""
    TELEMETRY.labels(signal).inc(size)


def looked_up(ctx: RequestContext, result: str, *, saved: int) -> None:
    """Counts a call that the cache has to do with; `saved` in nano-USD."""
    model = ctx.model.name if ctx.model is not None else ""
    _cache[model, result].inc()
    if saved:
        _saved[(model,)].inc(saved / 1e9)


def _count(call: _Told, sums: dict[Counter, float]) -> None:
    """Adds to `sums` what goes to counters; all else is told at once."""
    dialect, model, outcome, whose, seconds, overhead, tried = call
    sums[_calls[dialect, model, outcome, whose]] += 1
    of_dialect = (dialect,)
    DURATION.add(of_dialect, seconds)
    if overhead is not None:
        OVERHEAD.add(of_dialect, overhead)
    for deployment, came_to, _, first_byte_seconds, took, usage, cost in tried:
        provider = deployment.provider.name
        of = (provider, deployment.upstream_model)
        ASKED.add((*of, came_to))
        ASKED_SECONDS.add(of, took)
        if first_byte_seconds is not None:
            ASKED_FIRST.add(of, first_byte_seconds)
            if came_to == "ok" and usage is not None and usage.out_total > 1:
                A_TOKEN.add(of, (took - first_byte_seconds) / (usage.out_total - 1))
        if usage is not None:
            _count_tokens(_tokens[model, provider], usage, sums)
        if cost:
            sums[_cost[model, provider]] += cost / 1e9
    if tried:
        _, _, started, first_byte_seconds, *_ = tried[-1]
        if first_byte_seconds is not None:
            FIRST_BYTE.add(of_dialect, started + first_byte_seconds)


def _count_tokens(counters: _Tokens, usage: TokenUsage, sums: dict[Counter, float]) -> None:
    fresh, cache_read, cache_write_5m, cache_write_1h, answer = counters
    if usage.in_fresh:
        sums[fresh] += usage.in_fresh
    if usage.in_cache_read:
        sums[cache_read] += usage.in_cache_read
    if usage.in_cache_write_5m:
        sums[cache_write_5m] += usage.in_cache_write_5m
    if usage.in_cache_write_1h:
        sums[cache_write_1h] += usage.in_cache_write_1h
    if usage.out_total:
        sums[answer] += usage.out_total


_KINDS = (
    ("in", "fresh"),
    ("in", "cache_read"),
    ("in", "cache_write_5m"),
    ("in", "cache_write_1h"),
    ("out", "answer"),
)
_Tokens = tuple[Counter, ...]


def _of_tokens(model: str, provider: str) -> _Tokens:
    """By kind, in their order."""
    return tuple(TOKENS.labels(model, provider, *kind) for kind in _KINDS)


class _Children(dict[Words, Child]):
    """Of a metric, by the values of its labels, which `words` names: `labels()` takes a lock and builds a tuple, so
    each is asked for once."""

    def __init__(self, labels: Callable[..., Child], name: str, words: Words) -> None:
        super().__init__()
        self._labels = labels
        self._name = name
        self._words = words

    def __missing__(self, words: Words) -> Child:
        words = apart(self._name, self._words, words, taken=len(self))
        child = self.get(words)
        if child is None:
            child = self[words] = self._labels(*words)
        return child


_calls = _Children(CALLS.labels, "weir_calls", ("dialect", "model", "outcome", "fault"))
_tokens = _Children(_of_tokens, "weir_tokens", ("model", "provider"))
_cost = _Children(COST.labels, "weir_cost_usd", ("model", "provider"))
_cache = _Children(CACHE.labels, "weir_cache_lookups", ("model", "result"))
_saved = _Children(SAVED.labels, "weir_cache_saved_usd", ("model",))
