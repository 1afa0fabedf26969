"""A call that the gateway makes on behalf of another: with its key, from its address, under its own id."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from apps.domain import caching
from apps.domain.errors import ClientGone
from apps.domain.protocols import registry
from apps.gateway.context import RequestContext
from apps.gateway.records import SAID_OF_ITSELF
from apps.gateway.semantic import Unavailable, Vector
from apps.runtime import traces
from apps.runtime.state import state

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from apps.gateway.context import Message

# For one vector. A call does not wait longer to learn whether it has been answered before.
PATIENCE_SECONDS = 3.0
_ENDPOINT = "embeddings"
_PASSED_ON = frozenset({b"authorization", b"x-api-key", b"user-agent", *SAID_OF_ITSELF})
_leaving: set[asyncio.Task[None]] = set()


class _Row(msgspec.Struct):
    embedding: list[float]


class _Vectors(msgspec.Struct):
    data: list[_Row]


_decode = msgspec.json.Decoder(_Vectors).decode


class _Caller:
    """Who asks for one vector, as if by HTTP."""

    def __init__(self, of: RequestContext, *, model: str, words: str) -> None:
        self._of = of
        self._model = model
        self._body = msgspec.json.encode({"model": model, "input": words, "encoding_format": "float"})
        self._is_sent = False
        self._status = 0
        self._parts: list[bytes] = []
        self._maker = 0
        self.ctx: RequestContext | None = None

    async def run(self, serve: Callable[[RequestContext], Awaitable[None]]) -> None:
        of = self._of
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/embeddings",
            "client": of.scope.get("client"),
            "headers": [(name, value) for name, value in of.headers.items() if name in _PASSED_ON],
        }
        wire = registry.ENDPOINTS[_ENDPOINT]
        self.ctx = RequestContext(scope, self._receive, self._send, wire=wire, endpoint=_ENDPOINT, snapshot=of.snapshot)
        self.ctx.trace_id, self.ctx.on_behalf_of = of.trace_id, of
        traces.place.set((of.trace_id, ""))
        state.in_flight += 1
        try:
            await serve(self.ctx)
        finally:
            state.in_flight -= 1

    def leave(self) -> None:
        if self.ctx is not None:
            self.ctx.gone = True
            self.ctx.end(ClientGone("nobody waits for it any more"))

    def vector(self) -> Vector:
        """Raises Unavailable."""
        if self._status != 200:
            raise Unavailable(f"its embedding failed ({self._status or 'no answer'})")
        try:
            numbers = _decode(b"".join(self._parts)).data[0].embedding
        except (msgspec.DecodeError, IndexError) as error:
            raise Unavailable("its embedding cannot be read") from error
        model = self._of.snapshot.models.get(self._model)
        configured = caching.identity(model).hex() if model is not None else ""
        return Vector(numbers, f"{self._maker} {configured}")

    async def _receive(self) -> Message:
        if self._is_sent:
            await asyncio.Future()  # stays until it is told otherwise
        self._is_sent = True
        return {"type": "http.request", "body": self._body}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self._parts.append(message.get("body", b""))
            return
        self._status = message["status"]
        assert self.ctx is not None
        look = self.ctx.look
        if self.ctx.attempts:
            self._maker = self.ctx.attempts[-1].deployment.id
        elif look is not None and look.answer is not None:
            self._maker = look.answer.origin.deployment_id


async def vector(
    of: RequestContext, *, model: str, words: str, serve: Callable[[RequestContext], Awaitable[None]]
) -> Vector:
    """Of the words, by the embedding model. Raises Unavailable."""
    caller = _Caller(of, model=model, words=words)
    task = asyncio.create_task(caller.run(serve))
    try:
        await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
    finally:
        if not task.done():
            _leaving.add(task)
            task.add_done_callback(_leaving.discard)
            caller.leave()
    if not task.done():
        raise Unavailable(f"its embedding took more than {PATIENCE_SECONDS:g} s")
    task.result()
    return caller.vector()
