"""An OpenAI-type upstream's stream, as canonical events."""

from __future__ import annotations

import tracemalloc

import pytest

from apps.domain import errors
from apps.domain.chat import Text, Thinking, ToolUse
from apps.domain.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Failed,
    Finished,
    Started,
    TextDelta,
    ThinkingDelta,
)
from apps.domain.protocols.openai_chat import UPSTREAM
from apps.domain.protocols.openai_chat.blocks import MAX_CALLS
from apps.domain.tokens import TokenUsage
from tests.domain.openai_calls import DONE, USAGE, chunk, part

STARTED = Started("cmpl-1", "up-1")
ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk(finish="stop") + DONE
TOOLS = chunk(finish="tool_calls") + DONE


def decode(*frames: bytes) -> list[Event]:
    decoder = UPSTREAM.decoder()
    return [event for frame in frames for event in decoder.feed(frame)] + decoder.close()


def blocks(*frames: bytes) -> list[tuple[str, str]]:
    """(kind or name, all that its deltas say) of every block."""
    found: list[tuple[str, str]] = []
    for event in decode(*frames):
        match event:
            case BlockStarted(block=ToolUse(name=name)):
                found.append((name, ""))
            case BlockStarted(block=block):
                found.append((type(block).__name__, ""))
            case TextDelta(text=text) | ThinkingDelta(text=text) | ArgumentsDelta(json=text):
                found[-1] = (found[-1][0], found[-1][1] + text)
            case Failed(error=error):
                raise error
    return found


def stop(*frames: bytes) -> Finished:
    last = decode(*frames)[-1]
    assert isinstance(last, Finished)
    return last


def failure(*frames: bytes) -> errors.GatewayError:
    """The one error that the stream ends in."""
    events = decode(*frames)
    assert [isinstance(event, Failed | Finished) for event in events].count(True) == 1
    last = events[-1]
    assert isinstance(last, Failed)
    return last.error


def test_text_streams_as_one_block():
    assert decode(ROLE, chunk({"content": "hel"}), chunk({"content": "lo"}), STOP) == [
        STARTED,
        BlockStarted(0, Text("")),
        TextDelta(0, "hel"),
        TextDelta(0, "lo"),
        BlockStopped(0),
        Finished("end_turn"),
    ]


def test_the_first_chunk_starts_the_answer_before_anything_is_said():
    assert UPSTREAM.decoder().feed(ROLE) == [STARTED]


def test_a_change_of_kind_loses_no_delta():
    events = decode(
        ROLE, chunk({"reasoning_content": "hm"}), chunk({"content": "so"}), part(0, id="a", name="f"), TOOLS
    )
    assert events[1:-1] == [
        BlockStarted(0, Thinking("")),
        ThinkingDelta(0, "hm"),
        BlockStopped(0),
        BlockStarted(1, Text("")),
        TextDelta(1, "so"),
        BlockStopped(1),
        BlockStarted(2, ToolUse("a", "f", "")),
        BlockStopped(2),
    ]


def test_a_call_streams_its_arguments():
    events = decode(ROLE, part(0, id="a", name="f", arguments='{"x"'), part(0, arguments=":1}"), TOOLS)
    assert events[1:] == [
        BlockStarted(0, ToolUse("a", "f", "")),
        ArgumentsDelta(0, '{"x"'),
        ArgumentsDelta(0, ":1}"),
        BlockStopped(0),
        Finished("tool_use"),
    ]


def test_the_next_call_streams_at_once_when_the_one_before_is_whole():
    decoder = UPSTREAM.decoder()
    decoder.feed(ROLE + part(0, id="a", name="f", arguments='{"q":"}"}'))
    assert decoder.feed(part(1, id="b", name="g", arguments="{")) == [
        BlockStopped(0),
        BlockStarted(1, ToolUse("b", "g", "")),
        ArgumentsDelta(1, "{"),
    ]


def test_interleaved_calls_become_whole_blocks_in_their_order():
    frames = [
        part(0, id="a", name="f"),
        part(1, id="b", name="g"),
        part(2, id="c", name="h", arguments="{}"),
        part(1, arguments='{"y":'),
        part(0, arguments='{"x":'),
        part(1, arguments="2}"),
        part(0, arguments="1}"),
    ]
    assert blocks(ROLE, *frames, TOOLS) == [("f", '{"x":1}'), ("g", '{"y":2}'), ("h", "{}")]


def test_a_repeated_id_and_name_are_the_same_call():
    frames = [part(0, id="a", name="f", arguments=piece) for piece in ("{", '"x":', "1}")]
    assert blocks(*frames, TOOLS) == [("f", '{"x":1}')]


