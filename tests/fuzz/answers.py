"""What providers send: whole answers, streams and refusals, in every dialect of theirs and for every one of callers."""

from __future__ import annotations

import functools
import re
from typing import Any

import msgspec

from apps.domain import errors
from apps.domain.guardrails.stream import Watch
from apps.domain.protocols import exchange, registry, replay
from apps.domain.protocols.contract import ClientCall, Exchange
from apps.domain.protocols.contract import Target as Upstream
from apps.domain.tokens import TokenUsage
from tests.domain.test_exchange import ANSWERS
from tests.fidelity import callers, streams
from tests.fuzz.contract import Target, encoded, pieces, target
from tests.fuzz.requests import KINDS, check_error, check_json

TEXT = callers.UPSTREAMS
VECTORS = ("openai_embeddings", "ollama_embed", "bedrock_embed")
MOST_TOKENS = 10**9
_USAGE = TokenUsage(in_fresh=1, out_total=1)
_BLANK_LINES = re.compile(rb"(?:\r\n|\r|\n){2,}")
_VECTORS = registry.CLIENTS["openai_embeddings"].read_request(b'{"model":"m","input":["a","b"]}')
_PACKED = registry.CLIENTS["openai_embeddings"].read_request(
    b'{"model":"m","input":["a","b"],"encoding_format":"base64"}'
)


def stream(upstream: str, data: bytes) -> None:
    """No split shows, every stream has one end, and what goes out is of the caller's grammar."""
    for client in callers.CLIENTS:
        whole, sent = callers.fed(client, upstream, [data])
        for chunks in pieces(data)[-2:]:
            running, told = callers.fed(client, upstream, chunks)
            if whole.seen.started:  # else what is held goes nowhere
                assert _lines(told) == _lines(sent), (client, chunks)
            assert _seen(running) == _seen(whole), (client, chunks)
        _check_end(client, upstream, whole, sent, data)


def _lines(sent: bytes) -> bytes:
    """A blank line more than an event needs may be passed on or not."""
    return _BLANK_LINES.sub(b"\n\n", sent)


def _seen(running: Exchange) -> tuple[Any, str]:
    return msgspec.structs.replace(running.seen, error=None), repr(running.seen.error)


def _check_end(client: str, upstream: str, running: Exchange, sent: bytes, data: bytes) -> None:
    seen, is_relayed = running.seen, (client, upstream) in callers.RELAYED
    assert seen.finished or seen.error is not None, client
    if seen.usage is not None:
        assert all(0 <= count <= MOST_TOKENS for count in msgspec.structs.astuple(seen.usage)), client
    if seen.error is not None:
        check_error(registry.CLIENTS[client], seen.error)
    if not seen.started:
        assert sent == b"" or (is_relayed and data.startswith(sent)), client  # comments, which the gateway holds
    elif not is_relayed:
        assert seen.finished == (seen.error is None), client
        assert (callers.read(client, sent).error is None) == seen.finished, client
    else:
        _keep(client, sent)


def _keep(client: str, sent: bytes) -> None:
    """A stream that was relayed is looked into by policies, and kept to be given again."""
    watch = Watch(KINDS, stopping=frozenset({"email"}))
    watch.feed(sent)
    watch.close()
    try:
        body = replay.whole(sent, call=_call(client), usage=_USAGE, created=1)
        replay.streamed(body, call=_call(client), usage=_USAGE, created=1)
    except errors.UpstreamError:
        return


@functools.cache
def _call(client: str) -> ClientCall:
    return registry.CLIENTS[client].read_request(callers.calls.body(client, model="m", stream=True))


def answer(upstream: str, data: bytes) -> None:
    for client in callers.CLIENTS:
        _answer(client, callers.opened(client, upstream, stream=False), data)


def vectors(upstream: str, data: bytes) -> None:
    for call in (_VECTORS, _PACKED):
        asked = Upstream(protocol=upstream, model="cohere.embed-english-v3", max_output_tokens=0)
        _answer("openai_embeddings", exchange.open(call, asked), data)


def _answer(client: str, running: Exchange, data: bytes) -> None:
    try:
        told = running.answer(data)
    except errors.UpstreamError as refused:
        check_error(registry.CLIENTS[client], refused)
        return
    assert running.seen.finished
    if told is not data:
        check_json(told)


