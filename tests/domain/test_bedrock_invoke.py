"""Claude through InvokeModel: what goes out of a request, and what comes of a stream."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from apps.domain import errors, sse
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import ClientCall, Exchange, Target
from tests.domain import frames, grammar
from tests.domain.streams import cuts, split

ANTHROPIC, OPENAI = "anthropic_messages", "openai_chat"
TARGET = Target(protocol="bedrock_invoke", model="eu.anthropic.claude-opus-4-8-v1:0", max_output_tokens=1000)
ASK: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_bdrk_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [],
            "stop_reason": None,
            "usage": {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 3},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQB"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "hi — “ok”"}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 134},
    },
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 10, "outputTokenCount": 90}},
]
NATIVE = b"".join(
    sse.frame(event["type"], json.dumps({k: v for k, v in event.items() if "metrics" not in k.lower()}).encode())
    for event in EVENTS
)
STREAM = frames.invoke(EVENTS)


def call(body: bytes, *, headers: dict[bytes, bytes] | None = None) -> ClientCall:
    read = registry.CLIENTS[ANTHROPIC].read_request(body)
    read.headers = headers or {}
    return read


def sent(body: bytes, *, betas: str = "") -> bytes:
    return exchange.open(call(body, headers={b"anthropic-beta": betas.encode()} if betas else {}), TARGET).body


def fitted(*, betas: str = "", **fields: Any) -> dict[str, Any]:
    """What becomes of these fields, without those that every request has."""
    body = json.loads(sent(json.dumps(ASK | fields).encode(), betas=betas))
    assert body.pop("anthropic_version") == "bedrock-2023-05-31"
    return {name: value for name, value in body.items() if ASK.get(name) != value}


def relay(client: str = ANTHROPIC) -> Exchange:
    body = ASK | {"stream": True} | ({"stream_options": {"include_usage": True}} if client == OPENAI else {})
    asked = registry.CLIENTS[client].read_request(json.dumps(body).encode())
    return exchange.open(asked, TARGET, request_id="req_1", created=1)


# --- requests --------------------------------------------------------------------------------------------------------


def test_every_byte_stays_but_for_what_the_address_says():
    messages = (
        b'"messages":[ {"role":"user", "content":"\\u00e9 \\/"},{"content":[{"type":"thinking","thinking":"", '
        b'"signature":"Eq=="},{"text":"x","type":"text"}],"role":"assistant"} ],\t"metadata":{ "user_id":"u" }'
    )
    body = b'{ "max_tokens" : 9,\n "model":"m" , "stream": true,' + messages + b" }\n"
    assert sent(body) == b'{ "max_tokens" : 9,' + messages + b',"anthropic_version":"bedrock-2023-05-31" }\n'


def test_a_body_as_sdks_write_it_keeps_their_style():
    assert sent(json.dumps(ASK, separators=(",", ":")).encode()) == (
        b'{"max_tokens":9,"messages":[{"role":"user","content":"hello"}],"anthropic_version":"bedrock-2023-05-31"}'
    )
    assert sent(json.dumps(ASK | {"stream": True}).encode()) == (
        b'{"max_tokens": 9, "messages": [{"role": "user", "content": "hello"}], '
        b'"anthropic_version": "bedrock-2023-05-31"}'
    )


@pytest.mark.parametrize(
    "field",
    [
        "cache_control",
        "container",
        "diagnostics",
        "fallbacks",
        "inference_geo",
        "mcp_servers",
        "service_tier",
        "speed",
        "stream_options",
        "something_new",
    ],
)
def test_what_bedrock_does_not_know_goes(field):
    assert fitted(**{field: {"type": "ephemeral"}}) == {}


@pytest.mark.parametrize(
    ("betas", "in_body", "kept"),
    [
        ("interleaved-thinking-2025-05-14", None, ["interleaved-thinking-2025-05-14"]),
        ("context-1m-2025-08-07, claude-code-20250219,oauth-2025-04-20", None, ["context-1m-2025-08-07"]),
        ("advanced-tool-use-2025-11-20", None, ["tool-search-tool-2025-10-19"]),
        ("effort-2025-11-24,fine-grained-tool-streaming-2025-05-14", None, None),
        ("", ["computer-use-2025-01-24", "files-api-2025-04-14"], ["computer-use-2025-01-24"]),
        ("context-1m-2025-08-07", ["context-1m-2025-08-07"], ["context-1m-2025-08-07"]),
    ],
)
def test_betas_go_into_the_body_as_far_as_bedrock_knows_them(betas, in_body, kept):
    fields = {} if in_body is None else {"anthropic_beta": in_body}
    assert fitted(betas=betas, **fields) == ({} if kept is None else {"anthropic_beta": kept})


def test_the_beta_for_an_effort_goes_to_the_one_model_that_wants_it():
    body = json.dumps(ASK | {"output_config": {"effort": "high"}}).encode()
    asked = call(body, headers={b"anthropic-beta": b"effort-2025-11-24"})
    found = {
        model: json.loads(exchange.open(asked, msgspec.structs.replace(TARGET, model=model)).body).get("anthropic_beta")
        for model in ("us.anthropic.claude-opus-4-5-20251101-v1:0", "us.anthropic.claude-sonnet-4-6")
    }
    assert list(found.values()) == [["effort-2025-11-24"], None]


def test_betas_that_are_no_list_are_refused_by_name():
    with pytest.raises(errors.InvalidRequest, match="anthropic_beta"):
        fitted(anthropic_beta="context-1m-2025-08-07")


def test_a_field_goes_with_its_beta_or_not_at_all():
    edits = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    assert fitted(context_management=edits) == {}
    assert fitted(context_management=edits, betas="interleaved-thinking-2025-05-14") == {
        "anthropic_beta": ["interleaved-thinking-2025-05-14"]
    }
    for beta in ("context-management-2025-06-27", "compact-2026-01-12"):
        assert fitted(context_management=edits, betas=beta) == {"context_management": edits, "anthropic_beta": [beta]}


TOOL = {"name": "t", "input_schema": {"type": "object"}, "strict": True}


def test_a_tools_fields_go_with_their_betas_or_not_at_all():
    opened = TOOL | {
        "defer_loading": True,
        "input_examples": [{}],
        "allowed_callers": ["direct"],
        "eager_input_streaming": True,
    }
    assert fitted(tools=[TOOL, opened]) == {"tools": [TOOL, TOOL]}
    found = fitted(tools=[opened], betas="advanced-tool-use-2025-11-20,tool-examples-2025-10-29")
    assert found["tools"] == [TOOL | {"defer_loading": True, "input_examples": [{}]}]


def test_a_cache_marks_scope_goes_wherever_it_stands():
    mark = {"type": "ephemeral", "ttl": "1h"}
    block = {"type": "text", "text": 'the "scope" of it'}
    marked, scoped = block | {"cache_control": mark}, block | {"cache_control": mark | {"scope": "global"}}
    messages = [{"role": "user", "content": [scoped, block]}, {"role": "user", "content": 'a "scope"'}]
    found = fitted(system=[scoped, block], messages=messages, tools=[TOOL | {"cache_control": mark | {"scope": "org"}}])
    assert found["system"] == [marked, block]
    assert found["messages"] == [{"role": "user", "content": [marked, block]}, messages[1]]
    assert found["tools"] == [TOOL | {"cache_control": mark}]


def test_a_format_of_old_is_where_it_stands_now():
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    assert fitted(output_format=wanted) == {"output_config": {"format": wanted}}
    config = {"effort": "low", "task_budget": {"type": "tokens", "total": 9}}
    assert fitted(output_config=config) == {"output_config": {"effort": "low"}}
    assert fitted(output_config=config, output_format=wanted) == {"output_config": {"effort": "low", "format": wanted}}


def test_thinking_of_another_vendors_is_left_out():
    ours = {"type": "thinking", "thinking": "hm", "signature": "gw1.abc"}
    theirs = {"type": "thinking", "thinking": "", "signature": "EqQB"}
    text = {"type": "text", "text": "x"}
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [ours, theirs, text]}]
    assert fitted(messages=messages)["messages"][1]["content"] == [theirs, text]


def test_another_dialects_request_is_written_for_bedrock():
    body = {
        "model": "m",
        "stream": True,
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
    }
    asked = registry.CLIENTS[OPENAI].read_request(json.dumps(body).encode())
    assert json.loads(exchange.open(asked, TARGET).body) == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]}],
        "system": [{"type": "text", "text": "s"}],
    }


def test_a_late_system_message_is_folded_unless_the_catalog_knows_better():
    """Whether Bedrock takes it is contested."""
    said = [("user", "a"), ("assistant", "b"), ("user", "c"), ("system", "late")]
    body = {"model": "m", "messages": [{"role": role, "content": text} for role, text in said]}
    asked = registry.CLIENTS[OPENAI].read_request(json.dumps(body).encode())
    assert [m["role"] for m in json.loads(exchange.open(asked, TARGET).body)["messages"]] == [
        "user",
        "assistant",
        "user",
    ]
    told = Target(
        protocol="bedrock_invoke",
        model=TARGET.model,
        max_output_tokens=1000,
        capabilities=frozenset({"system_messages", "adaptive_thinking"}),
    )
    assert json.loads(exchange.open(asked, told).body)["messages"][-1]["role"] == "system"


def test_a_count_is_asked_for_with_a_cap_if_there_is_none():
    body = {name: value for name, value in ASK.items() if name != "max_tokens"} | {"thinking": {"type": "adaptive"}}
    asked = registry.COUNTING.read_request(json.dumps(body).encode())
    written = json.loads(registry.COUNTERS["bedrock_invoke"].write(asked, TARGET))
    inner = json.loads(base64.b64decode(written["input"]["invokeModel"]["body"]))
    assert inner == {
        "messages": ASK["messages"],
        "thinking": {"type": "adaptive"},
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1000,
    }


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"inputTokens":-1}', b'{"inputTokens":"1"}', b'{"inputTokens":1e12}']
)
def test_what_is_no_count_is_none(body):
    with pytest.raises(errors.UpstreamBroken):
        registry.COUNTERS["bedrock_invoke"].read(body)


# --- streams ---------------------------------------------------------------------------------------------------------


@given(cuts)
def test_a_stream_is_anthropics_own_however_it_is_split(at):
    exchange = relay()
    assert b"".join(map(exchange.feed, split(STREAM, at))) + exchange.close() == NATIVE
    seen = exchange.seen
    assert (seen.finished, seen.error, seen.stop_reason, seen.response_id) == (True, None, "end_turn", "msg_bdrk_1")
    assert seen.usage is not None
    assert (seen.usage.in_fresh, seen.usage.in_cache_read, seen.usage.out_total) == (7, 3, 134), "not the metrics'"


@given(cuts)
def test_a_translated_stream_is_the_same_however_it_is_split(at):
    whole, cut = relay(OPENAI), relay(OPENAI)
    first = whole.feed(STREAM) + whole.close()
    assert b"".join(map(cut.feed, split(STREAM, at))) + cut.close() == first
    told = grammar.openai(first, wants_usage=True)
    assert (told.text, told.thinking, told.error) == ("hi — “ok”", "hm", None)


BROKEN = {
    "cut between events": (frames.invoke(EVENTS[:4]), "api_error"),
    "cut in a message": (frames.invoke(EVENTS[:8])[:-9], "api_error"),
    "without an end": (frames.invoke(EVENTS[:8]), "api_error"),
    "throttled": (frames.invoke(EVENTS[:4]) + frames.exception("throttlingException", "slow down"), "overloaded_error"),
    "timed out": (frames.invoke(EVENTS[:4]) + frames.exception("modelTimeoutException", "late"), "timeout_error"),
    "failed": (frames.invoke(EVENTS[:4]) + frames.fault("InternalFailure", "lost"), "api_error"),
    "refused": (frames.invoke(EVENTS[:4]) + frames.exception("validationException", "no"), "invalid_request_error"),
    "an error of Claude's own": (
        frames.invoke([*EVENTS[:4], {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}]),
        "overloaded_error",
    ),
    "no base64": (frames.invoke(EVENTS[:4]) + frames.event("chunk", {"bytes": "&&"}), "api_error"),
    "no bytes": (frames.invoke(EVENTS[:4]) + frames.event("chunk", {"p": "abc"}), "api_error"),
    "no JSON": (frames.invoke(EVENTS[:4]) + frames.chunk(b"{"), "api_error"),
    "no type": (frames.invoke(EVENTS[:4]) + frames.chunk(b'{"a":1}'), "api_error"),
    "a type with a line end": (
        frames.invoke(EVENTS[:4]) + frames.chunk(b'{"type":"a\\nevent: message_stop"}'),
        "api_error",
    ),
    "deep": (frames.invoke(EVENTS[:4]) + frames.chunk(b'{"type":' + b"[" * 100_000), "api_error"),
    "a flipped bit": (frames.invoke(EVENTS[:4]) + STREAM[:99] + b"?" + STREAM[100:], "api_error"),
    "a server-sent event": (frames.invoke(EVENTS[:4]) + NATIVE, "api_error"),
}


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize(("stream", "kind"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_stream_ends_in_one_error_of_its_class_however_it_is_split(stream, kind, client):
    whole, dripped = relay(client), relay(client)
    first = whole.feed(stream) + whole.close()
    assert b"".join(dripped.feed(stream[at : at + 1]) for at in range(len(stream))) + dripped.close() == first
    assert whole.seen.error is not None
    assert not whole.seen.finished
    told = grammar.anthropic(first) if client == ANTHROPIC else grammar.openai(first, wants_usage=True)
    assert told.error is not None
    if client == ANTHROPIC:
        assert told.error["type"] == kind
    assert whole.feed(STREAM) == b""


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (frames.exception("throttlingException", "slow down"), errors.UpstreamRateLimited),
        (frames.exception("serviceUnavailableException", "away"), errors.UpstreamOverloaded),
        (frames.invoke(EVENTS[1:]), errors.UpstreamBroken),
        (b"<html>" * 50, errors.UpstreamBroken),
        (b"", errors.UpstreamBroken),
    ],
)
def test_before_its_beginning_a_failure_is_silent_so_that_another_may_be_tried(stream, kind, client):
    exchange = relay(client)
    assert exchange.feed(stream) + exchange.close() == b""
    assert type(exchange.seen.error) is kind
    assert exchange.seen.error.retryable


def test_a_stream_that_lacks_nothing_but_its_end_is_an_error():
    exchange = relay()
    told = exchange.feed(frames.invoke(EVENTS[:-1])) + exchange.close()
    assert told.startswith(NATIVE[: NATIVE.index(b"event: message_stop")])
    assert told.count(b"event: error") == 1
    assert isinstance(exchange.seen.error, errors.UpstreamBroken)


def test_what_follows_the_end_is_nothing_to_anybody():
    exchange = relay()
    late = frames.exception("internalServerException", "too late") + frames.invoke(EVENTS)
    assert exchange.feed(STREAM + late) + exchange.feed(late) + exchange.close() == NATIVE
    assert exchange.seen.error is None


def test_a_line_end_inside_an_event_does_not_cut_it():
    data = json.dumps(EVENTS[0], indent=1).replace("\n", "\r\n").encode()
    exchange = relay()
    (frame,) = sse.Decoder().feed(exchange.feed(frames.chunk(data)))
    assert json.loads(frame.data) == EVENTS[0]


def test_a_failure_holds_no_credential():
    asked = registry.CLIENTS[ANTHROPIC].read_request(json.dumps(ASK | {"stream": True}).encode())
    cut = exchange.open(asked, TARGET, request_id="r", cut=lambda told: told.replace(b"wJalrXUt", b"[removed]"))
    told = cut.feed(frames.invoke(EVENTS[:2]) + frames.exception("internalServerException", "of wJalrXUt"))
    assert b"wJalrXUt" not in told
    assert b"of [removed]" in told


@pytest.mark.parametrize("is_result", [False, True])
def test_what_bedrock_would_have_to_fetch_is_refused_in_the_callers_words(is_result):
    picture = {"type": "input_image", "image_url": "https://example.com/a.png"}
    turn: dict[str, Any] = {"role": "user", "content": [picture]}
    made = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    items = [made, {"type": "function_call_output", "call_id": "c", "output": [picture]}] if is_result else [turn]
    asked = registry.CLIENTS["openai_responses"].read_request(json.dumps({"model": "m", "input": items}).encode())
    with pytest.raises(errors.InvalidRequest, match="no images by URL") as caught:
        exchange.open(asked, TARGET)
    assert caught.value.param == "input"
