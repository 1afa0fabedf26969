"""What a request needs, in every dialect; what only looks like it is none."""

from __future__ import annotations

import json

import pytest

from apps.domain import estimate
from apps.domain.protocols import registry
from apps.domain.routing import needs

SAID = [{"role": "user", "content": "hi"}]
PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
URL = {"type": "image_url", "image_url": {"url": "https://h/a.png"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


def user(*parts):
    return {"messages": [{"role": "user", "content": list(parts)}]}


def read(dialect, fields, *, raw=None):
    body = {"model": "m", **({"max_tokens": 9} if dialect == "anthropic_messages" else {}), **fields}
    if dialect.startswith("anthropic") or dialect == "openai_chat":
        body.setdefault("messages", SAID)
    encoded = raw or json.dumps(body).encode()
    call = registry.CLIENTS[dialect].read_request(encoded)
    return needs.of(call, prompt_bytes=estimate.prompt_bytes(encoded))


@pytest.mark.parametrize(
    ("dialect", "fields", "abilities", "thinks"),
    [
        ("anthropic_messages", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "", True),
        ("anthropic_messages", {"thinking": {"type": "disabled"}, "tools": []}, "", False),
        (
            "anthropic_messages",
            {"tools": [{"name": "f", "input_schema": {}}], "stream": True},
            "tools streaming",
            False,
        ),
        ("anthropic_messages", {"output_config": {"format": {"type": "json_schema"}}}, "structured_outputs", False),
        ("anthropic_messages", user({"type": "image", "source": PNG}), "vision", False),
        (
            "anthropic_messages",
            user({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": PNG}]}),
            "vision",
            False,
        ),
        ("anthropic_messages", user({"type": "document", "source": {"type": "url", "url": "u"}}), "documents", False),
        ("anthropic_messages", user({"type": "document", "source": {"type": "text", "data": "x"}}), "", False),
        ("anthropic_messages", user({"type": "text", "text": '{"type": "image"}, "document"'}), "", False),
        ("openai_chat", {"response_format": SCHEMA, "reasoning_effort": "low"}, "structured_outputs", True),
        ("openai_chat", {"response_format": {"type": "json_object"}, "reasoning_effort": "none"}, "", False),
        ("openai_chat", user(URL, {"type": "file", "file": {"file_id": "f"}}), "vision documents", False),
        ("openai_chat", {"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", False),
        (
            "openai_responses",
            {
                "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}],
                "reasoning": {"effort": "high"},
                "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
            },
            "vision structured_outputs",
            True,
        ),
        (
            "openai_responses",
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}], "stream": True},
            "documents streaming",
            False,
        ),
        ("openai_completions", {"prompt": 'an "image"', "stream": True}, "streaming", False),
        ("prompt", {"prompt": 'an "image_url" and a "file"'}, "", False),
        ("openai_embeddings", {"input": "an image"}, "embeddings", False),
    ],
)
def test_what_a_call_needs_is_read_from_it(dialect, fields, abilities, thinks):
    found = read(dialect, fields)
    assert (found.abilities, found.thinks) == (frozenset(abilities.split()), thinks)


def test_an_image_in_escapes_is_an_image_and_its_tokens_count():
    raw = json.dumps({"model": "m", "max_tokens": 9, **user({"type": "image", "source": PNG})})
    found = read("anthropic_messages", {}, raw=raw.replace('"image"', '"\\u0069m\\u0061ge"').encode())
    assert found.abilities == {"vision"}
    assert found.tokens > 10
    assert found.max_tokens == 9
