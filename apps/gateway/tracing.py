"""What traces and OTLP metrics are told of a call: cheap marks on its way, put together by a sink off the event loop.

Without a sink nothing is kept. Whoever wants spans sets `sink` before the first call (`gateway_site/telemetry`); what
it is handed refers to parts of the snapshot and to figures, never to a body, a header or a secret.
"""

from __future__ import annotations

import random
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from apps.outbound import signing
from apps.runtime import traces

if TYPE_CHECKING:
    from apps.domain import errors
    from apps.domain.snapshot import Deployment, Model, Principal
    from apps.domain.tokens import TokenUsage
    from apps.gateway.attempt import Attempt
    from apps.gateway.context import RequestContext

_LONGEST = 2_000  # characters of an id or a name that an upstream gave, of which a span tells fewer
_MASK = (1 << 64) - 1
_dice = random.Random(secrets.randbits(256))  # noqa: S311  # as ids of requests: they must differ, not be secret


class Tried(NamedTuple):
    """One upstream try. Moments are monotonic seconds, `first_byte` and `queued` are seconds, `cost` nano-USD.
    `outcome`: a status of the ledger. `error`: what kind of failure it was in a word, "" for none."""

    number: int
    deployment: Deployment
    protocol: str
    started: float
    ended: float
    outcome: str
    error: str = ""
    first_byte: float | None = None
    status: int | None = None
    stop_reason: str = ""
    response_id: str = ""
    response_model: str = ""
    provider_request_id: str = ""
    usage: TokenUsage | None = None
    usage_source: str = ""
    cost: int = 0
    queued: float = 0.0
    trail: tuple[str, ...] = ()


class Told(NamedTuple):
    """A call that is over. Moments are monotonic seconds; `rooms` with the moment each was entered, and the one after
    the last. `error`: its failure's kind, "" for none. `cache`: what came of looking there, "" if nobody looked."""

    trace_id: str
    span_id: int
    parent: traces.Parent | None
    is_sampled: bool
    started: float
    ended: float
    rooms: list[tuple[str, float]]
    method: str
    path: str
    endpoint: str
    dialect: str
    operation: str
    request_id: str
    status: int
    error: str
    is_gone: bool
    is_stream: bool
    principal: Principal | None
    model: Model | None
    pinned: str
    cache: str
    tries: list[Tried]


class Sink(Protocol):
    """Whoever makes spans and metrics of calls. Asked on the event loop, so it neither waits nor fails."""

    def samples(self, trace_id: str, parent: traces.Parent | None) -> bool:
        """Whether there are to be spans of it."""

    def tells(self, provider: str) -> bool:
        """Whether the provider of this name is told the trace."""

    def take(self, call: Told) -> None: ...


sink: Sink | None = None


class Untold:
    """A call of which nobody wants to know."""

    __slots__ = ()

    def enter(self, room: str) -> None:
        """The call is in this room from now on; "": in none."""

    def close(self, ctx: RequestContext, failure: errors.GatewayError | None) -> None:
        """Hands over what is known, when the call is settled and answered."""


