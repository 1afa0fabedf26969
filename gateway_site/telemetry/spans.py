"""The spans of a call: one for what its caller saw, one a room of the corridor, one an upstream try.

Names are those of OpenTelemetry's conventions for HTTP and for generative AI as far as they go, the rest begins with
`weir.`: docs/telemetry.md lists them. Tokens stand in the tries' spans alone, or whoever adds spans up counts twice.
https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from apps.domain import credentials
from apps.gateway import tracing
from apps.runtime.redact import redact
from gateway_site.telemetry import wire
from gateway_site.telemetry.wire import known

if TYPE_CHECKING:
    from apps.gateway.tracing import Told, Tried
    from apps.runtime.traces import Parent

_LONGEST = 200
# One word that is no key, as most ids are, need not be looked through for all that a text can hide.
_PLAIN = re.compile(rf"[0-9A-Za-z_.-]{{1,{_LONGEST}}}")
_KEY = re.compile(f"weir|{credentials.SHAPE}")
_PROVIDERS = {
    "anthropic": "anthropic",
    "openai": "openai",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
}
_OPERATIONS = {"embed": "embeddings", "count": "count_tokens"}
_ASKING = ("dispatch", "count")  # the rooms that ask an upstream
_PORTS = {"http": 80, "https": 443}


def operation(call: Told) -> str:
    if call.endpoint == "explain":
        return "explain"
    return _OPERATIONS.get(call.operation) or ("text_completion" if call.dialect == "openai_completions" else "chat")


def provider(tried: Tried) -> str:
    """As the conventions name it, where they do."""
    vendor = tried.deployment.provider.vendor
    return _PROVIDERS.get(vendor, vendor)


def server(tried: Tried) -> tuple[str, int]:
    """Host and port."""
    url = urlsplit(tried.deployment.provider.base_url)
    return url.hostname or tried.deployment.provider.host, url.port or _PORTS.get(url.scheme, 0)


def route(call: Told) -> str:
    """Of which there are few: a path may have any number of slashes at its end."""
    return call.path.rstrip("/")


def spans_of(call: Told, *, epoch: int) -> Iterator[bytes]:
    """`epoch`: nanoseconds to add to the monotonic clock for unix time."""
    trace_id = bytes.fromhex(call.trace_id)
    yield _whole(call, trace_id, epoch)
    asking: int | None = None
    last = _failed_room(call)
    for number, (room, entered) in enumerate(call.rooms[:-1]):
        if not room:
            continue
        span_id = tracing.room_id(call.span_id, number)
        if room in _ASKING:
            asking = span_id
        started, ended = _at(entered, epoch), _at(call.rooms[number + 1][1], epoch)
        where: dict[str, Any] = {"trace_id": trace_id, "span_id": span_id, "parent": call.span_id}
        if number == last:
            told = known("error.type", call.error)
            yield wire.span(room, **where, started=started, ended=ended, attributes=told, is_failed=True)
        else:
            yield wire.plain(room, **where, started=started, ended=ended)
    for tried in call.tries:
        yield _try(call, tried, trace_id, call.span_id if asking is None else asking, epoch)


def _at(moment: float, epoch: int) -> int:
    return int(moment * 1e9) + epoch


def _failed_room(call: Told) -> int | None:
    """The one that the failure came from: settling follows in any case."""
    if not call.error:
        return None
    return max((number for number, (room, _) in enumerate(call.rooms) if room not in ("", "settle")), default=None)


def of_parent(parent: Parent | None) -> int | None:
    return None if parent is None else int(parent.span_id, 16)


def _whole(call: Told, trace_id: bytes, epoch: int) -> bytes:
    parent = call.parent
    is_ours = parent is not None and not parent.is_remote
    return wire.span(
        f"{call.method} {route(call)}",
        trace_id=trace_id,
        span_id=call.span_id,
        parent=of_parent(parent),
        is_remote=not is_ours,
        kind=wire.INTERNAL if is_ours else wire.SERVER,
        started=_at(call.started, epoch),
        ended=_at(call.ended, epoch),
        attributes=b"".join(_of_call(call)),
        is_failed=call.status >= 500 or (call.status == 200 and bool(call.error) and not call.is_gone),
        state=parent.state if parent is not None else "",
    )


def _of_call(call: Told) -> Iterator[bytes]:
    yield known("http.request.method", call.method)
    yield known("http.route", route(call))
    yield wire.block(9, wire.attribute("url.path", call.path[:_LONGEST]))
    if call.status:
        yield known("http.response.status_code", call.status)
    if call.error:
        yield known("error.type", call.error)
    yield wire.block(9, wire.attribute("weir.request_id", call.request_id))
    yield known("weir.endpoint", call.endpoint)
    yield known("weir.dialect", call.dialect)
    yield known("weir.operation", operation(call))
    if call.pinned:
        yield known("weir.pinned", call.pinned)
    if call.principal is not None:
        who = call.principal
        yield known("weir.tenant.id", who.tenant_id)
        yield known("weir.project.id", who.project_id)
        if who.user_id is not None:
            yield known("weir.user.id", who.user_id)
        if who.key_id is not None:
            yield known("weir.key.id", who.key_id)
    if call.model is not None:
        yield known("weir.model", call.model.name)
        yield known("weir.stream", call.is_stream)
        yield known("weir.attempts", len(call.tries))
        yield known("weir.retries", max(0, len(call.tries) - 1))
        yield wire.block(9, wire.attribute("weir.cost_nano_usd", sum(tried.cost for tried in call.tries)))
    if call.cache:
        yield known("weir.cache", call.cache)
    if call.is_gone:
        yield known("weir.client_gone", True)


def _try(call: Told, tried: Tried, trace_id: bytes, parent: int, epoch: int) -> bytes:
    return wire.span(
        f"{operation(call)} {tried.deployment.upstream_model}",
        trace_id=trace_id,
        span_id=tracing.attempt_id(call.span_id, tried.number),
        parent=parent,
        kind=wire.CLIENT,
        started=_at(tried.started, epoch),
        ended=_at(tried.ended, epoch),
        attributes=b"".join((*_of_model(call, tried), *_of_answer(tried), *_of_try(tried))),
        is_failed=bool(tried.error),
    )


def _of_model(call: Told, tried: Tried) -> Iterator[bytes]:
    yield known("gen_ai.operation.name", operation(call))
    yield known("gen_ai.provider.name", provider(tried))
    yield known("gen_ai.request.model", tried.deployment.upstream_model)
    if call.is_stream:
        yield known("gen_ai.request.stream", True)
    host, port = server(tried)
    yield known("server.address", host)
    yield known("server.port", port)
    if tried.status is not None:
        yield known("http.response.status_code", tried.status)
    if tried.error:
        yield known("error.type", tried.error)


def _of_answer(tried: Tried) -> Iterator[bytes]:
    if tried.response_id:
        yield _text("gen_ai.response.id", tried.response_id)
    if tried.response_model:
        yield _text("gen_ai.response.model", tried.response_model)
    if tried.stop_reason:
        yield known("gen_ai.response.finish_reasons", (tried.stop_reason,))
    if tried.first_byte is not None:
        yield wire.block(9, wire.attribute("gen_ai.response.time_to_first_chunk", tried.first_byte))
    usage = tried.usage
    if usage is None or not usage.total:
        return
    yield _count("gen_ai.usage.input_tokens", usage.in_total)
    yield _count("gen_ai.usage.output_tokens", usage.out_total)
    if usage.in_cache_read:
        yield _count("gen_ai.usage.cache_read.input_tokens", usage.in_cache_read)
    if written := usage.in_cache_write_5m + usage.in_cache_write_1h:
        yield _count("gen_ai.usage.cache_creation.input_tokens", written)
    if usage.out_reasoning:
        yield _count("gen_ai.usage.reasoning.output_tokens", usage.out_reasoning)
    yield known("weir.usage_source", tried.usage_source)


def _of_try(tried: Tried) -> Iterator[bytes]:
    deployment = tried.deployment
    yield known("weir.attempt", tried.number)
    yield known("weir.outcome", tried.outcome)
    yield known("weir.deployment.id", deployment.id)
    yield known("weir.provider.id", deployment.provider.id)
    yield known("weir.provider", deployment.provider.name)
    yield known("weir.protocol", tried.protocol)
    if tried.cost:
        yield _count("weir.cost_nano_usd", tried.cost)
    if tried.queued:
        yield wire.block(9, wire.attribute("weir.queued_seconds", tried.queued))
    if tried.provider_request_id:
        yield _text("weir.provider_request_id", tried.provider_request_id)
    if tried.trail:
        yield wire.block(9, wire.attribute("weir.trail", tuple(_cleaned(step) for step in tried.trail)))


def _text(name: str, given: str) -> bytes:
    """What an upstream wrote."""
    is_plain = _PLAIN.fullmatch(given) is not None and _KEY.search(given) is None
    return wire.block(9, wire.attribute(name, given if is_plain else _cleaned(given)[:_LONGEST]))


# Of models and steps there are few.
_cleaned = lru_cache(maxsize=1024)(redact)


def _count(name: str, amount: int) -> bytes:
    return wire.block(9, wire.attribute(name, amount))
