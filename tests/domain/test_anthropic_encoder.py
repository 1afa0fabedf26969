"""Events in Anthropic's stream grammar, judged by a reader that forgives nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import errors
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
from apps.domain.protocols.anthropic_messages import names
from apps.domain.tokens import TokenUsage
from tests.domain import grammar
from tests.domain.anthropic_calls import CLIENT, call

STARTED = Started("cmpl-1", "gpt-up")
FINISHED = Finished("end_turn", None, TokenUsage(in_fresh=3, in_cache_read=4, in_cache_write_5m=5, out_total=6))


def encode(*events) -> bytes:
    encoder = CLIENT.encoder(call=call(), created=1)
    return b"".join(encoder.encode(event) for event in events)


def frames(*events):
    return [(name, json.loads(data)) for name, data in grammar.events(encode(*events))]


def blocks(*contents):
    """Whole blocks as events, in order."""
    out = []
    for index, content in enumerate(contents):
        match content:
            case Text(text=text):
                out += [BlockStarted(index, Text("")), TextDelta(index, text)]
            case Thinking(text=text):
                out += [BlockStarted(index, Thinking("")), ThinkingDelta(index, text)]
            case ToolUse(id=id_, name=name, arguments=arguments):
                out += [BlockStarted(index, ToolUse(id_, name, "")), ArgumentsDelta(index, arguments)]
            case _:
                out.append(BlockStarted(index, content))
        out.append(BlockStopped(index))
    return out


def test_the_first_frame_goes_out_with_the_first_event():
    ((name, data),) = frames(STARTED)
    assert name == "message_start"
    assert data["message"]["id"] == "cmpl-1"
    assert data["message"]["model"] == "claude-test"
    assert data["message"]["usage"]["input_tokens"] > 0


def test_what_is_known_of_the_usage_at_the_start_is_told():
    ((_, data),) = frames(Started("m", "x", TokenUsage(in_fresh=7, in_cache_read=2, out_total=1)))
    assert (data["message"]["usage"]["input_tokens"], data["message"]["usage"]["cache_read_input_tokens"]) == (7, 2)


def test_every_kind_of_block_is_written():
    told = grammar.anthropic(
        encode(
            STARTED,
            *blocks(Thinking("hm"), Text("so"), RedactedThinking("abc"), ToolUse("call_1", "f", '{"a":1}')),
            FINISHED,
        )
    )
    assert told.kinds == ["thinking", "text", "redacted_thinking", "tool_use"]
    assert (told.thinking, told.text) == ("hm", "so")
    assert told.calls == [("call_1", "f", '{"a":1}')]
    assert told.stop == "tool_use"


def test_the_last_totals_are_all_there():
    told = grammar.anthropic(encode(STARTED, *blocks(Text("x")), FINISHED))
    assert told.usage == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 4,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 6,
    }


def test_without_usage_the_last_totals_are_an_estimate():
    told = grammar.anthropic(encode(STARTED, *blocks(Text("x" * 400)), Finished("end_turn")))
    assert told.usage["output_tokens"] == 100
    assert told.usage["input_tokens"] > 0


def test_thinking_is_signed_once_by_its_vendor_or_else_by_us():
    def signed(*deltas):
        return grammar.anthropic(
            encode(STARTED, BlockStarted(0, Thinking("")), *deltas, BlockStopped(0), FINISHED)
        ).signatures

    whole = signed(ThinkingDelta(0, "hm hm"))
    assert whole == [names.sign("hm hm")]
    assert whole == signed(ThinkingDelta(0, "hm"), ThinkingDelta(0, " hm"))
    assert signed(ThinkingDelta(0, "hm"), SignatureDelta(0, "theirs")) == ["theirs"]
    assert signed() == [names.sign("")]


def test_parallel_calls_stay_apart():
    calls = [ToolUse(f"call_{at}", f"f{at}", f'{{"n":{at}}}') for at in range(5)]
    told = grammar.anthropic(encode(STARTED, *blocks(*calls), Finished("tool_use")))
    assert told.calls == [(call.id, call.name, call.arguments) for call in calls]


def test_a_call_without_arguments_needs_no_delta():
    stream = encode(STARTED, *blocks(ToolUse("a", "f", "")), Finished("tool_use"))
    assert b"input_json_delta" not in stream
    assert grammar.anthropic(stream).calls == [("a", "f", "")]


@pytest.mark.parametrize("foreign", ["functions.Bash:0", "call|fc", "", "ä"])
def test_ids_are_plain_and_differ(foreign):
    told = grammar.anthropic(
        encode(STARTED, *blocks(ToolUse(foreign, "f", "{}"), ToolUse("other", "f", "{}")), Finished("tool_use"))
    )
    first, second = (id_ for id_, _, _ in told.calls)
    assert first != second
    assert first.replace("_", "").replace("-", "").isalnum()
    assert first.isascii()


def test_minted_ids_of_two_answers_differ():
    def minted(answer):
        return grammar.anthropic(encode(Started(answer, "x"), *blocks(ToolUse("", "f", "{}")), FINISHED)).calls[0][0]

    assert minted("a") != minted("b")


def test_fragments_of_arguments_pass_verbatim_though_they_make_no_object():
    told = grammar.anthropic(encode(STARTED, *blocks(ToolUse("a", "f", '[1, "')), Finished("tool_use")))
    assert told.calls[0][2] == '[1, "'


def test_what_has_no_equivalent_leaves_no_gap():
    told = grammar.anthropic(
        encode(STARTED, *blocks(Text("a"), Opaque("openai_chat", {"type": "odd"}), Text("b")), FINISHED)
    )
    assert told.kinds == ["text", "text"]


def test_a_block_that_starts_with_content_loses_none():
    told = grammar.anthropic(
        encode(
            STARTED,
            BlockStarted(0, Text("all")),
            BlockStopped(0),
            BlockStarted(1, Thinking("hm")),
            BlockStopped(1),
            BlockStarted(2, ToolUse("a", "f", "{}")),
            BlockStopped(2),
            FINISHED,
        )
    )
    assert (told.text, told.thinking, told.calls) == ("all", "hm", [("a", "f", "{}")])
    assert told.signatures == [names.sign("hm")]


def test_a_label_of_tools_without_a_call_ends_the_turn():
    assert grammar.anthropic(encode(STARTED, *blocks(Text("x")), Finished("tool_use"))).stop == "end_turn"


@pytest.mark.parametrize(
    ("reason", "label"),
    [("max_tokens", "max_tokens"), ("refusal", "refusal"), ("context_window", "model_context_window_exceeded")],
)
def test_reasons_have_anthropics_names(reason, label):
    assert grammar.anthropic(encode(STARTED, *blocks(Text("x")), Finished(reason))).stop == label


def test_a_failure_ends_the_stream_without_a_normal_end():
    stream = encode(STARTED, BlockStarted(0, Text("")), TextDelta(0, "x"), Failed(errors.UpstreamTimeout("slow")))
    told = grammar.anthropic(stream)
    assert told.error == {"type": "timeout_error", "message": "slow"}
    assert b"message_stop" not in stream


def test_a_ping_is_what_every_client_skips():
    assert CLIENT.keepalive == b'event: ping\ndata: {"type": "ping"}\n\n' == encode(Ping())


TEXTS = st.text(max_size=5)
CONTENTS = st.lists(
    st.builds(Text, TEXTS)
    | st.builds(Thinking, TEXTS)
    | st.builds(ToolUse, TEXTS, st.just("f"), st.sampled_from(["", "{}", "{"]))
)


@given(CONTENTS, st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal"]))
def test_whatever_is_said_keeps_the_grammar_and_loses_nothing(contents, reason):
    told = grammar.anthropic(encode(STARTED, *blocks(*contents), Finished(reason)))
    assert told.text == "".join(content.text for content in contents if isinstance(content, Text))
    assert told.thinking == "".join(content.text for content in contents if isinstance(content, Thinking))
    assert [call[2] for call in told.calls] == [c.arguments for c in contents if isinstance(c, ToolUse)]
