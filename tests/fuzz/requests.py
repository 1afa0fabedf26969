"""What callers send: read in each dialect, looked into by the rooms of the pipeline, written for every provider."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from apps.domain import caching, chat, errors, estimate, signatures
from apps.domain.guardrails import kinds, reading
from apps.domain.protocols import attachments, exchange, registry
from apps.domain.protocols.contract import AnyClient, ClientCall, ErrorShape
from apps.domain.protocols.contract import Target as Upstream
from apps.domain.routing import conversation, dialogue, needs
from tests.fuzz.contract import Target, encoded, target

GOLDEN = Path(__file__).parents[1] / "domain" / "golden"
KINDS = frozenset(kinds.KINDS)
TINY = chat.Fetched(b"\x89PNG\r\n\x1a\n", "image/png")
_QUIRKS = frozenset(
    {"string_system", "string_content", "head_system_only", "no_parallel_tool_calls", "max_completion_tokens"}
    | {"developer_role"}
)
UPSTREAMS = [
    *(
        Upstream(protocol=name, model="anthropic.claude-sonnet-4-6", max_output_tokens=900)
        for name in registry.UPSTREAMS
    ),
    Upstream(protocol="anthropic_messages", model="claude-3-7-sonnet-20250219", max_output_tokens=8192),
    Upstream(protocol="openai_chat", model="glm", max_output_tokens=8192, context_tokens=9000, quirks=_QUIRKS),
]


def read(wire: AnyClient, body: bytes) -> None:
    try:
        call = wire.read_request(body)
    except errors.ClientError as refused:
        check_error(wire, refused)
        return
    assert isinstance(call.model, str)
    look(call)
    for upstream in UPSTREAMS:
        ask(call, upstream)
    if wire is registry.COUNTING:
        for name, counter in registry.COUNTERS.items():
            count(counter, call, Upstream(protocol=name, model="m", max_output_tokens=900))


def look(call: ClientCall) -> None:
    """As the rooms of the pipeline do, in this order."""
    size = estimate.prompt_bytes(call.body)
    assert size >= 0
    estimate.most(size, max_tokens=call.max_tokens, model_cap=900, choices=call.choices)
    turns = dialogue.turns(call)
    needs.of(call, prompt_bytes=size, turns=turns)
    conversation.of(call, key_id=1, turns=turns)
    signatures.marks(call.body)
    try:
        reading.count(call.body, KINDS)
        check_json(reading.masked(call.body, KINDS))
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # what `guard` refuses
        pass
    asked = caching.read(call.body)
    if asked is not None and caching.may_be_kept(asked, protocol=call.protocol, forced=True):
        caching.question(asked, protocol=call.protocol)


def ask(call: ClientCall, upstream: Upstream) -> None:
    try:
        running = exchange.open(call, upstream, request_id="req_1", created=1)
    except errors.Unfetched as lacking:
        if not upstream.fetched:
            ask(call, msgspec.structs.replace(upstream, fetched=dict.fromkeys(lacking.urls, TINY)))
        for url in lacking.urls:
            attachments.place(call.body, url)
            exchange.undownloaded(call, url=url, reason="late")
        return
    except errors.InvalidRequest as refused:
        check_error(registry.CLIENTS[call.protocol], refused)
        return
    check_json(running.body)
    for name, value in running.headers:
        assert f"{name}{value}".isprintable()
    assert all(isinstance(note, str) for note in running.notes)


def count(counter: Any, call: ClientCall, upstream: Upstream) -> None:
    try:
        check_json(counter.write(call, upstream))
    except errors.InvalidRequest:
        return


def check_json(body: bytes) -> None:
    """However many digits a number has."""
    json.loads(body.decode(), parse_int=str)


def check_error(wire: AnyClient, error: errors.GatewayError) -> None:
    """That its caller can be told of it."""
    shape: ErrorShape = wire.write_error(error, request_id="req_1")
    if not isinstance(error, errors.UpstreamError) or error.body is None:  # else it is told as it came
        assert isinstance(json.loads(shape.body.decode()), dict)
    assert 400 <= shape.status <= 599
    for name, value in shape.headers:
        assert f"{name}{value}".isprintable()
    wire.stream_error(error, request_id="req_1").decode()


def _golden(folder: str) -> Iterator[bytes]:
    """Our own requests in that dialect, one of each kind."""
    for path in sorted((GOLDEN / folder).rglob("*.json")):
        if path.name.count(".") == 1:  # the others are what became of it
            yield path.read_bytes()


_TEXT = {"model": "m", "max_tokens": 9, "stream": True, "user": "u", "temperature": 0}
_SEEDS = {
    "messages": [*_golden("anthropic_messages")],
    "count_tokens": [*_golden("anthropic_messages")],
    "chat_completions": [*_golden("openai_chat")],
    "responses": [*_golden("openai_responses")],
    "completions": [
        encoded({**_TEXT, "prompt": "hi", "suffix": None, "stop": ["a"], "echo": False, "n": 1, "best_of": 1}),
        encoded({"model": "m", "prompt": ["hi"], "stream_options": {"include_usage": True}, "logprobs": 1}),
    ],
    "embeddings": [
        encoded({"model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 9, "user": "u"}),
        encoded({"model": "m", "input": [[1, 2], [3]]}),
        encoded({"model": "m", "input": "a"}),
    ],
    "chat": [
        encoded({"prompt": "hi", "model": "m", "system": "s", "max_tokens": 9, "temperature": 0.5, "stream": True})
    ],
}
_WORDS = (b'"type":', b'"content":', b'"role":', b'"text"', b"{", b"}", b"[", b"]", b",", b"null", b"\\ud800", b"1e400")
TARGETS: tuple[Target, ...] = tuple(
    target(f"request_{name}", functools.partial(read, wire), seeds=_SEEDS[name], words=_WORDS, is_json=True)
    for name, wire in registry.ENDPOINTS.items()
)
