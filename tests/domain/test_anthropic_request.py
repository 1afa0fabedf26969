"""An Anthropic request in canonical form."""

import json

import msgspec
import pytest

from apps.domain.chat import (
    Document,
    Format,
    Image,
    Message,
    Opaque,
    Reasoning,
    RedactedThinking,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from tests.domain.anthropic_calls import chat

MARK = {"type": "ephemeral", "ttl": "1h"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def content(*blocks):
    return chat(messages=[{"role": "user", "content": list(blocks)}]).messages[0].content


def test_strings_become_text_and_an_empty_one_nothing():
    read = chat(messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}])
    assert read.messages == (Message("user", (Text("hi"),)), Message("assistant", ()))


@pytest.mark.parametrize(
    ("block", "canonical"),
    [
        ({"type": "text", "text": "hi", "cache_control": MARK}, Text("hi", MARK)),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
            Image(Source("base64", "QQ==", "image/png")),
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, "cache_control": MARK},
            Image(Source("url", "https://x/y.png"), cache_control=MARK),
        ),
        (
            {
                "type": "document",
                "title": "paper",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
            },
            Document(Source("base64", "QQ==", "application/pdf"), "paper"),
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
            Document(Source("text", "words", "text/plain")),
        ),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "inner"}]}},
            Document(Source("text", "inner", "text/plain")),
        ),
        ({"type": "thinking", "thinking": "hm", "signature": "s=="}, Thinking("hm", "s==")),
        ({"type": "thinking", "thinking": "", "signature": "s=="}, Thinking("", "s==")),
        ({"type": "redacted_thinking", "data": "abc"}, RedactedThinking("abc")),
        (
            {"type": "search_result", "title": "T", "source": "https://x", "content": [{"type": "text", "text": "c"}]},
            Text("T\nhttps://x\nc"),
        ),
        (
            {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}},
            Opaque("anthropic_messages", {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}}),
        ),
    ],
)
def test_every_kind_of_block_has_a_canonical_form(block, canonical):
    assert content(block) == (canonical,)


def calling(*ids, arguments=None, results=None):
    """The turns of a model that calls and of who answers it."""
    calls = [{"type": "tool_use", "id": id_, "name": "f", "input": arguments or {}} for id_ in ids]
    results = results or [{"type": "tool_result", "tool_use_id": id_} for id_ in ids]
    turns = [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    return chat(messages=turns).messages


def test_a_call_keeps_its_arguments_as_json_text():
    (call,) = calling("toolu_1", arguments={"a": [1, "ä"]})[0].content
    assert isinstance(call, ToolUse)
    assert (call.id, call.name, json.loads(call.arguments)) == ("toolu_1", "f", {"a": [1, "ä"]})


def test_a_result_holds_text_and_pictures_and_says_when_it_failed():
    image = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    assert calling(
        *"abcd",
        results=[
            {"type": "tool_result", "tool_use_id": "a", "content": "plain"},
            {
                "type": "tool_result",
                "tool_use_id": "b",
                "content": [{"type": "text", "text": "t"}, image],
                "is_error": True,
            },
            {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "tool_reference", "tool_name": "x"}]},
            {"type": "tool_result", "tool_use_id": "d"},
        ],
    )[1].content == (
        ToolResult("a", (Text("plain"),)),
        ToolResult("b", (Text("t"), Image(Source("url", "https://x"))), is_error=True),
        ToolResult("c", ()),
        ToolResult("d", ()),
    )


def test_system_blocks_stay_apart():
    read = chat(system=[{"type": "text", "text": "one", "cache_control": MARK}, {"type": "text", "text": "two"}])
    assert read.system == (Text("one", MARK), Text("two"))
    assert chat(system="plain").system == (Text("plain"),)


def test_instructions_in_the_middle_keep_their_place():
    read = chat(
        messages=[
            {"role": "user", "content": "a"},
            {"role": "system", "content": [{"type": "text", "text": "be brief"}, {"type": "tool_addition", "x": 1}]},
            {"role": "system", "content": []},
        ]
    )
    assert read.messages[1:] == (Message("system", (Text("be brief"),)), Message("system", ()))


def test_tools_and_their_choice():
    read = chat(
        tools=[
            {"name": "f", "description": "d", "input_schema": SCHEMA, "strict": True, "cache_control": MARK},
            {"type": "custom", "name": "g", "input_schema": SCHEMA},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    )
    assert read.tools == (
        Tool("f", "d", SCHEMA, True, MARK),
        Tool("g", None, SCHEMA),
        Tool("web_search", None, {}, raw={"type": "web_search_20250305", "name": "web_search"}),
    )
    assert read.tool_choice == ToolChoice("tool", "f")
    assert read.parallel_tools is False


@pytest.mark.parametrize("mode", ["auto", "any", "none"])
def test_every_choice_has_a_canonical_name(mode):
    assert chat(tools=[{"name": "f", "input_schema": {}}], tool_choice={"type": mode}).tool_choice == ToolChoice(mode)


def test_a_choice_without_tools_is_dropped():
    assert chat(tool_choice={"type": "any"}).tool_choice is None


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({}, Reasoning()),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 3000}, Reasoning("enabled", 2048)),
        ({"thinking": {"type": "adaptive"}}, Reasoning("adaptive")),
        ({"thinking": {"type": "between_tools"}}, Reasoning("adaptive")),
        ({"thinking": {"type": "disabled"}}, Reasoning("disabled")),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, Reasoning("adaptive", None, "max")),
        ({"output_config": {"effort": "low"}}, Reasoning(None, None, "low", is_effort_alone=True)),
    ],
)
def test_how_hard_to_think(fields, reasoning):
    assert chat(**fields).reasoning == reasoning


@pytest.mark.parametrize("where", ["output_config", "output_format"])
def test_a_format_is_read_where_it_is_now_and_where_it_was(where):
    wanted = {"type": "json_schema", "schema": SCHEMA}
    fields = {"output_config": {"format": wanted}} if where == "output_config" else {"output_format": wanted}
    assert chat(**fields).format == Format(SCHEMA)


def test_the_rest_is_read_or_kept():
    read = chat(
        temperature=0.3,
        top_p=0.9,
        top_k=5,
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        service_tier="standard_only",
        seed=5,
        presence_penalty=None,
        stream=True,
    )
    assert (read.temperature, read.top_p, read.top_k, read.stop, read.user) == (0.3, 0.9, 5, ("END",), "u")
    assert (read.max_tokens, read.stream) == (100, True)
    assert read.rest == {"seed": 5, "service_tier": msgspec.Raw(b'"default"')}
