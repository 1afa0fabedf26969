"""What callers of Responses are told: items of the kind their tools promise, failures that Codex understands."""

from __future__ import annotations

import json

import pytest

from apps.domain import errors
from apps.domain.chat import ChatResponse, Opaque, RedactedThinking, Text, Thinking, ToolUse
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
)
from apps.domain.protocols.openai_responses import encoder
from apps.domain.tokens import TokenUsage
from tests.domain import grammar, responses_grammar
from tests.domain.responses_calls import CLIENT, call, chat

BEGIN = [Started("msg_01", "up")]
COUNTED = TokenUsage(in_fresh=3, in_cache_read=2, in_cache_write_5m=1, out_total=7, out_reasoning=4)
INNER = {"type": "function", "name": "issue", "parameters": {"type": "object"}}
TOOLS = [
    {"type": "namespace", "name": "mcp__gh", "description": "", "tools": [INNER]},
    {"type": "custom", "name": "patch"},
    {"type": "local_shell"},
]


def told(*events, **fields):
    frames = encoder.Encoder(call=call(stream=True, **fields), created=5)
    return b"".join(map(frames.encode, [*BEGIN, *events]))


def used(name, *pieces):
    deltas = [ArgumentsDelta(0, piece) for piece in pieces]
    return [BlockStarted(0, ToolUse("c", name, "")), *deltas, BlockStopped(0), Finished("tool_use", usage=COUNTED)]


def events_of(stream):
    return [(name, json.loads(data)) for name, data in grammar.events(stream)]


def item_of(stream):
    return next(data["item"] for name, data in events_of(stream) if name == "response.output_item.done")


def answered(*content, **fields):
    response = ChatResponse(id="msg_01", model="up", content=content, **({"stop_reason": "end_turn"} | fields))
    return CLIENT.write_response(response, call=call(tools=TOOLS), created=5)


def test_a_call_into_a_namespace_has_both_its_names():
    stream = told(*used("mcp__gh__issue", '{"n":', "7}"), tools=TOOLS)
    assert responses_grammar.responses(stream).calls == [("c", "issue", '{"n":7}')]
    assert item_of(stream)["namespace"] == "mcp__gh"
    assert json.loads(answered(ToolUse("c", "mcp__gh__issue", '{"n":7}')))["output"][0] == item_of(stream)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"input":"*** \\"x\\"\\n"}', '*** "x"\n'), ("not json", "not json"), ('{"a":1}', '{"a":1}')],
)
def test_a_custom_tools_call_is_plain_text(arguments, text):
    stream = told(*used("patch", *arguments), tools=TOOLS)
    responses_grammar.responses(stream)
    assert item_of(stream)["input"] == text
    assert item_of(stream)["type"] == "custom_tool_call"
    assert json.loads(answered(ToolUse("c", "patch", arguments)))["output"][0] == item_of(stream)


def test_the_local_shell_is_called_as_one():
    stream = told(*used("local_shell", '{"command":["ls","-l"],"timeout_ms":9}'), tools=TOOLS)
    item = item_of(stream)
    assert (item["type"], item["call_id"]) == ("local_shell_call", "c")
    assert item["action"] == {
        "type": "exec",
        "command": ["ls", "-l"],
        "env": {},
        "timeout_ms": 9,
        "working_directory": None,
    }
    assert (
        json.loads(answered(ToolUse("c", "local_shell", '{"command":["ls","-l"],"timeout_ms":9}')))["output"][0] == item
    )


def test_a_tool_that_nobody_offered_is_a_function():
    assert item_of(told(*used("invented"), tools=TOOLS))["arguments"] == "{}"


def test_thinking_without_words_is_an_item_that_carries_its_signature():
    stream = told(
        BlockStarted(0, Thinking("")),
        SignatureDelta(0, "EqQB"),
        BlockStopped(0),
        BlockStarted(1, RedactedThinking("cmVk")),
        BlockStopped(1),
        Finished("end_turn", usage=COUNTED),
    )
    found = responses_grammar.responses(stream)
    assert found.kinds == ["reasoning", "reasoning"]
    back = chat(
        input=[item for name, data in events_of(stream) if name.endswith("item.done") for item in [data["item"]]]
    )
    assert back.messages[0].content == (Thinking("", "EqQB"), RedactedThinking("cmVk"))


def test_blocks_that_stay_empty_or_are_anothers_own_are_no_items():
    empty = [BlockStarted(0, Text("")), BlockStopped(0), BlockStarted(1, Thinking("")), BlockStopped(1)]
    server = [BlockStarted(2, Opaque("anthropic_messages", {"type": "server_tool_use"})), BlockStopped(2)]
    said = [BlockStarted(3, Text("")), TextDelta(3, "Hi"), BlockStopped(3), Finished("end_turn", usage=COUNTED)]
    found = responses_grammar.responses(told(*empty, *server, *said))
    assert (found.kinds, found.text) == (["message"], "Hi")