class Trace(Untold):
    """A call on its way. Its spans' ids follow from its own, so that nothing need be remembered of them."""

    __slots__ = ("_sink", "asked", "is_sampled", "parent", "rooms", "span_id", "trace_id")

    def __init__(self, sink: Sink, trace_id: str, parent: traces.Parent | None) -> None:
        self._sink = sink
        self.trace_id = trace_id
        self.parent = parent
        self.span_id = _dice.getrandbits(64)
        self.is_sampled = sink.samples(trace_id, parent)
        self.rooms: list[tuple[str, float]] = []
        self.asked: list[Tried] = []  # upstreams that are asked for something that is not booked

    def enter(self, room: str) -> None:
        self.rooms.append((room, time.monotonic()))

    @property
    def here(self) -> traces.Parent:
        """For what is done on behalf of this call."""
        span_id = room_id(self.span_id, len(self.rooms) - 1) if self.rooms else self.span_id
        return traces.Parent(self.trace_id, f"{span_id:016x}", self.is_sampled, is_remote=False)

    def headers(self, provider: str, number: int) -> list[tuple[str, str]]:
        """For the request of this attempt: none where its provider is not told."""
        if not self._sink.tells(provider):
            return []
        span_id = f"{attempt_id(self.span_id, number):016x}"
        told = [("traceparent", traces.written(self.trace_id, span_id, is_sampled=self.is_sampled))]
        if self.parent is not None and self.parent.state:
            told.append(("tracestate", self.parent.state))
        return told

    def counted(
        self,
        deployment: Deployment,
        number: int,
        protocol: str,
        *,
        started: float,
        failure: errors.UpstreamError | None,
    ) -> None:
        """An upstream was asked how many tokens a prompt has."""
        self.asked.append(
            Tried(
                number,
                deployment,
                protocol,
                started,
                time.monotonic(),
                outcome="ok" if failure is None else "upstream_error",
                error=_failed(failure.upstream_status, failure.kind) if failure is not None else "",
                status=200 if failure is None else failure.upstream_status or None,
            )
        )

    def close(self, ctx: RequestContext, failure: errors.GatewayError | None) -> None:
        look, call = ctx.look, ctx.call
        self._sink.take(
            Told(
                self.trace_id,
                self.span_id,
                self.parent,
                self.is_sampled,
                ctx.started,
                time.monotonic(),
                self.rooms,
                ctx.scope["method"],
                ctx.scope["path"],
                ctx.endpoint,
                ctx.wire.name,
                ctx.wire.operation,
                ctx.public_request_id,
                ctx.status,
                failure.kind if failure is not None else "",
                ctx.gone,
                call is not None and call.stream,
                ctx.principal,
                ctx.model,
                ctx.pinned.name if ctx.pinned is not None else "",
                "" if look is None else "semantic" if look.likeness is not None else look.told.decode(),
                [*self.asked, *(_tried(attempt) for attempt in ctx.attempts if attempt.booked is not None)],
            )
        )


UNTOLD = Untold()


def begin(ctx: RequestContext) -> Untold:
    """From now on the call has a span, where anybody wants to know."""
    if sink is None:
        return UNTOLD
    of = ctx.on_behalf_of
    parent = of.trace.here if of is not None and of.trace is not None else ctx.parent
    trace = ctx.trace = Trace(sink, ctx.trace_id, parent)
    if trace.is_sampled:
        traces.place.set((trace.trace_id, f"{trace.span_id:016x}"))
    return trace


def attempt_id(span_id: int, number: int) -> int:
    """Of an attempt's span, by the call's."""
    return (span_id + number) & _MASK or 1


def room_id(span_id: int, number: int) -> int:
    """Of a room's span, by the call's and its place among the rooms that were entered."""
    return (span_id - 1 - number) & _MASK or 1


def _tried(attempt: Attempt) -> Tried:
    booked = attempt.booked
    assert booked is not None
    seen = attempt.exchange.seen if attempt.exchange is not None else None
    return Tried(
        attempt.number,
        attempt.deployment,
        attempt.protocol,
        attempt.started,
        attempt.started + attempt.seconds,
        outcome=booked.status,
        error=_failed(booked.http_status, booked.status) if booked.status != "ok" else "",
        first_byte=attempt.first_byte_seconds,
        status=booked.http_status,
        stop_reason=booked.stop_reason,
        response_id=_given(attempt, seen.response_id if seen is not None else None),
        response_model=_given(attempt, seen.model if seen is not None else None),
        provider_request_id=_given(attempt, booked.provider_request_id),
        usage=booked.usage,
        usage_source=booked.usage_source,
        cost=booked.cost,
        queued=attempt.queued,
        trail=booked.trail,
    )


def _failed(status: int | None, word: str) -> str:
    """`error.type`: the HTTP status where that says it, else a word of ours; nothing of what an upstream wrote."""
    return str(status) if status is not None and status >= 400 else word


def _given(attempt: Attempt, text: str | None) -> str:
    """What an upstream calls something, which it might do by the key that it was asked with."""
    if not text:
        return ""
    cut = signing.cut_from(attempt.credential.secret, text[:_LONGEST].encode("utf-8", "replace"))
    return cut.decode("utf-8", "replace")
