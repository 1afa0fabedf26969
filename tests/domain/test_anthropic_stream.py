"""Anthropic's stream, read into events: any splitting, any vendor's grammar, one clean end."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import errors, sse
from apps.domain.chat import Opaque, RedactedThinking, Text, Thinking, ToolUse
from apps.domain.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Failed,
    Finished,
    Ping,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
)
from apps.domain.protocols.anthropic_messages import names, stream
from apps.domain.tokens import TokenUsage
from tests.domain.anthropic_calls import PING, block, end, event, start, text, thinking, tool

WHOLE = b"".join(
    [
        start(),
        event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
        PING,
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": ""}),
        event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "EqRs=="}),
        event("content_block_stop", index=0),
        text(1, "Hel", "lo ✓"),
        tool(2, "", '{"a"', ": 1}"),
        end("tool_use"),
    ]
)
EVENTS = [
    Started("msg_1", "claude-up", TokenUsage(in_fresh=10, out_total=1)),
    BlockStarted(0, Thinking("")),
    Ping(),
    ThinkingDelta(0, "hm"),
    SignatureDelta(0, "EqRs=="),
    BlockStopped(0),
    BlockStarted(1, Text("")),
    TextDelta(1, "Hel"),
    TextDelta(1, "lo ✓"),
    BlockStopped(1),
    BlockStarted(2, ToolUse("toolu_1", "weather", "")),
    ArgumentsDelta(2, '{"a"'),
    ArgumentsDelta(2, ": 1}"),
    BlockStopped(2),
    Finished("tool_use", None, TokenUsage(in_fresh=10, out_total=5)),
]


def read(*chunks):
    decoder = stream.Decoder()
    happened = [event for chunk in chunks for event in decoder.feed(chunk)]
    return happened + decoder.close()


def failure(*chunks):
    *_, last = read(*chunks)
    assert isinstance(last, Failed)
    return last.error


def test_every_kind_of_block_is_read():
    assert read(WHOLE) == EVENTS


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_any_split_gives_the_same_events(cuts):
    edges = [0, *sorted(cuts), len(WHOLE)]
    assert read(*(WHOLE[a:b] for a, b in itertools.pairwise(edges))) == EVENTS


def test_line_ends_may_be_any():
    assert read(WHOLE.replace(b"\n", b"\r\n")) == EVENTS
    assert read(WHOLE.replace(b"\n", b"\r")) == EVENTS


@given(st.integers(0, len(WHOLE) - 3))
def test_a_stream_cut_anywhere_ends_in_an_error_and_nothing_is_taken_back(cut):
    *happened, last = read(WHOLE[:cut])
    assert isinstance(last, Failed)
    assert isinstance(last.error, errors.UpstreamBroken)
    assert happened == EVENTS[: len(happened)]


def test_the_last_event_may_lack_its_blank_line():
    assert read(WHOLE.rstrip())[-1] == EVENTS[-1]


def test_nothing_comes_after_the_end():
    decoder = stream.Decoder()
    decoder.feed(WHOLE)
    assert decoder.feed(event("error", error={"type": "api_error", "message": "late"})) == []
    assert decoder.close() == []


def test_totals_overwrite_and_the_last_word_on_the_stop_wins():
    early = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3, "input_tokens": 11})
    (finished,) = read(start(), text(0, "x"), early, end("max_tokens", usage={"output_tokens": 9}))[-1:]
    assert finished == Finished("max_tokens", None, TokenUsage(in_fresh=11, out_total=9))


def test_a_stop_sequence_is_told():
    last = event("message_delta", delta={"stop_reason": "stop_sequence", "stop_sequence": "END"})
    finished = read(start(), text(0, "x"), last, event("message_stop"))[-1]
    assert (finished.stop_reason, finished.stop_sequence) == ("stop_sequence", "END")


@pytest.mark.parametrize(
    ("blocks", "label", "reason"),
    [
        (text(0, "x"), "tool_use", "end_turn"),
        (tool(0, "{}"), "end_turn", "tool_use"),
        (tool(0, '{"cut'), "max_tokens", "max_tokens"),
        (text(0, "x"), None, "end_turn"),
        (text(0, "x"), "compaction", "end_turn"),
        (b"", "end_turn", "end_turn"),
    ],
)
def test_what_the_stream_held_decides_over_its_label(blocks, label, reason):
    assert read(start(), blocks, end(label))[-1].stop_reason == reason


def test_an_answer_of_nothing_at_all_is_an_error():
    assert isinstance(failure(start(), event("message_stop")), errors.UpstreamBroken)


def test_no_call_is_completed_by_a_stream_that_was_cut_in_it():
    cut = event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"rm": "-r'})
    happened = read(start(), tool(0)[: tool(0).index(b"event: content_block_stop")], cut)
    assert isinstance(happened[-1], Failed)
    assert not any(isinstance(event, BlockStopped | Finished) for event in happened)


# Grammars of lesser vendors


def test_indices_are_our_own():
    happened = read(start(), text(3, "a"), text(7, "b"), end())
    assert [e.index for e in happened if isinstance(e, BlockStarted)] == [0, 1]
    assert [(e.index, e.text) for e in happened if isinstance(e, TextDelta)] == [(0, "a"), (1, "b")]


def test_a_block_that_is_never_stopped_is_stopped_by_the_next():
    opened = text(0, "a").split(b"event: content_block_stop")[0]
    happened = read(start(), opened, text(1, "b"), opened.replace(b'"index":0', b'"index":2'), end())
    assert [type(e).__name__ for e in happened].count("BlockStopped") == 3


def test_thinking_inside_a_text_block_begins_a_block_and_loses_nothing():
    deltas = [
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "text_delta", "text": "so"},
    ]
    happened = read(start(), block(0, {"type": "text", "text": ""}, *deltas), end())
    assert [e for e in happened if isinstance(e, BlockStarted | ThinkingDelta | TextDelta)] == [
        BlockStarted(0, Text("")),
        BlockStarted(1, Thinking("")),
        ThinkingDelta(1, "hm"),
        BlockStarted(2, Text("")),
        TextDelta(2, "so"),
    ]


def test_what_a_block_holds_at_its_start_is_not_lost():
    whole = (
        block(0, {"type": "text", "text": "all"}),
        block(1, {"type": "thinking", "thinking": "hm", "signature": "s"}),
    )
    happened = read(start(), *whole, block(2, {"type": "tool_use", "id": "a", "name": "f", "input": {"a": 1}}), end())
    assert TextDelta(0, "all") in happened
    assert ThinkingDelta(1, "hm") in happened
    assert SignatureDelta(1, "s") in happened
    assert ArgumentsDelta(2, '{"a":1}') in happened


def test_blocks_without_their_empty_fields_are_read():
    happened = read(
        start(),
        block(0, {"type": "text"}),
        block(1, {"type": "thinking"}),
        block(2, {"type": "tool_use", "id": "a", "name": "f"}),
        end(),
    )
    assert [e.block for e in happened if isinstance(e, BlockStarted)] == [Text(""), Thinking(""), ToolUse("a", "f", "")]


def test_blocks_that_come_whole_come_whole():
    raw = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    happened = read(
        start(),
        block(0, {"type": "redacted_thinking", "data": "abc"}),
        block(1, raw, {"type": "input_json_delta", "partial_json": "{}"}),
        text(2, "x"),
        end(),
    )
    assert [e.block for e in happened if isinstance(e, BlockStarted)] == [
        RedactedThinking("abc"),
        Opaque("anthropic_messages", raw),
        Text(""),
    ]
    assert not any(isinstance(e, ArgumentsDelta) for e in happened)


def test_events_and_deltas_that_nobody_knows_are_skipped():
    odd = {"type": "citations_delta", "citation": {"cited_text": "x"}}
    happened = read(start(), event("brand_new", x=1), block(0, {"type": "text", "text": ""}, odd), end())
    assert [type(e).__name__ for e in happened] == ["Started", "BlockStarted", "BlockStopped", "Finished"]


def test_the_type_may_stand_in_the_event_line_alone():
    assert read(b'event: message_start\ndata: {"message":{"id":"m","model":"c"}}\n\n')[0] == Started("m", "c", None)


def test_an_answer_in_a_schema_is_streamed_as_text():
    happened = read(start(), thinking(0, "hm"), tool(1, '{"a"', ":1}", name=names.FORMAT_TOOL), end("tool_use"))
    assert [e.text for e in happened if isinstance(e, TextDelta)] == ['{"a"', ":1}"]
    assert happened[-1].stop_reason == "end_turn"
    assert not any(isinstance(e, ArgumentsDelta) for e in happened)


# Bad ends


def test_a_second_beginning_is_a_new_attempt_while_nothing_is_out_and_an_error_later():
    happened = read(start(), start(), text(0, "x"), end())
    assert [type(e).__name__ for e in happened].count("Started") == 1
    assert isinstance(happened[-1], Finished)
    assert isinstance(failure(start(), text(0, "x"), start()), errors.UpstreamBroken)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>\n\n</html>",
        b"data: not json\n\n",
        b"data: [1]\n\n",
        b"data: {}\n\n",
        text(0, "before the beginning"),
        PING + end(),
        start() + b"event: content_block_start\ndata: {cut\n\n",
        start() + event("content_block_start", index=0, content_block={"type": "tool_use"}),
        start() + event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "{}"}),
        start() + event("content_block_delta", index=0, delta={"type": "text_delta", "text": 5}),
        start() + event("message_delta", delta="x"),
        start() + b"data: \xff\xfe\n\n",
        start() + b"data: " + b"[" * 100_000 + b"\n\n",
        start() + b"data: " + b"x" * (sse.MAX_LINE + 1),
    ],
)
def test_garbage_ends_in_one_error(body):
    assert isinstance(failure(body), errors.UpstreamBroken)


@given(st.lists(st.sampled_from([start(), text(0, "x"), tool(1, "{}"), end(), PING, b"data: {", b"\n\n", b"\xff"])))
def test_no_stream_raises_and_each_ends_once(chunks):
    happened = read(*chunks)
    ends = [e for e in happened if isinstance(e, Failed | Finished)]
    assert len(ends) == 1
    assert happened[-1] is ends[0]


@pytest.mark.parametrize(
    ("type_", "fault"),
    [
        ("overloaded_error", errors.UpstreamOverloaded),
        ("rate_limit_error", errors.UpstreamRateLimited),
        ("timeout_error", errors.UpstreamTimeout),
        ("authentication_error", errors.UpstreamAuth),
        ("permission_error", errors.UpstreamAuth),
        ("billing_error", errors.UpstreamAuth),
        ("invalid_request_error", errors.UpstreamRefused),
        ("api_error", errors.UpstreamFailed),
        ("brand_new_error", errors.UpstreamFailed),
        (None, errors.UpstreamFailed),
    ],
)
def test_an_error_in_the_stream_keeps_its_class(type_, fault):
    told = failure(start(), text(0, "x"), event("error", error={"type": type_, "message": "why"}), end())
    assert type(told) is fault
    assert told.body is None


@pytest.mark.parametrize("error", [None, "text", [], {"message": 5}])
def test_an_odd_error_is_still_one(error):
    assert isinstance(failure(start(), event("error", error=error)), errors.UpstreamFailed)


def test_memory_is_bounded_under_an_endless_event():
    decoder = stream.Decoder()
    decoder.feed(start())
    happened = []
    for _ in range(10_000):
        happened += decoder.feed(b"data: " + b"x" * 1000 + b"\n")
    assert isinstance(happened[-1], Failed)
    assert len(happened) == 1
