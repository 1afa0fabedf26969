"""ConverseStream to callers of both dialects."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import chat, errors, events
from apps.domain.protocols import registry
from tests.domain import frames, grammar, streams
from tests.domain.converse_calls import ANTHROPIC, CLAUDE, NOVA, OPENAI, opened, streaming

Step = tuple[str, dict[str, Any]]
START: Step = ("messageStart", {"role": "assistant"})
USAGE = {"inputTokens": 7, "outputTokens": 5, "totalTokens": 16, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 1}
TOTALS: Step = ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 9}})


def delta(index: int, **said: Any) -> Step:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": said}


def reasoning(index: int, **said: Any) -> Step:
    return delta(index, reasoningContent=said)


def stop(index: int) -> Step:
    return "contentBlockStop", {"contentBlockIndex": index}


def tool(index: int, id_: str, name: str, *pieces: str) -> list[Step]:
    started = {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id_, "name": name}}}
    return [("contentBlockStart", started), *(delta(index, toolUse={"input": piece}) for piece in pieces), stop(index)]


def end(reason: str = "end_turn") -> Step:
    return "messageStop", {"stopReason": reason}


def read(*steps: Step, close: bool = True) -> list[events.Event]:
    decoder = registry.UPSTREAMS["bedrock_converse"].decoder()
    happened = decoder.feed(frames.converse(steps))
    happened += decoder.close() if close else []
    streams.check_events(happened)
    return happened


ANSWER: list[Step] = [
    START,
    reasoning(0, text="hm"),
    reasoning(0, text=" …"),
    reasoning(0, signature="EqQB"),
    stop(0),
    delta(1, text=""),
    delta(1, text="I’ll "),
    delta(1, text="look."),
    stop(1),
    *tool(3, "t1", "look", "", '{"x"', ": 1}"),
    *tool(4, "t2", "look"),
    end("tool_use"),
    TOTALS,
]


def test_blocks_begin_with_their_first_word_and_are_numbered_without_gaps():
    happened = read(*ANSWER)
    started = [(event.index, event.block) for event in happened if isinstance(event, events.BlockStarted)]
    assert started == [
        (0, chat.Thinking("")),
        (1, chat.Text("")),
        (2, chat.ToolUse("t1", "look", "")),
        (3, chat.ToolUse("t2", "look", "")),
    ]
    assert events.SignatureDelta(0, "EqQB") in happened
    last = happened[-1]
    assert isinstance(last, events.Finished)
    assert last.stop_reason == "tool_use"
    assert last.usage is not None
    assert (last.usage.in_fresh, last.usage.in_cache_read, last.usage.in_cache_write_5m, last.usage.total) == (
        7,
        3,
        1,
        16,
    )


@given(st.sampled_from([ANTHROPIC, OPENAI]), streams.cuts)
def test_any_split_gives_the_same_frames(client, at):
    stream = frames.converse(ANSWER)
    whole, cut = streaming(client), streaming(client)
    first = whole.feed(stream) + whole.close()
    assert b"".join(map(cut.feed, streams.split(stream, at))) + cut.close() == first
    told = grammar.anthropic(first) if client == ANTHROPIC else grammar.openai(first, wants_usage=True)
    assert (told.text, told.thinking, told.error) == ("I’ll look.", "hm …", None)
    assert told.arguments == [("look", {"x": 1}), ("look", {})]


@pytest.mark.parametrize(
    "steps",
    [
        [START, delta(0, text="a"), stop(0), end(), TOTALS],
        [START, delta(0, text="a"), stop(0), TOTALS, end()],
        [START, delta(0, text="a"), end(), TOTALS],
        [START, delta(0, text="a"), stop(0), ("newEvent", {"a": 1}), end(), TOTALS],
    ],
)
def test_the_totals_come_before_the_end_or_behind_it(steps):
    happened = read(*steps, close=False)
    assert isinstance(happened[-1], events.Finished)
    assert happened[-1].usage is not None


def test_an_end_without_totals_is_an_end_at_the_end_of_the_file():
    steps = [START, delta(0, text="a"), stop(0), end()]
    assert not isinstance(read(*steps, close=False)[-1], events.Finished)
    assert read(*steps)[-1] == events.Finished("end_turn", None, None)


def test_thinking_may_be_a_signature_alone():
    happened = read(START, reasoning(0, signature="EqQB"), stop(0), delta(1, text="a"), stop(1), end(), TOTALS)
    assert happened[1:4] == [
        events.BlockStarted(0, chat.Thinking("")),
        events.SignatureDelta(0, "EqQB"),
        events.BlockStopped(0),
    ]


def test_redacted_thinking_comes_whole_however_many_pieces_it_has():
    halves = [base64.b64encode(part).decode() for part in (b"EuQF", b"CkgI")]
    steps = [
        START,
        *(reasoning(0, redactedContent=half) for half in halves),
        stop(0),
        delta(1, text="a"),
        end(),
        TOTALS,
    ]
    assert read(*steps)[1] == events.BlockStarted(0, chat.RedactedThinking("EuQFCkgI"))


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("end_turn", "end_turn"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("guardrail_intervened", "refusal"),
        ("content_filtered", "refusal"),
        ("model_context_window_exceeded", "context_window"),
        ("tool_use", "end_turn"),  # and nothing was called
        ("something_new", "end_turn"),
    ],
)
def test_why_it_stopped_is_told_in_our_words(label, reason):
    last = read(START, delta(0, text="a"), stop(0), end(label), TOTALS)[-1]
    assert isinstance(last, events.Finished)
    assert last.stop_reason == reason


@pytest.mark.parametrize(
    ("label", "fields", "told"),
    [
        ("stop_sequence", {"stop_sequence": "END"}, "END"),
        ("stop_sequence", {"stop_sequence": None}, None),
        ("stop_sequence", {"stop_sequence": {"a": 1}}, None),
        ("stop_sequence", [], None),
        ("end_turn", {"stop_sequence": "END"}, None),
    ],
)
def test_the_stop_string_is_told_in_a_stream_and_in_an_answer(label, fields, told):
    ending = {"stopReason": label, "additionalModelResponseFields": fields}
    last = read(START, delta(0, text="a"), stop(0), ("messageStop", ending), TOTALS)[-1]
    assert isinstance(last, events.Finished)
    assert last.stop_sequence == told
    whole = {"output": {"message": {"content": [{"text": "a"}]}}, "usage": USAGE} | ending
    assert json.loads(opened().answer(json.dumps(whole).encode()))["stop_sequence"] == told


@pytest.mark.parametrize(
    ("client", "type_", "told"),
    [
        (ANTHROPIC, "default", "standard"),
        (ANTHROPIC, "flex", None),
        (OPENAI, "flex", "flex"),
        (OPENAI, "reserved", None),
        ("openai_responses", "priority", "priority"),
        ("openai_responses", "reserved", "default"),
    ],
)
def test_the_tier_that_served_is_told_in_the_callers_words(client, type_, told):
    tier = {"serviceTier": {"type": type_}}
    whole = {"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn", "usage": USAGE} | tier
    asked: dict[str, Any] = {"input": "hello"} if client == "openai_responses" else {}
    answer = json.loads(opened(client, **asked).answer(json.dumps(whole).encode()))
    assert (answer["usage"] if client == ANTHROPIC else answer).get("service_tier") == told
    if client != ANTHROPIC:
        running = opened(client, stream=True, **asked)
        ended = ("metadata", {"usage": USAGE} | tier)
        said = running.feed(frames.converse([START, delta(0, text="a"), stop(0), end(), ended]))
        assert (f'"service_tier":"{told}"' in said.decode().rpartition('"a"')[2]) == (told is not None)


def test_a_call_decides_over_the_label():
    last = read(START, *tool(0, "t", "look", "{}"), end(), TOTALS)[-1]
    assert isinstance(last, events.Finished)
    assert last.stop_reason == "tool_use"


def test_a_call_of_the_tool_that_stands_for_a_format_is_text():
    name = "gateway_structured_answer"
    happened = read(START, *tool(0, "t", name, '{"a":', "1}"), end("tool_use"), TOTALS)
    assert "".join(event.text for event in happened if isinstance(event, events.TextDelta)) == '{"a":1}'
    assert isinstance(happened[-1], events.Finished)
    assert happened[-1].stop_reason == "end_turn"


BEGUN = [START, delta(0, text="a")]
BROKEN = {
    "cut off": (frames.converse(BEGUN), "api_error"),
    "cut in a message": (frames.converse([*BEGUN, end()])[:-3], "api_error"),
    "cut in its totals": (frames.converse([*BEGUN, stop(0), end(), TOTALS])[:-3], "api_error"),
    "throttled": (frames.converse(BEGUN) + frames.exception("throttlingException", "m"), "overloaded_error"),
    "failed": (frames.converse(BEGUN) + frames.exception("modelStreamErrorException", "m"), "api_error"),
    "spoiled": (frames.converse([*BEGUN, stop(0), end("malformed_tool_use"), TOTALS]), "api_error"),
    "no JSON": (
        frames.converse(BEGUN) + frames.message({":message-type": "event", ":event-type": "x"}, b"{"),
        "api_error",
    ),
    "of another shape": (frames.converse(BEGUN) + frames.event("contentBlockDelta", {"delta": 3}), "api_error"),
    "arguments of nothing": (frames.converse([*BEGUN, stop(0), delta(1, toolUse={"input": "{"})]), "api_error"),
    "no base64": (frames.converse([*BEGUN, stop(0), reasoning(1, redactedContent="&")]), "api_error"),
    "garbled": (frames.converse(BEGUN) + b"HTTP/1.1 500 no way" * 9, "api_error"),
}


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize(("stream", "kind"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_stream_ends_in_one_error_of_its_class_however_it_is_split(stream, kind, client):
    whole, dripped = streaming(client), streaming(client)
    first = whole.feed(stream) + whole.close()
    assert b"".join(dripped.feed(stream[at : at + 1]) for at in range(len(stream))) + dripped.close() == first
    assert whole.seen.error is not None
    assert not whole.seen.finished
    told = grammar.anthropic(first) if client == ANTHROPIC else grammar.openai(first, wants_usage=True)
    assert told.error is not None
    if client == ANTHROPIC:
        assert told.error["type"] == kind


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (frames.exception("throttlingException", "slow down"), errors.UpstreamRateLimited),
        (frames.converse([delta(0, text="a")]), errors.UpstreamBroken),
        (b"", errors.UpstreamBroken),
    ],
)
def test_before_its_beginning_a_failure_is_silent_so_that_another_may_be_tried(stream, kind):
    exchange = streaming()
    assert exchange.feed(stream) + exchange.close() == b""
    assert type(exchange.seen.error) is kind


@pytest.mark.parametrize(
    "usage", [None, 3, {"inputTokens": -1}, {"inputTokens": "7"}, {"inputTokens": 10**12}, {"cacheDetails": [3]}]
)
def test_absurd_totals_are_none(usage):
    last = read(START, delta(0, text="a"), stop(0), end(), ("metadata", {"usage": usage}))[-1]
    assert isinstance(last, events.Finished)
    assert last.usage is None


def test_an_hour_of_cache_is_counted_apart():
    details = [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 1}]
    used = USAGE | {"cacheWriteInputTokens": 5, "cacheDetails": details}
    last = read(START, delta(0, text="a"), stop(0), end(), ("metadata", {"usage": used}))[-1]
    assert isinstance(last, events.Finished)
    assert last.usage is not None
    assert (last.usage.in_cache_write_5m, last.usage.in_cache_write_1h) == (1, 4)


# --- whole answers ---------------------------------------------------------------------------------------------------


def answer(*content: dict[str, Any], reason: str = "end_turn") -> bytes:
    message = {"role": "assistant", "content": list(content)}
    return json.dumps({"output": {"message": message}, "stopReason": reason, "usage": USAGE}).encode()


def test_a_whole_answer_says_what_a_stream_says():
    body = answer(
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EqQB"}}},
        {"reasoningContent": {"redactedContent": base64.b64encode(b"EuQF").decode()}},
        {"citationsContent": {"content": [{"text": "ci"}, {"text": "ted"}], "citations": []}},
        {"text": "a"},
        {"text": ""},
        {"toolUse": {"toolUseId": "t", "name": "look", "input": {"x": 1}}},
        {"video": {"format": "mp4"}},
        reason="end_turn",
    )
    found = registry.UPSTREAMS["bedrock_converse"].read_response(body)
    assert found.content == (
        chat.Thinking("hm", "EqQB"),
        chat.RedactedThinking("EuQF"),
        chat.Text("cited"),
        chat.Text("a"),
        chat.ToolUse("t", "look", '{"x": 1}'),
    )
    assert (found.stop_reason, found.usage.total) == ("tool_use", 16)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"output":{}}', b"<html>", b"\xff", b'{"output":' + b"[" * 100_000]
)
def test_what_is_no_answer_is_broken(body):
    with pytest.raises(errors.UpstreamBroken):
        registry.UPSTREAMS["bedrock_converse"].read_response(body)


@pytest.mark.parametrize("label", ["malformed_model_output", "malformed_tool_use"])
def test_an_answer_that_the_model_spoiled_is_a_failure(label):
    with pytest.raises(errors.UpstreamFailed, match=label):
        registry.UPSTREAMS["bedrock_converse"].read_response(answer({"text": "a"}, reason=label))


def test_claude_and_others_are_read_alike():
    stream = frames.converse(ANSWER)
    assert streaming(target=CLAUDE).feed(stream) == streaming(target=NOVA).feed(stream)


@pytest.mark.parametrize(("client", "id_"), [(ANTHROPIC, "msg_ab12"), (OPENAI, "chatcmpl-ab12")])
def test_an_answer_without_an_id_has_that_of_the_call(client, id_):
    """Converse gives none."""
    assert json.loads(opened(client).answer(answer({"text": "a"})))["id"] == id_
    assert f'"id":"{id_}"'.encode() in streaming(client).feed(frames.converse(ANSWER))


@pytest.mark.parametrize("content", [{"reasoningContent": {"signature": "A" * 60_000}},
                                     {"reasoningContent": {"redactedContent": "QUJD" * 15_000}}])  # fmt: skip
def test_signatures_without_end_are_not_held(content):
    decoder = registry.UPSTREAMS["bedrock_converse"].decoder()
    decoder.feed(frames.converse([START]))
    piece = frames.converse([delta(0, **content)])
    happened = [event for _ in range(200) for event in decoder.feed(piece)]
    assert isinstance(happened[-1], events.Failed)


def test_nothing_under_a_label_that_nobody_knows_is_no_answer():
    assert isinstance(read(START, end("new"))[-1], events.Failed)
    assert isinstance(read(START, end())[-1], events.Finished)
    with pytest.raises(errors.UpstreamBroken):
        opened().answer(b'{"output":{"message":{"content":[]}},"stopReason":"new"}')
