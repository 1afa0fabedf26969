"""Whole answers, usage and stop reasons, both ways."""

import json

import pytest

from apps.domain import errors
from apps.domain.chat import ChatResponse, Opaque, RedactedThinking, Text, Thinking, ToolUse
from apps.domain.protocols.anthropic_messages import names, usage
from apps.domain.tokens import TokenUsage
from tests.domain.anthropic_calls import CLIENT, UPSTREAM, USAGE, call

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-up",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}


def read(**fields):
    return UPSTREAM.read_response(json.dumps(MESSAGE | fields).encode())


def write(*content, **fields):
    response = ChatResponse(id="cmpl-1", model="gpt-up", content=content, **({"stop_reason": "end_turn"} | fields))
    return json.loads(CLIENT.write_response(response, call=call(), created=1))


def test_an_answer_is_read():
    raw = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    answer = read(
        content=[
            {"type": "thinking", "thinking": "hm", "signature": "EqRs=="},
            {"type": "redacted_thinking", "data": "abc"},
            {"type": "text", "text": "hi", "citations": None},
            raw,
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
        ],
        stop_reason="tool_use",
    )
    assert answer.content == (
        Thinking("hm", "EqRs=="),
        RedactedThinking("abc"),
        Text("hi"),
        Opaque("anthropic_messages", raw),
        ToolUse("toolu_1", "f", '{"a":1}'),
    )
    assert (answer.id, answer.model, answer.stop_reason) == ("msg_1", "claude-up", "tool_use")
    assert answer.usage == TokenUsage(in_fresh=10, out_total=5)


@pytest.mark.parametrize(
    ("label", "content", "reason"),
    [
        ("end_turn", "text", "end_turn"),
        ("max_tokens", "text", "max_tokens"),
        ("stop_sequence", "text", "stop_sequence"),
        ("tool_use", "tool", "tool_use"),
        ("refusal", "text", "refusal"),
        ("model_context_window_exceeded", "text", "context_window"),
        ("pause_turn", "text", "pause_turn"),
        ("compaction", "text", "end_turn"),
        (None, "text", "end_turn"),
        ("tool_use", "text", "end_turn"),
        ("end_turn", "tool", "tool_use"),
        ("max_tokens", "tool", "max_tokens"),
    ],
)
def test_what_the_answer_holds_decides_over_its_label(label, content, reason):
    blocks = {
        "text": {"type": "text", "text": "x"},
        "tool": {"type": "tool_use", "id": "a", "name": "f", "input": {}},
    }
    assert read(stop_reason=label, content=[blocks[content]]).stop_reason == reason


def test_an_answer_in_a_schema_comes_back_as_text():
    answer = read(
        content=[{"type": "tool_use", "id": "a", "name": names.FORMAT_TOOL, "input": {"a": 1}}], stop_reason="tool_use"
    )
    assert answer.content == (Text('{"a":1}'),)
    assert answer.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", errors.UpstreamBroken),
        (b"<html>200</html>", errors.UpstreamBroken),
        (b"[]", errors.UpstreamBroken),
        (b"{}", errors.UpstreamBroken),
        (b'{"type":"completion","content":[]}', errors.UpstreamBroken),
        (b'{"type":"message","content":"text"}', errors.UpstreamBroken),
        (b'{"type":"message","content":[{"type":"text"}]}', errors.UpstreamBroken),
        (b'{"type":"message","content":[{"type":"text","text":"\xff"}]}', errors.UpstreamBroken),
        (b'{"type":"message","content":' + b"[" * 100_000, errors.UpstreamBroken),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', errors.UpstreamOverloaded),
    ],
)
def test_what_is_no_answer_is_an_upstream_error(body, fault):
    with pytest.raises(fault):
        UPSTREAM.read_response(body)


