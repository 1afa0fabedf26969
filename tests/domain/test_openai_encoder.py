"""Canonical events, as an OpenAI client's chunks."""

from __future__ import annotations

import json

import pytest

from apps.domain import errors
from apps.domain.chat import Block, Opaque, RedactedThinking, Text, Thinking, ToolUse
from apps.domain.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Failed,
    Finished,
    Ping,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
)
from apps.domain.protocols.openai_chat import CLIENT
from apps.domain.tokens import TokenUsage
from tests.domain import grammar
from tests.domain.openai_calls import call

STARTED = Started("msg_1", "claude-up")
END = Finished("end_turn", usage=TokenUsage(1, 2, 3, 4, 5))
FUNCTIONS = [{"name": "weather", "parameters": {}}]


def encode(*events: Event, **fields) -> bytes:
    encoder = CLIENT.encoder(call=call(stream=True, **fields), created=7)
    return b"".join(encoder.encode(event) for event in events)


def block(index: int, made: Block, *deltas: Event) -> list[Event]:
    return [BlockStarted(index, made), *deltas, BlockStopped(index)]


def text(index: int = 0, said: str = "hi") -> list[Event]:
    return block(index, Text(""), TextDelta(index, said))


def chunks(stream: bytes) -> list[dict]:
    return [json.loads(data) for _, data in grammar.events(stream) if data != "[DONE]"]


def test_the_whole_grammar_byte_for_byte():
    head = (
        '{"id":"msg_1","object":"chat.completion.chunk","created":7,"model":"gpt-test","choices":[{"index":0,"delta":'
    )
    tail = ',"logprobs":null,"finish_reason":null}]}'
    assert encode(STARTED, *text(), END).decode() == (
        f'data: {head}{{"role":"assistant","content":""}}{tail}\n\n'
        f'data: {head}{{"content":"hi"}}{tail}\n\n'
        f'data: {head}{{}},"logprobs":null,"finish_reason":"stop"}}]}}\n\n'
        "data: [DONE]\n\n"
    )


def test_usage_comes_last_and_only_when_asked_for():
    asked = {"stream_options": {"include_usage": True}}
    told = grammar.openai(encode(STARTED, *text(), END, **asked), wants_usage=True)
    assert told.usage == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert b"usage" not in encode(STARTED, *text(), END)


def test_usage_that_nobody_told_is_estimated():
    stream = encode(STARTED, *text(), Finished("end_turn"), stream_options={"include_usage": True})
    told = grammar.openai(stream, wants_usage=True).usage
    assert told is not None
    assert told["prompt_tokens"] > 0
    assert told["completion_tokens"] == 1


def test_calls_are_numbered_among_themselves_and_named_once():
    first = block(1, ToolUse("a", "weather", ""), ArgumentsDelta(1, '{"x"'), ArgumentsDelta(1, ":1}"))
    second = block(3, ToolUse("b", "time", ""), ArgumentsDelta(3, ""))
    stream = encode(STARTED, *text(0), *first, *text(2), *second, Finished("tool_use"))
    told = grammar.openai(stream)
    assert told.calls == [("a", "weather", '{"x":1}'), ("b", "time", "{}")]
    assert told.stop == "tool_calls"
    assert told.text == "hihi"


def test_thinking_is_reasoning_content_and_its_signature_a_detail():
    thinking = block(0, Thinking(""), ThinkingDelta(0, "h"), ThinkingDelta(0, "m"), SignatureDelta(0, "EqQB"))
    stream = encode(STARTED, *thinking, *block(1, RedactedThinking("xyz")), *text(2), END)
    told = grammar.openai(stream)
    assert (told.thinking, told.text, told.signatures) == ("hm", "hi", ["EqQB", "xyz"])
    details = [c["choices"][0]["delta"]["reasoning_details"][0] for c in chunks(stream) if "details" in json.dumps(c)]
    assert [(d["index"], d["type"], d.get("text")) for d in details] == [
        (0, "reasoning.text", "hm"),
        (1, "reasoning.encrypted", None),
    ]


def test_a_signature_of_ours_is_kept_to_ourselves():
    thinking = block(0, Thinking(""), ThinkingDelta(0, "hm"), SignatureDelta(0, "gw1.x"))
    assert grammar.openai(encode(STARTED, *thinking, *text(1), END)).signatures == []


def test_a_client_of_functions_gets_one_function_call():
    calls = [block(n, ToolUse(str(n), "weather", ""), ArgumentsDelta(n, f'{{"n":{n}}}')) for n in range(2)]
    stream = encode(STARTED, *calls[0], *calls[1], Finished("tool_use"), functions=FUNCTIONS)
    told = grammar.openai(stream, legacy=True)
    assert told.calls == [("", "weather", '{"n":0}')]
    assert told.stop == "function_call"


def test_blocks_of_another_dialect_are_left_out():
    opaque = Opaque("anthropic_messages", {"type": "server_tool_use"})
    told = grammar.openai(encode(STARTED, *block(0, opaque), *text(1), Finished("tool_use")))
    assert (told.text, told.stop) == ("hi", "stop")


def test_a_ping_is_a_comment():
    assert encode(STARTED, Ping()).endswith(b"\n\n: keepalive\n\n")
    assert CLIENT.keepalive == b": keepalive\n\n"


def test_empty_deltas_make_no_chunk():
    silent = [TextDelta(0, ""), ThinkingDelta(0, "")]
    assert len(chunks(encode(STARTED, BlockStarted(0, Text("")), *silent))) == 1


@pytest.mark.parametrize("said", ["\n", "\r\n", '"', "\\", "\u2028", "é", "🌊", "\x00", "data: x\n\n", "[DONE]"])
def test_any_text_survives_the_wire(said):
    assert grammar.openai(encode(STARTED, *text(0, said), END)).text == said


def test_a_failure_ends_the_stream_with_an_error_and_no_finish_reason():
    told = grammar.openai(encode(STARTED, *text()[:2], Failed(errors.UpstreamOverloaded("busy"))))
    assert told.error == {"message": "busy", "type": "server_error", "param": None, "code": "overloaded"}
    assert told.stop is None
    assert told.text == "hi"


def test_an_answer_without_an_id_gets_one():
    assert chunks(encode(Started("", ""), END))[0]["id"] == "chatcmpl-7"
