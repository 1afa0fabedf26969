"""The one object that walks the corridor: what is known of a call so far."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from apps.domain import ids
from apps.domain.errors import ClientError, GatewayError
from apps.domain.limits.decision import Decision
from apps.domain.protocols.contract import AnyClient, ClientCall
from apps.domain.snapshot import Budget, DataPolicy, Model, PinnedEndpoint, Principal, Snapshot
from apps.runtime import clock, traces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from apps.domain.chat import Fetched
    from apps.domain.routing.plan import Plan
    from apps.gateway.attempt import Attempt
    from apps.gateway.cache import Look
    from apps.gateway.enclosed import Enclosed
    from apps.gateway.policy import Inspector
    from apps.gateway.signatures import Signed
    from apps.gateway.tracing import Trace

    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Scope = dict[str, Any]

NOTHING_FETCHED: Mapping[str, Fetched] = MappingProxyType({})
PINNED = "weir.pinned"  # in the scope of what came in by a pinned endpoint: that one
WRITTEN = "weir.written"  # beside it, behind a pinned path: the whole path, as the caller wrote it
# Ids must differ, not be secret; asking the kernel gives the interpreter away to other threads, every call.
_dice = random.Random(secrets.randbits(256))  # noqa: S311


class RequestContext:
    """One client call. Times: `started` on the monotonic clock, `started_at` in unix seconds."""

    __slots__ = (
        "attempts",
        "budgets",
        "call",
        "conversation",
        "decision",
        "enclosed",
        "ended",
        "endpoint",
        "fetched",
        "gone",
        "headers",
        "holder",
        "inspector",
        "is_masked",
        "listened",
        "look",
        "midway",
        "model",
        "notes",
        "on_behalf_of",
        "parent",
        "pinned",
        "plan",
        "policy",
        "principal",
        "prompt_bytes",
        "public_request_id",
        "receive",
        "request_id",
        "scope",
        "send",
        "signed",
        "snapshot",
        "started",
        "started_at",
        "status",
        "task",
        "trace",
        "trace_id",
        "wire",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, wire: AnyClient, endpoint: str, snapshot: Snapshot
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.wire = wire
        self.endpoint = endpoint
        self.pinned: PinnedEndpoint | None = scope.get(PINNED)
        self.headers: dict[bytes, bytes] = _by_name(scope["headers"])
        self.started = time.monotonic()
        self.started_at = clock.now()
        self.request_id: UUID = ids.request_id(now_ms=int(self.started_at * 1000), random_bits=_dice.getrandbits(62))
        identifier = self.request_id.hex
        self.public_request_id = "req_" + identifier
        self.parent = traces.parent(self.headers.get(b"traceparent"), self.headers.get(b"tracestate"))
        self.trace_id = identifier if self.parent is None else self.parent.trace_id
        traces.place.set((self.trace_id, ""))
        self.trace: Trace | None = None  # where its time goes, if anybody wants to know
        self.task = asyncio.current_task()
        self.snapshot = snapshot
        self.principal: Principal | None = None
        self.holder: Principal | None = None  # whose key was presented, let in or not
        self.call: ClientCall | None = None
        self.listened = 0.0  # seconds that its body took to come in
        self.prompt_bytes = 0  # of the body, what counts as prompt
        self.model: Model | None = None
        self.fetched: Mapping[str, Fetched] = NOTHING_FETCHED  # by URL
        self.signed: Signed | None = None  # what the history carries of somebody's
        self.policy: DataPolicy | None = None  # all that the call is under, as one
        self.enclosed: Enclosed | None = None  # looks into what is fetched for it
        self.inspector: Inspector | None = None  # looks into the answer
        self.is_masked = False  # some of its text was taken out, so nobody may be sent it as it was written
        self.notes: list[str] = []  # for the ledger, with those of the first attempt
        self.plan: Plan | None = None  # where it may go, and why
        self.conversation: int | None = None  # whose turn it is, where that decides where it goes
        self.decision: Decision | None = None
        self.budgets: tuple[Budget, ...] = ()
        self.look: Look | None = None  # what the cache has to do with it
        self.on_behalf_of: RequestContext | None = None  # another call, which waits for it
        self.attempts: list[Attempt] = []
        self.status = 0  # that its caller was told; 0: none yet
        self.gone = False  # the client has left
        self.midway = False  # what has gone out ends inside an event
        self.ended: GatewayError | None = None  # why the call was stopped

    @property
    def committed(self) -> bool:
        """The status line is out."""
        return self.status != 0

    @property
    def cors_origins(self) -> frozenset[str]:
        own = self.pinned.cors_origins if self.pinned is not None else None
        return self.snapshot.cors_origins if own is None else own

    def end(self, reason: GatewayError) -> None:
        """Stops the call and tells its caller why; the first reason holds."""
        if self.ended is None and self.task is not None:
            self.ended = reason
            self.task.cancel()

    def forget(self) -> None:
        """Lets go of what refers back to this object. Left to the collector, a call's hundred objects cost it 40 µs,
        and the memory of every new call is cold."""
        for attempt in self.attempts:
            attempt.forget()
        self.attempts.clear()
        self.task = self.ended = None

    def presented_key(self) -> str:
        """From `x-api-key` or `Authorization: Bearer`; Claude Code's key helper sends it in both. "" without one."""
        raw = self.headers.get(b"x-api-key")
        if not raw:
            scheme, _, raw = self.headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer":
                return ""
        return raw.strip().decode("latin-1")

    def header(self, name: bytes) -> str:
        """A request header as text; "" when absent. Raises ClientError when it is not ASCII."""
        try:
            return self.headers.get(name, b"").decode("ascii")
        except UnicodeDecodeError:
            raise ClientError(f"header {name.decode()} is not ASCII") from None


def _by_name(lines: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """What comes in several lines is one list (RFC 9110, 5.3), as betas may."""
    headers = dict(lines)
    if len(headers) < len(lines):
        headers = {}
        for name, value in lines:
            headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
    return headers
