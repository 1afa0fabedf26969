"""Requests in Converse's words, by family."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from apps.domain import errors
from tests.domain.converse_calls import ANTHROPIC, ASK, CLAUDE, LLAMA, NOVA, OPENAI, OSS, blocks, opened, sent

PNG, PDF = base64.b64encode(b"png").decode(), base64.b64encode(b"pdf").decode()
MARK = {"type": "ephemeral"}
POINT = {"cachePoint": {"type": "default"}}
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
SPEC = {
    "toolSpec": {
        "name": "look",
        "description": "Looks.",
        "inputSchema": {"json": {"type": "object", "properties": {}}},
    }
}
CALLED = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"x": 1}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "seen"}]},
]


def test_a_plain_request_is_short():
    assert sent() == {
        "messages": [{"role": "user", "content": [{"text": "hello"}]}],
        "inferenceConfig": {"maxTokens": 100},
    }


def test_inference_is_configured_in_converses_words():
    found = sent(temperature=1.0, top_p=0.5, stop_sequences=["END"], metadata={"user_id": "a:b"})
    assert found["inferenceConfig"] == {"maxTokens": 100, "temperature": 1.0, "topP": 0.5, "stopSequences": ["END"]}
    assert found["requestMetadata"] == {"user_id": "a:b"}
    assert sent(OPENAI, temperature=1.7, stop=["END", " "], max_tokens=None)["inferenceConfig"] == {
        "maxTokens": 1000,
        "temperature": 1.0,
        "stopSequences": ["END"],
    }
    assert "requestMetadata" not in sent(metadata={"user_id": "{json}"})


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        (CLAUDE, {"top_k": 5}),
        (NOVA, {"inferenceConfig": {"topK": 5}}),
        (LLAMA, None),
    ],
)
def test_top_k_is_each_familys_own(target, fields):
    assert sent(target=target, top_k=5).get("additionalModelRequestFields") == fields


def test_a_system_prompt_keeps_its_blocks_and_its_marks():
    system = [
        {"type": "text", "text": "x-anthropic-billing-header: c"},
        {"type": "text", "text": "s", "cache_control": MARK},
    ]
    assert sent(system=system)["system"] == [{"text": "s"}, POINT]
    assert sent(system=system, target=CLAUDE)["system"] == [{"text": system[0]["text"]}, {"text": "s"}, POINT]
    assert sent(system=system, target=LLAMA)["system"] == [{"text": "s"}]


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_an_hour_of_cache_is_told_and_five_minutes_are_not():
    text = {"type": "text", "text": "a"}
    assert blocks(text | {"cache_control": MARK | {"ttl": "5m"}}) == [{"text": "a"}, POINT]
    hour = {"cachePoint": {"type": "default", "ttl": "1h"}}
    marked = text | {"cache_control": MARK | {"ttl": "1h"}}
    assert blocks(marked, target=CLAUDE) == [{"text": "a"}, hour]
    assert blocks(marked, target=NOVA) == [{"text": "a"}, POINT]


def test_nova_takes_no_marks_among_its_tools():
    marked = [TOOL | {"cache_control": MARK}]
    assert sent(tools=marked, target=CLAUDE)["toolConfig"]["tools"] == [SPEC, POINT]
    assert sent(tools=marked, target=NOVA)["toolConfig"]["tools"] == [SPEC]


@pytest.mark.parametrize(("media", "format"), [("image/jpeg", "jpeg"), ("image/png", "png"), ("image/webp", "webp")])
def test_an_image_is_bytes_with_a_format(media, format):
    source = {"type": "base64", "media_type": media, "data": PNG}
    assert blocks({"type": "image", "source": source}) == [{"image": {"format": format, "source": {"bytes": PNG}}}]


def document(title: str | None, **source: str) -> dict[str, Any]:
    given = {"type": "base64", "media_type": "application/pdf", "data": PDF} | source
    return {"type": "document", "source": given} | ({} if title is None else {"title": title})


def test_documents_have_safe_and_different_names_and_words_beside_them():
    found = blocks(
        document("a/b  (1).pdf"), document("a/b  (1).pdf"), document(None), document("…"), document("é" * 300)
    )
    names = [block["document"]["name"] for block in found if "document" in block]
    assert names == ["a b (1) pdf", "a b (1) pdf 2", "document", "document 2", "document 3"]
    assert [block["document"]["format"] for block in found if "document" in block] == ["pdf"] * 5
    assert len([block for block in found if "text" in block]) == 1
    assert len(blocks(document(None), {"type": "text", "text": "what is it?"})) == 2


def test_a_document_of_text_is_bytes_too():
    (found, text) = blocks(document("n", type="text", media_type="text/plain", data="é"), {"type": "text", "text": "?"})
    assert found == {
        "document": {"format": "txt", "name": "n", "source": {"bytes": base64.b64encode("é".encode()).decode()}}
    }
    assert text == {"text": "?"}


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"type": "image", "source": {"type": "url", "url": "https://e.com/a.png"}}, "no images by URL"),
        (document(None, type="url", url="https://e.com/a.pdf"), "no documents by URL"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": PNG}}, "'image/tiff'"),
        (document(None, media_type="application/zip"), "'application/zip'"),
    ],
)
def test_what_converse_cannot_take_is_refused_by_name(block, words):
    with pytest.raises(errors.InvalidRequest, match=words) as refused:
        blocks(block)
    assert refused.value.param == "messages"


def test_a_turn_of_nothing_says_so():
    assert blocks({"type": "text", "text": ""}) == [{"text": "(no content)"}]


def test_a_call_and_its_result_go_together():
    found = sent(messages=CALLED, tools=[TOOL])
    assert found["messages"][1:] == [
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "look", "input": {"x": 1}}}]},
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t1", "status": "success", "content": [{"text": "seen"}]}}],
        },
    ]


def results(result: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    turns = [*CALLED[:2], {"role": "user", "content": [CALLED[2]["content"][0] | result]}]
    return [block["toolResult"] for block in sent(messages=turns, **more)["messages"][2]["content"]]


def test_a_failed_call_says_so_as_its_family_can():
    failed = {"is_error": True, "content": "no"}
    assert results(failed)[0] == {"toolUseId": "t1", "status": "error", "content": [{"text": "no"}]}
    assert results(failed, target=LLAMA)[0] == {"toolUseId": "t1", "content": [{"text": "Error:"}, {"text": "no"}]}


def test_a_result_holds_images_and_is_never_empty():
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    (found,) = results({"content": [{"type": "image", "source": source}, {"type": "text", "text": "b"}]})
    assert found["content"] == [{"image": {"format": "png", "source": {"bytes": PNG}}}, {"text": "b"}]
    assert results({"content": []})[0]["content"] == [{"text": "(no content)"}]


def test_a_long_id_of_a_call_is_short_and_the_same_in_its_result():
    long = [json.loads(json.dumps(turn).replace("t1", "t" * 80)) for turn in CALLED]
    turns = sent(messages=long, tools=[TOOL])["messages"]
    called = turns[1]["content"][0]["toolUse"]["toolUseId"]
    assert called == turns[2]["content"][0]["toolResult"]["toolUseId"]
    assert len(called) <= 64
    other = json.loads(json.dumps(long).replace("t" * 80, "t" * 81))
    assert sent(messages=other, tools=[TOOL])["messages"][1]["content"][0]["toolUse"]["toolUseId"] != called


THOUGHTS = [
    {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
    {"type": "redacted_thinking", "data": "EuQFCkgI"},
    {"type": "thinking", "thinking": "ours", "signature": "gw1.abc"},
    {"type": "text", "text": "so"},
]


def test_thinking_goes_back_to_the_family_that_signs_it():
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": THOUGHTS},
        {"role": "user", "content": "b"},
    ]
    assert sent(messages=turns, target=CLAUDE)["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EqQB"}}},
        {"reasoningContent": {"redactedContent": base64.b64encode(b"EuQFCkgI").decode()}},
        {"text": "so"},
    ]
    assert sent(messages=turns, target=LLAMA)["messages"][1]["content"] == [{"text": "so"}]


# --- tools -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (None, None),
        ({"type": "auto"}, {"auto": {}}),
        ({"type": "any"}, {"any": {}}),
        ({"type": "tool", "name": "look"}, {"tool": {"name": "look"}}),
    ],
)
def test_a_choice_is_converses_where_the_family_has_one(choice, written):
    asked = {"tools": [TOOL]} | ({} if choice is None else {"tool_choice": choice})
    assert sent(**asked)["toolConfig"] == {"tools": [SPEC]} | ({} if written is None else {"toolChoice": written})
    assert sent(**asked, target=LLAMA)["toolConfig"] == {"tools": [SPEC]}


def test_no_tool_is_said_by_leaving_them_out_unless_one_has_been_called():
    none = {"type": "none"}
    assert "toolConfig" not in sent(tools=[TOOL], tool_choice=none)
    assert sent(tools=[TOOL], tool_choice=none, messages=CALLED)["toolConfig"] == {"tools": [SPEC]}


def test_tools_that_were_called_are_there_though_the_request_has_none():
    bare = {"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}
    assert sent(messages=CALLED)["toolConfig"] == {"tools": [bare]}


def test_a_tools_own_fields_are_fitted():
    marked = TOOL | {"description": "", "strict": True, "cache_control": MARK, "defer_loading": True}
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    (spec, point) = sent(tools=[marked | {"input_schema": schema}], target=CLAUDE)["toolConfig"]["tools"]
    assert spec == {"toolSpec": {"name": "look", "inputSchema": {"json": schema}, "strict": True}}
    assert point == POINT
    (spec,) = sent(tools=[marked | {"input_schema": schema}], target=LLAMA)["toolConfig"]["tools"]
    assert "strict" not in spec["toolSpec"]


ONE = {"disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"type": "auto"}, {"type": "auto"}),
        ({"type": "any"}, {"type": "any"}),
        ({"type": "tool", "name": "look"}, {"type": "tool", "name": "look"}),
    ],
)
def test_one_call_at_a_time_is_claudes_own_choice_of_tools(choice, told):
    """Bedrock refuses a choice in two places."""
    found = sent(tools=[TOOL], tool_choice=choice | ONE, target=CLAUDE)
    assert found["additionalModelRequestFields"] == {"tool_choice": told | ONE}
    assert "toolChoice" not in found["toolConfig"]


def test_one_call_at_a_time_is_told_only_where_it_is_understood():
    asked: dict[str, Any] = {"tools": [TOOL], "tool_choice": {"type": "any"} | ONE}
    older = msgspec.structs.replace(CLAUDE, model="anthropic.claude-3-5-sonnet-20240620-v1:0")
    for target in (NOVA, older):
        found = sent(**asked, target=target)
        assert "additionalModelRequestFields" not in found
        assert found["toolConfig"]["toolChoice"] == {"any": {}}
    silent = [{"type": "function", "function": {"name": "look", "parameters": TOOL["input_schema"]}}]
    found = sent(OPENAI, tools=silent, parallel_tool_calls=False, target=CLAUDE)
    assert found["additionalModelRequestFields"] == {"tool_choice": {"type": "auto"} | ONE}
    assert "additionalModelRequestFields" not in sent(OPENAI, tools=silent, parallel_tool_calls=True, target=CLAUDE)
    assert "additionalModelRequestFields" not in sent(OPENAI, parallel_tool_calls=False, target=CLAUDE)


def test_thinking_gives_way_to_a_forced_tool_also_where_only_one_may_be_called():
    target = msgspec.structs.replace(CLAUDE, max_output_tokens=9000)
    thinking = {"type": "enabled", "budget_tokens": 1024}
    found = sent(max_tokens=9000, thinking=thinking, tools=[TOOL], tool_choice={"type": "any"} | ONE, target=target)
    assert found["additionalModelRequestFields"] == {"tool_choice": {"type": "any"} | ONE}


def test_the_stop_string_is_asked_for_where_there_is_one_and_the_model_tells_it():
    assert sent(stop_sequences=["END"], target=CLAUDE)["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    for unasked in (sent(target=CLAUDE), sent(stop_sequences=["END"], target=NOVA)):
        assert "additionalModelResponseFieldPaths" not in unasked


# --- thinking and formats --------------------------------------------------------------------------------------------


def test_claude_thinks_by_a_field_of_its_own():
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    target = msgspec.structs.replace(CLAUDE, max_output_tokens=9000)
    asked: dict[str, Any] = thinking | {"max_tokens": 9000, "temperature": 0.5, "top_k": 3, "target": target}
    found = sent(**asked)
    assert found["additionalModelRequestFields"] == thinking, "beside it nothing is sampled otherwise"
    assert found["inferenceConfig"] == {"maxTokens": 9000}
    forced = sent(**asked, tools=[TOOL], tool_choice={"type": "any"})
    assert forced["additionalModelRequestFields"] == {"top_k": 3}, "the choice is kept, and thinking is not"
    assert forced["toolConfig"]["toolChoice"] == {"any": {}}
    capped = msgspec.structs.replace(CLAUDE, max_output_tokens=1000)
    for least in (NOVA, capped):
        assert "thinking" not in sent(**asked | {"target": least})["additionalModelRequestFields"]


def test_effort_is_told_where_there_are_levels():
    newer = msgspec.structs.replace(CLAUDE, model="global.anthropic.claude-opus-4-6-v1")
    found = sent(OPENAI, reasoning_effort="high", target=newer)
    assert found["additionalModelRequestFields"] == {"thinking": {"type": "adaptive"}}
    assert found["outputConfig"] == {"effort": "high"}
    oss = sent(OPENAI, reasoning_effort="minimal", target=OSS)
    assert oss["additionalModelRequestFields"] == {"reasoning_effort": "low"}
    assert "additionalModelRequestFields" not in sent(OPENAI, reasoning_effort="high", target=LLAMA)


def test_an_anthropic_callers_effort_alone_is_no_wish_to_think():
    newer = msgspec.structs.replace(CLAUDE, model="global.anthropic.claude-opus-4-6-v1")
    asked: dict[str, Any] = {"output_config": {"effort": "low"}, "temperature": 0.5}
    found = sent(**asked, target=newer)
    assert (found["outputConfig"], found["inferenceConfig"]["temperature"]) == ({"effort": "low"}, 0.5)
    assert "additionalModelRequestFields" not in found
    assert "outputConfig" not in sent(**asked, target=CLAUDE), "which has no levels"
    wished = sent(output_config={"effort": "low"}, thinking={"type": "adaptive"}, target=newer)
    assert wished["additionalModelRequestFields"] == {"thinking": {"type": "adaptive"}}


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}


def test_a_schema_is_native_a_forced_tool_or_words():
    native = sent(OPENAI, response_format=FORMAT, target=CLAUDE)
    told = native["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (json.loads(told["schema"]), told["name"]) == (SCHEMA, "n")
    forced = sent(OPENAI, response_format=FORMAT)["toolConfig"]
    assert forced["toolChoice"] == {"tool": {"name": "gateway_structured_answer"}}
    assert forced["tools"][0]["toolSpec"]["inputSchema"] == {"json": SCHEMA}
    silent = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    beside = sent(OPENAI, response_format=FORMAT, tools=silent, tool_choice="none")["toolConfig"]
    assert beside["toolChoice"] == forced["toolChoice"]
    words = sent(OPENAI, response_format=FORMAT, target=LLAMA)
    assert json.dumps(SCHEMA, separators=(",", ":")) in words["system"][-1]["text"]
    assert "toolConfig" not in words
    assert "JSON" in sent(OPENAI, response_format={"type": "json_object"})["system"][-1]["text"]


def test_a_late_system_message_is_folded():
    said = [("user", "a"), ("assistant", "b"), ("system", "late"), ("user", "c")]
    messages = [{"role": role, "content": text} for role, text in said]
    found = sent(OPENAI, messages=messages)["messages"]
    assert [message["role"] for message in found] == ["user", "assistant", "user"]
    assert found[2]["content"] == [{"text": "<system>late</system>"}, {"text": "c"}]


@pytest.mark.parametrize(
    ("client", "asked", "told"),
    [
        (ANTHROPIC, None, None),
        (ANTHROPIC, "auto", None),
        (ANTHROPIC, "standard_only", "default"),
        (OPENAI, "auto", None),
        (OPENAI, "default", "default"),
        (OPENAI, "flex", "flex"),
        (OPENAI, "priority", "priority"),
        (OPENAI, "scale", None),
    ],
)
def test_a_tier_that_bedrock_has_is_asked_for(client, asked, told):
    made = opened(client, service_tier=asked)
    assert json.loads(made.body).get("serviceTier") == (None if told is None else {"type": told})
    assert ("dropped: service_tier" in made.notes) == (asked == "scale")


@pytest.mark.parametrize(
    ("fields", "target", "lost"),
    [
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, LLAMA, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look"}}, LLAMA, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "any"} | ONE}, NOVA, "tool_choice.disable_parallel_tool_use"),
        ({"tools": [TOOL], "tool_choice": {"type": "none"}}, LLAMA, None),
        ({"tools": [TOOL], "tool_choice": {"type": "any"} | ONE}, CLAUDE, None),
        ({"top_k": 3}, LLAMA, "top_k"),
        ({"top_k": 3}, NOVA, None),
        ({"output_config": {"effort": "low"}}, NOVA, "output_config.effort"),
        ({"thinking": {"type": "adaptive"}}, NOVA, "thinking"),
        ({"metadata": {"user_id": "é"}}, NOVA, "metadata.user_id"),
        ({"container": "c"}, NOVA, "container"),
        ({"stop_sequences": ["END"], "temperature": 0.5, "top_p": 0.5}, NOVA, None),
    ],
)
def test_the_ledger_is_told_what_a_family_does_not_get(fields, target, lost):
    notes = opened(target=target, **fields).notes
    assert notes[1:] == (() if lost is None else (f"dropped: {lost}",))


def test_both_dialects_ask_alike():
    assert sent(ANTHROPIC) == sent(OPENAI, **ASK)