def test_a_new_id_on_a_used_index_is_a_new_call():
    frames = [part(0, id="a", name="f", arguments='{"x":1}'), part(0, id="b", name="f", arguments='{"x":2}')]
    assert blocks(*frames, TOOLS) == [("f", '{"x":1}'), ("f", '{"x":2}')]
    unnumbered = [part(None, id="a", name="f", arguments="{}"), part(None, id="b", name="g", arguments="{}")]
    assert blocks(*unnumbered, TOOLS) == [("f", "{}"), ("g", "{}")]
    nameless = [part(0, id="", name="f", arguments="{}"), part(0, id="", name="g", arguments="{}")]
    assert blocks(*nameless, TOOLS) == [("f", "{}"), ("g", "{}")]


def test_calls_without_an_id_get_ids_that_differ():
    frames = [part(0, name="f"), part(1, name="g"), part(0, arguments="{}"), part(1, arguments="{}")]
    calls = [e.block for e in decode(ROLE, *frames, TOOLS) if isinstance(e, BlockStarted)]
    assert [call.name for call in calls if isinstance(call, ToolUse)] == ["f", "g"]
    assert len({call.id for call in calls if isinstance(call, ToolUse)}) == 2


def test_a_name_may_come_after_the_id():
    assert blocks(part(0, id="a"), part(0, name="f"), part(0, arguments="{}"), TOOLS) == [("f", "{}")]


def test_a_call_that_never_gets_a_name_is_dropped():
    frames = [chunk({"content": "so"}), part(0, id="a", arguments='{"x":1}'), chunk(finish="tool_calls"), DONE]
    assert blocks(*frames) == [("Text", "so")]
    assert stop(*frames).stop_reason == "end_turn"


def test_text_between_the_pieces_of_a_call_waits_for_its_end():
    frames = [part(0, id="a", name="f", arguments="{"), chunk({"content": "hm"}), part(0, arguments="}"), STOP]
    assert blocks(*frames) == [("f", "{}"), ("Text", "hm")]


def test_arguments_behind_their_end_are_an_error():
    frames = [part(0, id="a", name="f", arguments="{}"), part(1, id="b", name="g"), part(0, arguments="{}"), TOOLS]
    assert type(failure(*frames)) is errors.UpstreamBroken


def test_an_object_for_arguments_is_written_out():
    frame = chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]})
    assert blocks(frame, TOOLS) == [("f", '{"x":1}')]


def test_a_legacy_function_call_is_a_call():
    frames = [chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}})]
    assert blocks(*frames, chunk(finish="function_call"), DONE) == [("f", "{}")]


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "so"}],
        [{"reasoning": "h"}, {"reasoning": "m"}, {"content": "so"}],
        [{"reasoning": "h", "reasoning_content": "h"}, {"reasoning": "m", "reasoning_content": "m"}, {"content": "so"}],
        [{"content": "<think>hm</think>\n\nso"}],
        [{"content": piece} for piece in ("\n", "<th", "ink>h", "m</", "thi", "nk>", "\n", "\nso")],
    ],
)
def test_thinking_is_read_from_one_source(deltas):
    assert blocks(ROLE, *map(chunk, deltas), STOP) == [("Thinking", "hm"), ("Text", "so")]


@pytest.mark.parametrize("text", ["<thinking>", "<", "a <think>b</think>", "  <thin", "</think>"])
def test_what_only_looks_like_a_tag_is_text(text):
    for pieces in ([text], list(text)):
        assert blocks(ROLE, *(chunk({"content": piece}) for piece in pieces), STOP) == [("Text", text)]


def test_thinking_that_never_ends_is_still_thinking():
    assert blocks(ROLE, chunk({"content": "<think>hm</thi"}), chunk(finish="length"), DONE) == [("Thinking", "hm</thi")]


@pytest.mark.parametrize(
    "end",
    [
        [chunk(finish="stop"), chunk(usage=USAGE), DONE],
        [chunk(finish="stop", usage=USAGE), DONE],
        [chunk(finish="stop", usage=USAGE)],
        [chunk(finish="stop", usage=None), chunk({}, usage=USAGE), DONE],
        [chunk(finish="stop", usage={"prompt_tokens": 1, "completion_tokens": 1}), chunk(usage=USAGE), DONE],
    ],
)
def test_usage_is_taken_wherever_it_comes_and_the_last_counts(end):
    assert stop(ROLE, chunk({"content": "x"}), *end).usage == TokenUsage(in_fresh=10, out_total=5)


def test_usage_ends_the_answer_without_waiting_for_the_end_of_the_file():
    decoder = UPSTREAM.decoder()
    assert decoder.feed(ROLE + chunk({"content": "x"}) + chunk(finish="stop"))[-1] == TextDelta(0, "x")
    assert isinstance(decoder.feed(chunk(usage=USAGE))[-1], Finished)
    assert decoder.feed(DONE) == []
    assert decoder.close() == []