def test_an_answer_is_written():
    written = write(Text("hi"), usage=TokenUsage(in_fresh=3, in_cache_read=4, out_total=5, out_reasoning=2))
    assert written == {
        "id": "cmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }


def test_every_call_is_written_and_decides_the_stop():
    written = write(ToolUse("call:1", "f", ""), ToolUse("", "g", ' {"a": 1}'), ToolUse("", "g", "{}"))
    assert [block["input"] for block in written["content"]] == [{}, {"a": 1}, {}]
    assert len({block["id"] for block in written["content"]}) == 3
    assert all(names.tool_id(block["id"], minted="") for block in written["content"])
    assert written["stop_reason"] == "tool_use"


def test_the_label_of_tools_without_a_call_would_stall_an_agent():
    assert write(Text("x"), stop_reason="tool_use")["stop_reason"] == "end_turn"


@pytest.mark.parametrize("arguments", ["[1]", '{"cut', "nonsense", "5"])
def test_arguments_that_are_no_object_are_the_providers_fault(arguments):
    with pytest.raises(errors.UpstreamBroken) as caught:
        write(ToolUse("a", "f", arguments))
    assert (caught.value.status, caught.value.kind) == (502, "api")


def test_thinking_that_its_vendor_has_not_signed_gets_a_signature_that_we_know_again():
    (first, second, theirs) = write(Thinking("hm"), Thinking("hm"), Thinking("hm", "theirs"))["content"]
    assert first == second
    assert theirs["signature"] == "theirs"
    assert first["signature"].startswith(names.OUR_SIGNATURE)
    assert write(Thinking("other"))["content"][0]["signature"] != first["signature"]


def test_thinking_and_text_always_have_their_fields():
    written = write(Thinking(""), Text(""), RedactedThinking("abc"), Text(" "))
    assert [sorted(block) for block in written["content"]] == [
        ["signature", "thinking", "type"],
        ["data", "type"],
        ["text", "type"],
    ]


def test_a_refusal_is_told():
    written = write(refusal="I will not.", stop_reason="refusal")
    assert written["stop_reason"] == "refusal"
    assert written["content"] == [{"type": "text", "text": "I will not."}]
    assert written["stop_details"]["explanation"] == "I will not."


def test_without_usage_an_estimate_is_told_and_never_a_bare_nought():
    counted = write(Text("x" * 400))["usage"]
    assert counted["output_tokens"] == 100
    assert counted["input_tokens"] > 10


# Usage


@pytest.mark.parametrize(
    ("raw", "counted"),
    [
        (USAGE, TokenUsage(in_fresh=10, out_total=5)),
        (
            {
                "input_tokens": 3,
                "cache_creation_input_tokens": 418,
                "cache_read_input_tokens": 1111,
                "output_tokens": 33,
            },
            TokenUsage(in_fresh=3, in_cache_read=1111, in_cache_write_5m=418, out_total=33),
        ),
        (
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 1,
            },
            TokenUsage(in_fresh=1, in_cache_write_5m=10, in_cache_write_1h=20, out_total=1),
        ),
        (
            {"cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}, "output_tokens": 1},
            TokenUsage(in_cache_write_5m=10, in_cache_write_1h=20, out_total=1),
        ),
        (
            {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}},
            TokenUsage(in_fresh=1, out_total=9, out_reasoning=4),
        ),
        (
            {"input_tokens": 1, "output_tokens": 9, "cache_creation_input_tokens": None, "cache_creation": None},
            TokenUsage(in_fresh=1, out_total=9),
        ),
        (
            {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 4}},
            TokenUsage(in_fresh=1, out_total=2, out_reasoning=2),
        ),
    ],
)
def test_anthropics_counters_are_disjoint_already(raw, counted):
    assert usage.read(raw) == counted


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        "12",
        [],
        {"input_tokens": 0, "output_tokens": 0},
        {"input_tokens": -1, "output_tokens": 5},
        {"input_tokens": 5, "output_tokens": 10**18},
        {"input_tokens": "5", "output_tokens": 5},
        {"input_tokens": 5.5, "output_tokens": 5},
        {"input_tokens": True, "output_tokens": 5},
        {"input_tokens": 5, "output_tokens": 5, "cache_creation": {"ephemeral_5m_input_tokens": "x"}},
    ],
)
def test_absurd_counts_are_no_counts(raw):
    assert usage.read(raw) is None


def test_later_totals_overwrite_earlier_ones_and_never_add():
    totals = usage.Totals()
    totals.update({"input_tokens": 10, "cache_read_input_tokens": 7, "output_tokens": 1})
    totals.update({"output_tokens": 20})
    totals.update({"input_tokens": 12, "output_tokens": 30, "cache_read_input_tokens": None})
    assert totals.usage == TokenUsage(in_fresh=12, in_cache_read=7, out_total=30)


def test_the_sum_of_cache_writes_may_come_again_without_its_parts():
    totals = usage.Totals()
    totals.update({"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 20}})
    totals.update({"cache_creation_input_tokens": 20, "output_tokens": 5})
    assert totals.usage == TokenUsage(in_fresh=1, in_cache_write_1h=20, out_total=5)


def test_counts_that_were_written_are_read_again():
    counted = TokenUsage(
        in_fresh=1, in_cache_read=2, in_cache_write_5m=3, in_cache_write_1h=4, out_total=9, out_reasoning=5
    )
    assert usage.read(usage.write(counted)) == counted
