"""What an Ollama server says: streams, whole answers and errors."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given

from apps.domain import errors
from apps.domain.chat import Text, Thinking, ToolUse
from apps.domain.events import ArgumentsDelta, BlockStarted, BlockStopped, Failed, Finished, Started, TextDelta
from apps.domain.protocols.ollama_chat.wire import MAX_CALLS
from apps.domain.tokens import TokenUsage
from tests.domain import streams
from tests.domain.ollama_calls import UPSTREAM, call, decode, last, line

CALLS = [call("look", {"at": "ü"}, id="call_own"), call("leap", {})]
ANSWER = b"".join(
    [line(thinking="hm"), line(content="I "), line(content="look"), line(tool_calls=CALLS), last(prompt=10, output=7)]
)


def failure(*pieces: bytes) -> errors.GatewayError:
    events = decode(*pieces)
    assert [isinstance(event, Failed | Finished) for event in events].count(True) == 1
    assert isinstance(events[-1], Failed)
    return events[-1].error


def test_text_streams_as_one_block():
    started, *events = decode(line(content="he"), line(content="llo"), last())
    assert isinstance(started, Started)
    assert started.id.startswith("ollama-")
    assert started.model == "qwen3"
    assert events == [
        BlockStarted(0, Text("")),
        TextDelta(0, "he"),
        TextDelta(0, "llo"),
        BlockStopped(0),
        Finished("end_turn", usage=TokenUsage(in_fresh=10, out_total=5)),
    ]


def test_calls_come_whole_and_decide_the_stop_reason():
    events = decode(ANSWER)
    streams.check_events(events)
    blocks = [event.block for event in events if isinstance(event, BlockStarted)]
    assert [type(block) for block in blocks] == [Thinking, Text, ToolUse, ToolUse]
    found = streams.summed(events)
    assert (found.text, found.thinking, found.stop) == ("I look", "hm", "tool_use")
    assert [(name, made) for _, name, made in found.calls] == [("look", {"at": "ü"}), ("leap", {})]
    own, minted = [identity for identity, _, _ in found.calls]
    assert own == "call_own"
    assert minted.startswith("call_")
    assert minted != own


@given(cuts=streams.cuts)
def test_events_are_the_same_wherever_the_bytes_are_split(cuts):
    assert streams.summed(decode(*streams.split(ANSWER, cuts))) == streams.summed(decode(ANSWER))
    assert decode(*streams.split(ANSWER, cuts)) == decode(ANSWER)


def test_a_whole_answer_says_what_the_stream_says():
    message = {"role": "assistant", "thinking": "hm", "content": "I look", "tool_calls": CALLS}
    whole = json.loads(last(prompt=10, output=7)) | {"message": message}
    answer = UPSTREAM.read_response(json.dumps(whole).encode())
    found = streams.summed(decode(ANSWER))
    assert answer.content[:2] == (Thinking("hm"), Text("I look"))
    calls = [(block.id, block.name, json.loads(block.arguments)) for block in answer.content[2:]]
    assert calls == found.calls
    assert (answer.stop_reason, answer.usage) == (found.stop, found.usage)
    assert (answer.id, answer.model) == (decode(ANSWER)[0].id, "qwen3")


@pytest.mark.parametrize(
    ("reason", "expected"), [("stop", "end_turn"), ("length", "max_tokens"), ("news", "end_turn"), (None, "end_turn")]
)
def test_labels_are_read(reason, expected):
    assert decode(line(content="a"), last(reason))[-1].stop_reason == expected
    assert UPSTREAM.read_response(last(reason, content="a")).stop_reason == expected


@pytest.mark.parametrize("reason", ["load", "unload", "new"])
def test_a_model_that_was_only_loaded_or_stopped_before_a_word_has_not_answered(reason):
    assert isinstance(failure(last(reason)), errors.UpstreamBroken)
    with pytest.raises(errors.UpstreamBroken):
        UPSTREAM.read_response(last(reason))


@pytest.mark.parametrize(
    ("fields", "usage"),
    [
        ({"eval_count": 5}, TokenUsage(out_total=5)),
        ({}, None),
        ({"prompt_eval_count": 10**12, "eval_count": 5}, None),
        ({"prompt_eval_count": -1, "eval_count": 5}, None),
        ({"prompt_eval_count": "9", "eval_count": 5}, None),
        ({"prompt_eval_count": True, "eval_count": 5}, None),
    ],
)
def test_counts_are_believed_when_they_can_be(fields, usage):
    ended = line(content="a", done=True, done_reason="stop", **fields)
    assert decode(ended)[-1].usage == usage
    assert UPSTREAM.read_response(ended).usage == (usage or TokenUsage())


def test_answers_of_other_moments_have_other_ids():
    other = line(content="a", created_at="2026-11-01T10:00:00.123456788Z") + last()
    assert decode(other)[0].id != decode(ANSWER)[0].id


@pytest.mark.parametrize("at", [None, 1761991200])
def test_a_moment_in_another_form_is_no_hindrance(at):
    assert streams.summed(decode(line(content="a", created_at=at), last())).text == "a"


@pytest.mark.parametrize("written", ['"{\\"at\\":1}"', '{"at":1}', ' {"at":1} '])
def test_arguments_written_as_text_are_read_too(written):
    raw = line(tool_calls=[call("look", 0)]).replace(b'"arguments":0', b'"arguments":' + written.encode())
    assert streams.summed(decode(raw, last())).calls[0][2] == {"at": 1}


@pytest.mark.parametrize("arguments", [None, {}, ""])
def test_a_call_without_arguments_gets_an_empty_object(arguments):
    assert ArgumentsDelta(0, "{}") in decode(line(tool_calls=[call("look", arguments)]), last())


@pytest.mark.parametrize("arguments", [[1], 7, "no json"])
def test_arguments_that_are_no_object_break_the_answer(arguments):
    asked = line(tool_calls=[call("look", arguments)])
    assert isinstance(failure(asked, last()), errors.UpstreamBroken)
    with pytest.raises(errors.UpstreamBroken):
        UPSTREAM.read_response(last(tool_calls=[call("look", arguments)]))


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        line(content="a"),
        ANSWER[:-20],
        b"<html>\n",
        b"[]\n",
        b'{"message":7}\n',
        b"\x00\xff\n",
        b"[" * 5000 + b"\n",
    ],
)
def test_what_is_no_whole_answer_ends_in_one_failure(stream):
    assert isinstance(failure(stream), errors.UpstreamBroken)


def test_nothing_follows_the_last_line():
    assert isinstance(decode(ANSWER, b"garbage\n", line(content="more"))[-1], Finished)


def test_endless_lines_and_calls_are_refused_in_bounded_memory():
    tracemalloc.start()
    decoder = UPSTREAM.decoder()
    events = [event for _ in range(1600) for event in decoder.feed(b"x" * 65536)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20
    assert isinstance(events[-1].error, errors.UpstreamBroken)
    assert len(events) == 1
    too_many = line(tool_calls=[call("look", {})] * (MAX_CALLS + 1))
    assert "too many" in failure(too_many).message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("an error was encountered while running the model: CUDA error", errors.UpstreamFailed),
        ("server busy, please try again. maximum pending requests exceeded", errors.UpstreamOverloaded),
        ("you have reached your hourly usage limit", errors.UpstreamRateLimited),
        ("context deadline exceeded", errors.UpstreamTimeout),
        ("prompt too long; exceeded max context length by 12 tokens", errors.UpstreamRefused),
        ('"llama3" does not support thinking', errors.UpstreamRefused),
    ],
)
def test_an_error_under_status_200_keeps_its_class(text, kind):
    raw = json.dumps({"error": text}).encode()
    found = failure(line(content="a"), raw + b"\n")
    assert isinstance(found, kind)
    assert found.message == text
    with pytest.raises(kind):
        UPSTREAM.read_response(raw)


@pytest.mark.parametrize(
    ("status", "text", "kind", "code"),
    [
        (400, "prompt too long; exceeded max context length by 3 tokens", "invalid_request", "context_length_exceeded"),
        (400, "the request exceeds the available context size", "invalid_request", "context_length_exceeded"),
        (400, '"llama3" does not support tools', "invalid_request", None),
        (404, "model 'x' not found", "not_found", None),
    ],
)
def test_a_refusal_is_told_in_its_words(status, text, kind, code):
    error = UPSTREAM.read_error(status, {}, json.dumps({"error": text}).encode())
    assert isinstance(error, errors.UpstreamRefused)
    assert (error.message, error.kind, error.code, error.body) == (text, kind, code, None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, errors.UpstreamAuth), (429, errors.UpstreamRateLimited), (500, errors.UpstreamFailed),
     (503, errors.UpstreamOverloaded)],
)  # fmt: skip
@pytest.mark.parametrize("body", [b'{"error":"so it is"}', b"<html>", b'{"error":{"message":"x"}}', b""])
def test_other_failures_are_classed_by_status(status, kind, body):
    assert isinstance(UPSTREAM.read_error(status, {}, body), kind)