def test_chunks_without_choices_are_skipped():
    filtered = chunk(id="", model="", prompt_filter_results=[])
    assert decode(filtered, b'data: {"type":"ping"}\n\n', ROLE, chunk({"content": "x"}), STOP)[0] == STARTED


def test_comments_and_foreign_fields_are_skipped():
    noise = b": PROCESSING\n\nretry: 5\nid: 7\n\n"
    assert blocks(noise, ROLE, noise, chunk({"content": "x"}), noise, STOP) == [("Text", "x")]


def test_other_choices_are_not_mixed_in():
    other = b'data: {"choices":[{"index":1,"delta":{"content":"y"},"finish_reason":"stop"}]}\n\n'
    assert blocks(ROLE, other, chunk({"content": "x"}), STOP) == [("Text", "x")]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("stop", "tool_use"), ("tool_calls", "tool_use"), ("weird", "tool_use"), ("length", "tool_use")],
)
def test_a_complete_call_decides_whatever_the_label(finish, reason):
    assert stop(part(0, id="a", name="f", arguments="{}"), chunk(finish=finish), DONE).stop_reason == reason


def test_a_call_that_the_cap_cut_off_stops_for_the_cap():
    assert stop(part(0, id="a", name="f", arguments='{"x'), chunk(finish="length"), DONE).stop_reason == "max_tokens"


def test_a_refusal_is_text_and_the_reason_to_stop():
    assert blocks(ROLE, chunk({"refusal": "I can't"}), STOP) == [("Text", "I can't")]
    assert stop(ROLE, chunk({"refusal": "I can't"}), STOP).stop_reason == "refusal"


def test_an_empty_finish_reason_is_none():
    frames = [chunk({"content": "x"}) + chunk({"content": "y"}).replace(b"null", b'""'), STOP]
    assert blocks(*frames) == [("Text", "xy")]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [ROLE],
        [ROLE, chunk({"content": "x"})],
        [ROLE, chunk({"content": "x"}), DONE],
        [ROLE, chunk({"content": "x"}), chunk(finish="stop")[:-1]],
        [ROLE, b"data: {\n\n"],
        [ROLE, b"data: [1]\n\n"],
        [ROLE, b'data: "x"\n\n'],
        [ROLE, b'data: {"choices":[{"delta":{"tool_calls":"x"}}]}\n\n'],
        [ROLE, b'data: {"id":"\xff"}\n\n', STOP],
        [ROLE, b"data: " + b"[" * 100_000 + b"\n\n", STOP],
        [chunk(finish="odd"), DONE],
    ],
)
def test_a_stream_that_ends_badly_ends_in_one_clean_error(frames):
    assert type(failure(*frames)) is errors.UpstreamBroken


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ({"message": "slow down", "code": 429}, errors.UpstreamRateLimited),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, errors.UpstreamRateLimited),
        ({"message": "broke", "code": "insufficient_quota"}, errors.UpstreamAuth),
        ({"message": "busy", "type": "overloaded_error"}, errors.UpstreamOverloaded),
        ({"message": "busy", "code": "503"}, errors.UpstreamOverloaded),
        ({"message": "late", "type": "timeout"}, errors.UpstreamTimeout),
        ({"message": "no", "type": "invalid_request_error"}, errors.UpstreamRefused),
        ({"message": "oops", "type": "server_error"}, errors.UpstreamFailed),
        ("oops", errors.UpstreamFailed),
        ([1], errors.UpstreamFailed),
    ],
)
def test_an_error_in_the_stream_keeps_its_class(error, fault):
    found = failure(ROLE, chunk({"content": "x"}), chunk({}, finish=None, error=error), DONE)
    assert type(found) is fault


def test_an_error_before_anything_is_said_starts_no_answer():
    assert len(decode(b'data: {"error":{"message":"no"}}\n\n', DONE)) == 1
    assert len(decode(b'event: error\ndata: {"message":"no"}\n\n')) == 1


def test_memory_is_bounded_however_much_interleaves():
    decoder = UPSTREAM.decoder()
    decoder.feed(part(0, id="a", name="f", arguments="{"))
    piece = part(1, id="b", name="g", arguments="x" * 100_000)
    tracemalloc.start()
    ended = next(event for _ in range(1000) for event in decoder.feed(piece))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(ended, Failed)
    assert peak < 16 << 20
    assert isinstance(failure(*(part(n, id=str(n), name="f") for n in range(MAX_CALLS + 1))), errors.UpstreamBroken)


def test_a_line_without_an_end_is_an_error_and_not_held():
    decoder = UPSTREAM.decoder()
    events = [event for _ in range(100) for event in decoder.feed(b"data: " + b"x" * 50_000)]
    assert [type(event) for event in events] == [Failed]