def refuse(upstream: str, data: bytes) -> None:
    """The first byte says the status; every refusal is one of our errors, which its caller can be told of."""
    status = 300 + (data[0] if data else 0)
    headers = {"retry-after": data[-9:].decode("latin-1"), "x-amzn-errortype": data[1:30].decode("latin-1")}
    for client in callers.CLIENTS if upstream in TEXT else ("openai_embeddings",):
        if upstream in TEXT:
            running = callers.opened(client, upstream)
        else:
            running = exchange.open(_VECTORS, Upstream(protocol=upstream, model="cohere.embed", max_output_tokens=0))
        for told in ({}, headers):
            check_error(registry.CLIENTS[client], running.refuse(status, told, data[1:]))


def count(data: bytes) -> None:
    for counter in registry.COUNTERS.values():
        try:
            assert counter.read(data) >= 0
        except errors.UpstreamBroken:
            continue


_EMPTY = streams.Answer()
_WHOLE: dict[str, list[Any]] = {
    "anthropic_messages": [ANSWERS["anthropic_messages"]],
    "bedrock_invoke": [ANSWERS["anthropic_messages"]],
    "openai_chat": [ANSWERS["openai_chat"]],
    "openai_responses": [streams.responses(streams.PLAIN)[-1][1]["response"]],
    "bedrock_converse": [
        {
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [
                        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EqQB"}}},
                        {"text": "hi"},
                        {"toolUse": {"toolUseId": "t_1", "name": "x", "input": {"a": 1}}},
                    ],
                }
            },
            "stopReason": "tool_use",
            "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheReadInputTokens": 0},
        }
    ],
    "ollama_chat": [
        {
            **{"model": "m", "created_at": "2026-11-01T00:00:00Z", "done": True, "done_reason": "stop"},
            "message": {
                **{"role": "assistant", "content": "hi", "thinking": "hm"},
                "tool_calls": [{"function": {"name": "x", "arguments": {"a": 1}}}],
            },
            **{"prompt_eval_count": 1, "eval_count": 2},
        }
    ],
    "openai_embeddings": [
        {
            "object": "list",
            "data": [{"index": 0, "embedding": [0.5, 1]}, {"index": 1, "embedding": "AAAAPwAAgD8="}],
            **{"model": "m", "usage": {"prompt_tokens": 2, "total_tokens": 2}},
        }
    ],
    "ollama_embed": [{"model": "m", "embeddings": [[0.5, 1], [0, 1]], "prompt_eval_count": 2}],
    "bedrock_embed": [
        {"embeddings": [[0.5, 1], [0, 1]], "id": "x", "response_type": "embeddings_floats", "texts": ["a", "b"]},
        {"embeddings": {"float": [[0.5, 1], [0, 1]]}},
        {"embedding": [0.5], "inputTextTokenCount": 2},
    ],
}
_REFUSALS = [
    b'\x64{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}',
    b'\x82{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}1',
    b'\x67{"error":"model not found"}',
    b'\x64{"__type":"com.amazon#ThrottlingException","Message":"Too many tokens","originalStatusCode":429}',
    b"\xc8<html>Mon, 02 Nov 2026 00:00:00 GMT",
    b'\x64[{"error":{"code":400,"message":"no","details":[{"@type":"x","retryDelay":"3s"}]}}]',
]
_SSE = (
    b"data: ",
    b"event: ",
    b"\n\n",
    b"\r\n\r\n",
    b"data: [DONE]\n\n",
    b'"usage":',
    b'"error":',
    b'"finish_reason":"stop"',
)
_JSON = (b"{", b"}", b"[", b"]", b",", b'"type":', b'"text":', b"null", b"1e400", b'"\\ud800"')


def _streams(name: str) -> list[bytes]:
    protocol = streams.PROTOCOLS[name]
    return [
        protocol.stream(streams.PLAIN),
        protocol.stream(_EMPTY),
        protocol.stream(streams.Answer(text=["a", "b@c.de"])),
    ]


TARGETS: tuple[Target, ...] = (
    *(target(f"stream_{name}", functools.partial(stream, name), seeds=_streams(name), words=_SSE) for name in TEXT),
    *(
        target(
            f"answer_{name}",
            functools.partial(answer if name in TEXT else vectors, name),
            seeds=map(encoded, _WHOLE[name]),
            words=_JSON,
            is_json=True,
        )
        for name in (*TEXT, *VECTORS)
    ),
    *(
        target(f"refusal_{name}", functools.partial(refuse, name), seeds=_REFUSALS, words=_JSON)
        for name in (*TEXT, *VECTORS)
    ),
    target("token_counts", count, seeds=[b'{"input_tokens":5}', b'{"inputTokens":5}'], words=_JSON, is_json=True),
)