def test_usage_is_told_in_openais_overlapping_counts():
    usage = responses_grammar.responses(told(Finished("end_turn", usage=COUNTED))).usage
    assert usage == {
        "input_tokens": 6,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 13,
    }


def test_usage_that_nobody_gave_is_guessed():
    said = [BlockStarted(0, Text("")), TextDelta(0, "x" * 400), BlockStopped(0), Finished("end_turn")]
    assert responses_grammar.responses(told(*said)).usage["output_tokens"] == 100
    assert responses_grammar.answer(answered(Text("x" * 400))).usage["output_tokens"] >= 100


@pytest.mark.parametrize(
    ("stop", "status", "reason"),
    [
        ("end_turn", "completed", None),
        ("stop_sequence", "completed", None),
        ("pause_turn", "completed", None),
        ("max_tokens", "incomplete", "max_output_tokens"),
        ("context_window", "incomplete", "max_output_tokens"),
        ("refusal", "incomplete", "content_filter"),
    ],
)
def test_an_answer_that_was_cut_is_incomplete_and_its_last_item_too(stop, status, reason):
    said = [BlockStarted(0, Text("")), TextDelta(0, "Hi"), BlockStopped(0)]
    stream = told(*said, Finished(stop, usage=COUNTED))
    assert item_of(stream)["status"] == status
    for found in (
        responses_grammar.responses(stream),
        responses_grammar.answer(answered(Text("Hi"), stop_reason=stop)),
    ):
        assert found.stop == (reason or "completed")
    assert json.loads(answered(Text("Hi"), stop_reason=stop))["output"][0]["status"] == status


@pytest.mark.parametrize(("name", "piece"), [("patch", '{"input":"*** Begin'), ("local_shell", '{"command":["rm"')])
def test_a_call_that_was_cut_and_cannot_be_told_half_is_never_told_whole(name, piece):
    cut = [BlockStarted(0, ToolUse("c", name, "")), ArgumentsDelta(0, piece), BlockStopped(0)]
    stream = events_of(told(*cut, Finished("max_tokens", usage=COUNTED), tools=TOOLS))
    assert "response.output_item.done" not in [name for name, _ in stream]
    assert stream[-1][1]["response"]["output"] == []
    assert stream[-1][1]["response"]["status"] == "incomplete"


def test_a_refusal_is_a_part_of_its_own():
    for content in ((Text("No."),), ()):
        whole = json.loads(answered(*content, refusal="No.", stop_reason="refusal"))
        assert whole["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
        assert whole["status"] == "completed"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.UpstreamBroken("x"), "server_error", "x"),
        (errors.UpstreamOverloaded("x"), "server_error", "x"),
        (errors.UpstreamRateLimited("Slow down.", retry_after=1.5), "rate_limit_exceeded", "Please try again in 1.5s."),
        (errors.BudgetExhausted("x"), "insufficient_quota", "x"),
        (errors.UpstreamRefused("x", code="context_length_exceeded"), "context_length_exceeded", "x"),
        (errors.UpstreamRefused("x"), "invalid_prompt", "x"),
    ],
)
def test_a_failure_is_told_in_words_that_codex_knows(error, code, words):
    found = responses_grammar.responses(told(BlockStarted(0, Text("")), TextDelta(0, "Hi"), Failed(error)))
    assert found.error["code"] == code
    assert found.error["message"].endswith(words)
    assert found.text == "Hi"


def test_a_failure_of_an_answer_of_which_nothing_is_known_is_one_event():
    (last,) = events_of(CLIENT.stream_error(errors.UpstreamBroken("x"), request_id="req_1"))
    assert last[0] == "response.failed"
    assert last[1]["response"]["error"] == {"code": "server_error", "message": "x"}


def test_a_ping_is_a_comment():
    assert told(Ping()).endswith(b"\n\n: keepalive\n\n")


def test_the_request_is_repeated_as_openai_does():
    asked = {
        "instructions": "Be brief.",
        "max_output_tokens": 50,
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "tools": TOOLS,
        "tool_choice": {"type": "custom", "name": "patch"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "user": "bob",
    }
    stream = told(Finished("end_turn", usage=COUNTED), **asked, store=True)
    responses_grammar.responses(stream)
    last = events_of(stream)[-1][1]["response"]
    assert last.items() >= asked.items()
    assert (last["store"], last["model"], last["id"], last["created_at"]) == (False, "gpt-test", "resp_msg_01", 5)


def test_an_answer_that_never_ends_is_ended(monkeypatch):
    monkeypatch.setattr(encoder, "LONGEST", 100)
    with pytest.raises(errors.UpstreamBroken, match="too long"):
        told(BlockStarted(0, Text("")), *[TextDelta(0, "x" * 60)] * 2)
