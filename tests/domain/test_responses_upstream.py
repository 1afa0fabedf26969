"""What a Responses provider is sent, and what is made of its answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import errors
from apps.domain.chat import (
    ChatRequest,
    Document,
    Format,
    Image,
    Message,
    Reasoning,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from apps.domain.events import Failed, Finished, SignatureDelta, Started, TextDelta
from apps.domain.protocols import registry
from apps.domain.protocols.contract import Target
from apps.domain.protocols.openai_responses import names
from apps.domain.tokens import TokenUsage
from apps.simulator import responses_request
from tests.domain import streams
from tests.domain.responses_calls import (
    CREATED,
    UPSTREAM,
    USAGE,
    answer,
    completed,
    event,
    function_call,
    message,
    response,
    written,
)

COUNTED = TokenUsage(in_fresh=6, in_cache_read=4, out_total=5, out_reasoning=2)
WEATHER = Tool("weather", "Tells it", {"type": "object", "properties": {}, "additionalProperties": False}, strict=True)


def asking(*turns, **fields):
    return ChatRequest(model="m", messages=turns or (Message("user", (Text("hello"),)),), **fields)


def read(*frames):
    decoder = UPSTREAM.decoder()
    return [happened for frame in frames for happened in decoder.feed(frame)] + decoder.close()


def test_nothing_is_kept_and_the_cap_is_the_models_at_most():
    sent = written(asking(max_tokens=9000))
    assert sent == {"model": "gpt-up", "input": [{"role": "user", "content": "hello"}], "store": False} | {
        "max_output_tokens": 4096
    }


@pytest.mark.parametrize(("asked", "sent"), [(1, 16), (16, 16), (17, 17), (None, 4096)])
def test_a_cap_that_openai_would_refuse_is_raised(asked, sent):
    assert written(asking(max_tokens=asked))["max_output_tokens"] == sent


def test_the_system_prompt_is_the_instructions_and_a_later_one_stays():
    turns = (Message("user", (Text("a"),)), Message("system", (Text("b"),)), Message("user", (Text("c"),)))
    sent = written(
        asking(*turns, system=(Text("One"), Text("x-anthropic-billing-header: x"), Text("Two"))), "developer_role"
    )
    assert sent["instructions"] == "One\n\nTwo"
    assert [item["role"] for item in sent["input"]] == ["user", "developer", "user"]


def test_the_history_is_items_in_their_order():
    own = Thinking("Hm.", names.sign("gAAAA", item="rs_1"))
    others = Thinking("Claude's", "EqQB")
    used = ToolUse("toolu_1", "weather", "")
    result = ToolResult("toolu_1", (Text("rain"), Image(Source("base64", "aGk=", "image/png"))))
    failed = ToolResult("toolu_2", (Text("no"),), is_error=True)
    turns = (
        Message("assistant", (others, own, Text("One"), Text("Two"), used)),
        Message("user", (Text("And?"), result, failed)),
    )
    assert written(asking(*turns))["input"] == [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "gAAAA",
        },
        {"role": "assistant", "content": "OneTwo"},
        {"type": "function_call", "call_id": "toolu_1", "name": "weather", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "toolu_1",
            "output": [
                {"type": "input_text", "text": "rain"},
                {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,aGk="},
            ],
        },
        {"type": "function_call_output", "call_id": "toolu_2", "output": "Error: no"},
        {"role": "user", "content": "And?"},
    ]


def test_an_id_that_is_too_long_is_cut_alike_for_call_and_result():
    long = "call_" + "x" * 80
    turns = (
        Message("assistant", (ToolUse(long, "weather", "{}"), ToolUse(long + "y", "weather", "{}"))),
        Message("user", (ToolResult(long, ()), ToolResult(long + "y", ()))),
    )
    ids = [item["call_id"] for item in written(asking(*turns))["input"] if "call_id" in item]
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2
    assert max(map(len, ids)) <= 64


def test_documents_are_files_texts_or_addresses():
    blocks = (
        Document(Source("base64", "aGk=", "application/pdf"), name="a.pdf"),
        Document(Source("text", "words"), name="b"),
        Document(Source("url", "https://example.com/c.pdf")),
    )
    (item,) = written(asking(Message("user", blocks)))["input"]
    assert item["content"] == [
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
        {"type": "input_text", "text": "b\n\nwords"},
        {"type": "input_file", "file_url": "https://example.com/c.pdf"},
    ]


def test_an_empty_turn_says_so():
    assert written(asking(Message("user", ())))["input"] == [{"role": "user", "content": "(no content)"}]


def test_tools_are_strict_only_where_they_qualify():
    loose = Tool("loose", None, {"type": "object", "properties": {"x": {}}}, strict=True)
    server = Tool("web_search", None, {}, raw={"type": "web_search_20250305"})
    sent = written(
        asking(tools=(WEATHER, loose, server), tool_choice=ToolChoice("tool", "loose"), parallel_tools=False)
    )
    assert [(tool["name"], tool["strict"]) for tool in sent["tools"]] == [("weather", True), ("loose", False)]
    assert sent["tool_choice"] == {"type": "function", "name": "loose"}
    assert sent["parallel_tool_calls"] is False


def test_who_asks_to_see_thinking_gets_its_summary_and_its_ciphertext():
    sent = written(asking(reasoning=Reasoning("enabled", 2048), max_tokens=4096))
    assert sent["reasoning"] == {"effort": "medium", "summary": "auto"}
    assert sent["include"] == ["reasoning.encrypted_content"]
    quiet = written(asking(reasoning=Reasoning("adaptive")), "no_reasoning_summary")
    assert quiet["reasoning"] == {"effort": "high"}
    assert written(asking(reasoning=Reasoning(effort="low")))["reasoning"] == {"effort": "low"}


def test_a_model_of_which_nothing_is_known_is_asked_for_no_ciphertext():
    assert "include" not in written(asking())
    assert "include" in written(asking(), capabilities=("thinking",))
    assert "reasoning" not in written(asking(reasoning=Reasoning(effort="high")), capabilities=("vision",))


def test_a_schema_and_any_object_are_formats():
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    sent = written(asking(format=Format(schema, name="person")))
    assert sent["text"] == {"format": {"type": "json_schema", "name": "person", "schema": schema, "strict": True}}
    sent = written(asking(format=Format()))
    assert sent["text"] == {"format": {"type": "json_object"}}
    responses_request.read(json.dumps(sent).encode())  # which refuses it if nobody speaks of JSON


def test_stop_strings_have_no_name_here():
    with pytest.raises(errors.InvalidRequest) as refused:
        written(asking(stop=("END",)))
    assert refused.value.param == "stop"
    assert written(asking(stop=(" \n",)))


def test_sampling_goes_where_it_is_taken():
    assert written(asking(temperature=0.5, top_p=0.9, top_k=3)).items() >= {"temperature": 0.5, "top_p": 0.9}.items()
    assert "temperature" not in written(asking(temperature=0.5), capabilities=("no_sampling",))


def test_a_whole_answer_is_read():
    thought = {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAA"}
    thought |= {"summary": [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two"}]}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    found = UPSTREAM.read_response(answer("completed", thought, search, message("Hi"), function_call('{"a":1}')))
    assert found.content == (
        Thinking("One\n\nTwo", "gw1.r.rs_1.gAAAA"),
        Text("Hi"),
        ToolUse("call_1", "weather", '{"a":1}'),
    )
    assert (found.id, found.model, found.stop_reason, found.usage) == ("resp_1", "up-1", "tool_use", COUNTED)


@pytest.mark.parametrize(
    ("reason", "stop"), [("max_output_tokens", "max_tokens"), ("content_filter", "refusal"), ("steered", "max_tokens")]
)
def test_an_incomplete_answer_says_why(reason, stop):
    body = answer("incomplete", message("Ha"), incomplete_details={"reason": reason})
    assert UPSTREAM.read_response(body).stop_reason == stop


def test_a_call_that_was_cut_is_never_handed_on():
    body = answer("incomplete", function_call('{"a":'), incomplete_details={"reason": "max_output_tokens"})
    found = UPSTREAM.read_response(body)
    assert (found.content, found.stop_reason) == ((), "max_tokens")


def test_a_refusal_is_one():
    part = {"type": "refusal", "refusal": "No."}
    found = UPSTREAM.read_response(answer("completed", message("", content=[part])))
    assert (found.refusal, found.stop_reason, found.content) == ("No.", "refusal", (Text("No."),))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"<html>",
        b'{"status":"completed"}',
        answer("in_progress"),
        answer("failed"),
        answer("completed", function_call("[]")),
    ],
)
def test_what_is_no_answer_is_a_broken_one(body):
    with pytest.raises(errors.UpstreamBroken):
        UPSTREAM.read_response(body)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "x"}, errors.UpstreamFailed),
        ({"code": "rate_limit_exceeded", "message": "x"}, errors.UpstreamRateLimited),
        ({"code": "insufficient_quota", "message": "x"}, errors.UpstreamAuth),
        ({"code": "invalid_prompt", "message": "x"}, errors.UpstreamRefused),
        ({"code": "image_too_large", "message": "x"}, errors.UpstreamRefused),
        ({"code": "context_length_exceeded", "message": "x"}, errors.UpstreamRefused),
        ("words", errors.UpstreamFailed),
    ],
)
def test_a_failure_keeps_its_class_whole_and_streamed(error, kind):
    with pytest.raises(kind):
        UPSTREAM.read_response(answer("failed", error=error))
    last = read(CREATED, event("response.failed", response=response("failed", error=error)))[-1]
    assert isinstance(last, Failed)
    assert type(last.error) is kind
    assert type(read(CREATED, event("error", error=error))[-1].error) is kind
    if isinstance(error, dict):
        assert type(read(CREATED, event("error", **error))[-1].error) is kind


def test_usage_of_a_failure_counts():
    last = read(CREATED, event("response.failed", response=response("failed", error={"message": "x"}, usage=USAGE)))[-1]
    assert last.usage == COUNTED


def test_a_stream_is_read():
    delta = event("response.output_text.delta", item_id="m", output_index=0, content_index=0, delta="Hi")
    assert [type(found).__name__ for found in read(CREATED, delta, completed(message("Hi")))] == [
        *("Started", "BlockStarted", "TextDelta", "BlockStopped", "Finished")
    ]


def test_the_ciphertext_of_an_items_end_is_the_one():
    begun = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "early"}
    frames = (
        event("response.output_item.added", output_index=0, item=begun),
        event("response.output_item.done", output_index=0, item=begun | {"encrypted_content": "late"}),
    )
    (signed,) = [found for found in read(CREATED, *frames, completed()) if isinstance(found, SignatureDelta)]
    assert signed.signature == "gw1.r.rs_1.late"


def test_a_thought_that_is_told_twice_is_read_once():
    where = {"item_id": "rs_1", "output_index": 0}
    frames = (
        event("response.reasoning_text.delta", **where, content_index=0, delta="raw"),
        event("response.reasoning_summary_text.delta", **where, summary_index=0, delta="short"),
    )
    assert streams.summed(read(CREATED, *frames, completed())).thinking == "raw"


def test_the_end_of_the_file_is_no_end_of_an_answer():
    last = read(CREATED, event("response.output_text.delta", output_index=0, delta="Hi"), b"data: [DONE]\n\n")[-1]
    assert isinstance(last, Failed)
    assert isinstance(last.error, errors.UpstreamBroken)


def test_the_last_event_may_lack_its_blank_line():
    assert isinstance(read(CREATED, completed(message("Hi")).rstrip())[-1], Finished)


@pytest.mark.parametrize(
    "frame",
    [
        event("response.function_call_arguments.delta", output_index=0, delta="{}"),
        event("response.output_text.delta", output_index=0, delta="x")
        + event("response.reasoning_text.delta", output_index=0, delta="x"),
        b"data: {\n\n",
        b"data: 7\n\n",
    ],
)
def test_what_has_no_reading_is_broken(frame):
    found = read(CREATED, frame)
    assert isinstance(found[-1], Failed)
    assert isinstance(found[-1].error, errors.UpstreamBroken)


def test_too_much_that_waits_is_broken():
    added = [event("response.output_item.added", output_index=place, item=message("")) for place in (0, 1)]
    delta = event("response.output_text.delta", output_index=1, delta="x" * (1 << 19))
    assert isinstance(read(CREATED, *added, *[delta] * 9)[-1], Failed)


def test_too_many_items_are_broken():
    added = b"".join(event("response.output_item.added", output_index=place, item=message("")) for place in range(2100))
    assert isinstance(read(CREATED, added)[-1], Failed)


@given(order=st.permutations([(0, "a"), (0, "b"), (1, "c"), (1, "d"), (2, "e")]).filter(lambda order: len(order) == 5))
def test_items_that_overlap_come_out_one_after_another(order):
    added = [event("response.output_item.added", output_index=place, item=message("")) for place in range(3)]
    deltas = [event("response.output_text.delta", output_index=place, delta=text) for place, text in order]
    found = read(CREATED, *added, *deltas, completed())
    streams.check_events(found)
    blocks = ["".join(text for at, text in order if at == place) for place in range(3)]
    told = ["", "", ""]
    for happened in found:
        if isinstance(happened, TextDelta):
            told[happened.index] += happened.text
    assert told == blocks


def test_a_caller_of_messages_carries_what_openai_encrypted_there_and_back():
    """Claude Code, say, at a provider of reasoning models: every turn goes on from the thoughts of the one before."""
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    call = registry.CLIENTS["anthropic_messages"].read_request(
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}'
    )
    found = UPSTREAM.read_response(answer("completed", item, function_call("{}")))
    client = registry.CLIENTS["anthropic_messages"]
    content = json.loads(client.write_response(found, call=call, created=1))["content"]
    events = streams.decode(
        "openai_responses", [CREATED, event("response.output_item.done", output_index=0, item=item), completed()]
    )
    assert content[0]["signature"] in streams.encode("anthropic_messages", events).decode()
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": content}]
    turns.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "y"}]})
    again = client.read_request(json.dumps({"model": "m", "max_tokens": 9, "messages": turns}).encode())
    target = Target(protocol="openai_responses", model="up", max_output_tokens=99)
    sent = json.loads(UPSTREAM.write_request(client.to_chat(again), target))["input"]
    assert sent[1] == {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}


def test_tokens_are_counted_of_what_would_be_sent():
    counter = registry.COUNTERS["openai_responses"]
    target = Target(protocol="openai_responses", model="up", max_output_tokens=99)
    body = {
        "model": "m",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "x"}],
        "stop_sequences": ["a"],
    }
    asked = json.loads(counter.write(registry.COUNTING.read_request(json.dumps(body).encode()), target))
    assert asked == {"model": "up", "input": [{"role": "user", "content": "x"}], "instructions": "Be brief."}
    responses_request.read(json.dumps(asked).encode(), counting=True)
    assert counter.read(b'{"object":"response.input_tokens","input_tokens":7}') == 7
    with pytest.raises(errors.UpstreamBroken):
        counter.read(b'{"input_tokens":-1}')


def test_the_first_event_starts_the_answer():
    assert read(CREATED)[0] == Started("resp_1", "up-1")
