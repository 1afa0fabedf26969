"""One upstream try from bytes to bytes, for every pair of dialects."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import errors
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.anthropic_messages import names
from apps.domain.protocols.contract import Target
from apps.domain.tokens import TokenUsage
from tests.domain import anthropic_calls, grammar, openai_calls
from tests.domain.openai_calls import DONE, chunk, part

PAIRS = list(itertools.product(("anthropic_messages", "openai_chat"), repeat=2))
CROSS = [(client, upstream) for client, upstream in PAIRS if client != upstream]
CALLS = {"anthropic_messages": anthropic_calls.call, "openai_chat": openai_calls.call}
READ = {"anthropic_messages": grammar.anthropic, "openai_chat": grammar.openai}
COUNTED = TokenUsage(in_fresh=100, in_cache_read=30, in_cache_write_5m=20, out_total=50, out_reasoning=7)

ANTHROPIC_USAGE = {
    "input_tokens": 100,
    "cache_read_input_tokens": 30,
    "cache_creation_input_tokens": 20,
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 7},
}
OPENAI_USAGE = {
    "prompt_tokens": 150,
    "completion_tokens": 50,
    "total_tokens": 200,
    "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 7},
}
# The same answer in both dialects: thinking, text, two calls.
STREAMS = {
    "anthropic_messages": [
        anthropic_calls.start(usage={"input_tokens": 100, "output_tokens": 1}),
        anthropic_calls.thinking(0, "hm", " hm"),
        anthropic_calls.PING,
        anthropic_calls.text(1, "Hel", "lo ✓"),
        anthropic_calls.tool(2, '{"a"', ":1}", id="toolu_1"),
        anthropic_calls.tool(3, id="toolu_2", name="clock"),
        anthropic_calls.end("tool_use", usage=ANTHROPIC_USAGE),
    ],
    "openai_chat": [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm"}),
        chunk({"reasoning_content": " hm"}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo ✓"}),
        part(0, id="toolu_1", name="weather"),
        part(1, id="toolu_2", name="clock"),
        part(0, arguments='{"a"'),
        part(1, arguments="{}"),
        part(0, arguments=":1}"),
        chunk(finish="tool_calls"),
        chunk(usage=OPENAI_USAGE),
        DONE,
    ],
}
ANSWERS = {
    "anthropic_messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "up",
        "content": [
            {"type": "thinking", "thinking": "hm hm", "signature": "EqRs=="},
            {"type": "text", "text": "Hello ✓"},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"a": 1}},
            {"type": "tool_use", "id": "toolu_2", "name": "clock", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": ANTHROPIC_USAGE,
    },
    "openai_chat": {
        "id": "cmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": "Hello ✓",
                    "reasoning_content": "hm hm",
                    "tool_calls": [
                        {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}},
                        {"id": "toolu_2", "type": "function", "function": {"name": "clock", "arguments": ""}},
                    ],
                },
            }
        ],
        "usage": OPENAI_USAGE,
    },
}
DEATHS = {
    "anthropic_messages": lambda type_: anthropic_calls.event("error", error={"type": type_, "message": "why"}),
    "openai_chat": lambda type_: (
        b"data: " + json.dumps({"error": {"message": "why", "type": type_}}).encode() + b"\n\n"
    ),
}


def opened(client, upstream, **fields):
    target = Target(protocol=upstream, model="up", max_output_tokens=4096)
    return exchange.open(CALLS[client](**({"stream": True} | fields)), target, request_id="req_1", created=1)


def run(client, upstream, chunks, **fields):
    running = opened(client, upstream, **fields)
    out = b"".join(running.feed(chunk) for chunk in chunks)
    return out + running.close(), running.seen


def split(stream, places):
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


# What goes up


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_the_upstream_is_asked_for_its_own_model_and_a_stream(client, upstream):
    body = json.loads(opened(client, upstream).body)
    assert (body["model"], body["stream"]) == ("up", True)
    assert "stream" not in json.loads(opened(client, upstream, stream=False).body) or client == upstream


def test_an_openai_caller_without_a_cap_gets_the_models_at_claude():
    assert json.loads(opened("openai_chat", "anthropic_messages").body)["max_tokens"] == 4096


def test_several_choices_cannot_be_had_from_claude():
    with pytest.raises(errors.InvalidRequest) as caught:
        opened("openai_chat", "anthropic_messages", n=2)
    assert caught.value.param == "n"


@pytest.mark.parametrize("depth", [300, 900])
def test_what_is_too_deep_to_be_translated_is_the_callers_fault_and_never_a_crash(depth):
    schema = json.loads('{"a":' * depth + "1" + "}" * depth)
    tools = [{"name": "f", "input_schema": schema}]
    try:
        body = opened("anthropic_messages", "openai_chat", tools=tools).body
        assert b'"parameters"' in body
    except errors.InvalidRequest as refused:
        assert "deep" in refused.message  # noqa: PT017


def test_a_conversation_survives_the_way_to_another_vendor_and_back():
    """Claude Code talks to an OpenAI-type vendor, then the same history goes to Claude."""
    out, _ = run("anthropic_messages", "openai_chat", STREAMS["openai_chat"])
    told = grammar.anthropic(out)
    thought = {"type": "thinking", "thinking": told.thinking, "signature": told.signatures[0]}
    calls = [
        {"type": "tool_use", "id": id_, "name": name, "input": json.loads(raw or "{}")} for id_, name, raw in told.calls
    ]
    results = [{"type": "tool_result", "tool_use_id": id_, "content": "1"} for id_, _, _ in told.calls]
    history = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": told.text}, *calls]},
        {"role": "user", "content": results},
    ]
    back = json.loads(opened("anthropic_messages", "openai_chat", messages=history).body)
    assert [message["role"] for message in back["messages"]] == ["user", "assistant", "tool", "tool"]
    assert back["messages"][1]["reasoning_content"] == "hm hm"
    assert [call["id"] for call in back["messages"][1]["tool_calls"]] == ["toolu_1", "toolu_2"]
    claude = json.loads(opened("anthropic_messages", "anthropic_messages", messages=history).body)
    assert claude["messages"][1]["content"] == history[1]["content"][1:]


# Streams


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_the_same_answer_is_told_in_every_pair(client, upstream):
    fields = {"stream_options": {"include_usage": True}} if client == "openai_chat" else {}
    out, seen = run(client, upstream, STREAMS[upstream], **fields)
    assert seen.usage == COUNTED
    assert (seen.stop_reason, seen.started, seen.finished, seen.error) == ("tool_use", True, True, None)
    assert seen.response_id == ANSWERS[upstream]["id"]
    if client == upstream:
        assert out == b"".join(STREAMS[upstream])
        return
    told = grammar.openai(out, wants_usage=True) if client == "openai_chat" else grammar.anthropic(out)
    assert (told.thinking, told.text) == ("hm hm", "Hello ✓")
    assert told.arguments == [("weather", {"a": 1}), ("clock", {})]
    assert told.stop in ("tool_use", "tool_calls")
    assert seen.output_bytes == len("hm hmHello ✓".encode()) + len('{"a":1}') + (2 if upstream == "openai_chat" else 0)
    if client == "openai_chat":
        assert told.usage["prompt_tokens"] == 150
        assert told.usage["prompt_tokens_details"]["cached_tokens"] == 30
        assert told.usage["completion_tokens"] == 50
    else:
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"):
            assert told.usage[name] == ANTHROPIC_USAGE[name]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@given(places=st.lists(st.integers(0, 100_000), max_size=20))
def test_any_split_tells_the_same(client, upstream, places):
    stream = b"".join(STREAMS[upstream])
    whole, seen = run(client, upstream, [stream])
    assert run(client, upstream, split(stream, places)) == (whole, seen)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_the_first_event_goes_out_at_once_and_nothing_before_it(client, upstream):
    running = opened(client, upstream)
    first = STREAMS[upstream][0]
    assert running.feed(first[:-1]) == b""
    assert not running.seen.started
    assert running.feed(first[-1:])
    assert running.seen.started


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@given(place=st.integers(0, 100_000))
def test_a_stream_cut_anywhere_never_looks_complete(client, upstream, place):
    stream = b"".join(STREAMS[upstream][:-1])  # all but the upstream's own end
    out, seen = run(client, upstream, [stream[: place % len(stream)]])
    assert not seen.finished or upstream == "openai_chat"  # only `[DONE]` may be missing
    if seen.finished:
        return
    assert isinstance(seen.error, errors.UpstreamBroken)
    if not seen.started:
        assert out == b""
    elif client != upstream:
        told = READ[client](out)
        assert told.error
        assert told.stop is None
    else:
        assert b"error" in out


@pytest.mark.parametrize(
    ("type_", "fault"),
    [
        ("overloaded_error", errors.UpstreamOverloaded),
        ("rate_limit_error", errors.UpstreamRateLimited),
        ("timeout_error", errors.UpstreamTimeout),
        ("api_error", errors.UpstreamFailed),
    ],
)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_error_in_the_middle_keeps_its_class_and_ends_the_stream(client, upstream, type_, fault):
    chunks = [*STREAMS[upstream][:5], DEATHS[upstream](type_), *STREAMS[upstream][5:]]
    out, seen = run(client, upstream, chunks)
    assert type(seen.error) is fault
    assert not seen.finished
    if client != upstream:
        told = READ[client](out)
        assert told.error["message"] == "why"
        assert told.stop is None


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_error_before_the_beginning_leaves_the_way_open_for_another(client, upstream):
    out, seen = run(client, upstream, [DEATHS[upstream]("overloaded_error"), *STREAMS[upstream]])
    assert out == b""
    assert isinstance(seen.error, errors.UpstreamOverloaded)
    assert seen.error.retryable
    assert not seen.started


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize(
    "body", [b"", b"<html>\n\n", b"data: {cut\n\n", b"\xff\xfe\n\n", b"\x00" * 100, b"data: 5\n\n"]
)
def test_garbage_from_the_start_is_never_begun(client, upstream, body):
    out, seen = run(client, upstream, [body])
    assert b"error" not in out
    assert isinstance(seen.error, errors.UpstreamError)
    assert not seen.started


@pytest.mark.parametrize(("client", "upstream"), CROSS)
@given(data=st.data())
def test_no_upstream_can_make_us_break_the_grammar(client, upstream, data):
    pieces = st.sampled_from([*STREAMS[upstream], b"data: {}\n\n", b"data: {", b"\n\n", b": x\n\n", b"data: []\n\n"])
    out, seen = run(client, upstream, data.draw(st.lists(pieces | st.binary(max_size=5), max_size=12)))
    if not seen.started:
        assert out == b""
        assert seen.error is not None
        return
    told = READ[client](out)
    assert (told.error is None) == (seen.error is None)
    assert (told.stop is not None) == seen.finished


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_without_usage_what_was_said_is_measured(client, upstream):
    if upstream == "openai_chat":
        stream = [chunk({"content": "x" * 400}), chunk(finish="stop"), DONE]
    else:
        begin = anthropic_calls.event("message_start", message={"id": "m", "model": "c"})
        stream = [begin, anthropic_calls.text(0, "x" * 400), anthropic_calls.end(usage=None)]
    _, seen = run(client, upstream, stream)
    assert seen.finished
    assert seen.usage is None
    assert seen.output_bytes == 400


# Whole answers


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_whole_answer_is_told_in_every_pair(client, upstream):
    running = opened(client, upstream, stream=False)
    body = json.dumps(ANSWERS[upstream]).encode()
    out = running.answer(body)
    seen = running.seen
    assert seen.usage == COUNTED
    assert (seen.stop_reason, seen.response_id, seen.started, seen.finished) == (
        "tool_use",
        ANSWERS[upstream]["id"],
        True,
        True,
    )
    if client == upstream:
        assert out == body
        return
    told = json.loads(out)
    if client == "anthropic_messages":
        thought, text, *calls = told["content"]
        assert (thought["thinking"], thought["signature"]) == ("hm hm", names.sign("hm hm"))
        assert text["text"] == "Hello ✓"
        assert [(call["name"], call["input"]) for call in calls] == [("weather", {"a": 1}), ("clock", {})]
        assert told["usage"]["input_tokens"] == 100
        assert told["stop_reason"] == "tool_use"
    else:
        (choice,) = told["choices"]
        assert choice["message"]["content"] == "Hello ✓"
        assert [json.loads(call["function"]["arguments"]) for call in choice["message"]["tool_calls"]] == [{"a": 1}, {}]
        assert told["usage"]["total_tokens"] == 200
        assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_whole_answer_without_usage_is_measured_in_every_pair(client, upstream):
    running = opened(client, upstream, stream=False)
    running.answer(json.dumps({**ANSWERS[upstream], "usage": {}}).encode())
    assert running.seen.usage is None
    assert running.seen.output_bytes == pytest.approx(len("hm hmHello ✓".encode()) + len('{"a":1}'), abs=3)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("body", [b"", b"<html>ok</html>", b"[]", b"{}", b"null", b"\xff", b"[" * 99_999])
def test_a_garbled_answer_is_the_upstreams_fault(client, upstream, body):
    running = opened(client, upstream, stream=False)
    with pytest.raises(errors.UpstreamBroken):
        running.answer(body)
    assert not running.seen.finished


def test_the_registry_knows_every_format_by_its_name():
    for formats in (registry.CLIENTS, registry.UPSTREAMS):
        assert all(name == format_.name for name, format_ in formats.items())
    assert registry.CLIENTS["anthropic_messages"].request_id_header == "request-id"
    assert registry.CLIENTS["openai_chat"].request_id_header == "x-request-id"


def test_what_is_relayed_is_known_on_both_ends():
    for client, upstream in registry.DIALECTS:
        assert client in registry.CLIENTS
        assert upstream in registry.UPSTREAMS
