"""What real agents send, in their own shapes, to every provider: two turns of each, with all that they bring along."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.matrix import cells
from tests.matrix.callers import anthropic_messages, openai_responses
from tests.matrix.wishes import PIXEL
from tests.sdk.gateways import Gateway
from tests.sdk.worlds import WEATHER_SCHEMA

CLAUDE = ("anthropic", "invoke", "converse")
BILLING = "x-anthropic-billing-header: cc_version=2.1.240; cc_entrypoint=cli; cch=00000;"
LONG = "mcp__plugin_enterprise-documentation-search_company-wide-knowledge-base__search_documents_by_similarity"
NAMES = (
    "Bash", "Edit", "Glob", "Grep", "NotebookEdit", "Read", "Task", "TodoWrite", "WebFetch", "Write", LONG,
    "get_weather",
)  # fmt: skip
EPHEMERAL = {"type": "ephemeral"}
BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,effort-2025-11-24"
HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": BETAS,
    "anthropic-dangerous-direct-browser-access": "true",
    "user-agent": "claude-cli/2.1.240 (external, cli)",
    "x-app": "cli",
    "x-claude-code-session-id": "0f4c2a34-0000-4000-8000-000000000000",
    "x-stainless-lang": "js",
}


def claude_code(model: str, turns: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    tools: list[dict[str, Any]] = [
        {"name": name, "description": f"{name}.", "input_schema": WEATHER_SCHEMA} for name in NAMES
    ]
    tools[-1]["cache_control"] = EPHEMERAL
    return {
        "model": model,
        "messages": turns,
        "system": [
            {"type": "text", "text": BILLING},
            {"type": "text", "text": "You are Claude Code.", "cache_control": EPHEMERAL},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ],
        "tools": tools,
        "metadata": {"user_id": json.dumps({"device_id": "0" * 64, "account_uuid": "", "session_id": "s"})},
        "max_tokens": 6000,
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
        **changes,
    }


def first_turn() -> list[dict[str, Any]]:
    reminder = {"type": "text", "text": "<system-reminder>today is 2026-11-21.</system-reminder>"}
    asked = {"type": "text", "text": "tell me the weather in Paris", "cache_control": EPHEMERAL}
    return [{"role": "user", "content": [reminder, asked]}]


def second_turn(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answer comes back as it was said, thinking and all; the result of its call holds text and an image."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    results = [
        {
            "type": "tool_result",
            "tool_use_id": block["id"],
            "content": [{"type": "text", "text": "18 degrees"}, image],
            "cache_control": EPHEMERAL,
        }
        for block in said
        if block["type"] == "tool_use"
    ]
    return [*first_turn(), {"role": "assistant", "content": said}, {"role": "user", "content": results}]


def ask(http: httpx2.Client, gateway: Gateway, path: str, body: Any, **headers: str) -> httpx2.Response:
    return http.post(path, content=json.dumps(body), headers={"authorization": f"Bearer {gateway.key}", **headers})


@pytest.mark.parametrize("upstream", cells.UPSTREAMS)
def test_claude_code_works_with_every_provider(gateway, provider, http, upstream):
    path = "/v1/messages?beta=true"
    answer = ask(http, gateway, path, claude_code(upstream, first_turn()), **HEADERS)  # no `stream` at all
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()["content"]
    first = anthropic_messages.read(answer, stream=False, relayed=True)
    assert first.stop == "tools"
    assert first.calls == [("get_weather", {"city": "Paris", "unit": "celsius"})]
    understood = provider.calls(last=1)[0]["understood"]
    assert len(understood["tools"]) == len(NAMES)
    assert (BILLING in understood["texts"]) == (upstream in CLAUDE)
    for text in ("You are Claude Code.", "Be brief."):
        assert any(text in told for told in understood["texts"])

    body = claude_code(upstream, second_turn(said), stream=True)
    second = ask(http, gateway, path, body, **HEADERS)
    assert second.status_code == 200, second.text
    told = anthropic_messages.read(second, stream=True, relayed=True)
    assert "18 degrees" in told.text
    understood = provider.calls(last=1)[0]["understood"]
    assert understood["results"] or any("18 degrees" in text for text in understood["texts"])
    assert understood["attachments"] == 1


@pytest.mark.parametrize("upstream", cells.UPSTREAMS)
def test_a_long_name_of_a_tool_comes_back_whole(gateway, http, upstream):
    turns = [{"role": "user", "content": "Use a tool."}]
    forced = {"type": "tool", "name": LONG}
    asked = claude_code(upstream, turns, tool_choice=forced, thinking={"type": "disabled"})
    del asked["context_management"]
    answer = ask(http, gateway, "/v1/messages", asked, **{"anthropic-version": "2023-06-01"})
    if upstream in CLAUDE and answer.status_code == 400:
        pytest.fail(answer.text)
    assert answer.status_code == 200, answer.text
    assert [block["name"] for block in answer.json()["content"] if block["type"] == "tool_use"] == [LONG]


@pytest.mark.parametrize("upstream", cells.UPSTREAMS)
def test_a_system_message_in_the_middle_reaches_the_model(gateway, provider, http, upstream):
    turns = [
        {"role": "user", "content": "Hello."},
        {"role": "system", "content": "Answer in French from now on."},
    ]
    answer = ask(http, gateway, "/v1/messages", claude_code(upstream, turns), **HEADERS)
    if answer.status_code == 400:  # relayed to a Claude that takes none: in the words by which Claude Code recovers
        assert upstream in ("anthropic", "invoke")
        assert "role" in answer.json()["error"]["message"]
        return
    assert answer.status_code == 200, answer.text
    assert any("Answer in French" in text for text in provider.calls(last=1)[0]["understood"]["texts"])


def codex(model: str, items: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    function = {"type": "function", "strict": False, "parameters": WEATHER_SCHEMA}
    tools = [{**function, "name": name, "description": f"{name}."} for name in ("shell", "update_plan", "get_weather")]
    nested = [{**function, "name": name, "description": f"{name}."} for name in ("search", "fetch")]
    return {
        "model": model,
        "instructions": "You are Codex.",
        "input": items,
        "tools": [
            *tools,
            {"type": "custom", "name": "apply_patch", "description": "Edits.", "format": {"type": "text"}},
            {"type": "namespace", "name": "mcp__docs", "description": "Documents.", "tools": nested},
            {"type": "web_search", "external_web_access": True},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0f4c2a34-0000-4000-8000-000000000000",
        "text": {"verbosity": "low"},
        **changes,
    }


def message(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


@pytest.mark.parametrize("upstream", cells.UPSTREAMS)
def test_codex_works_with_every_provider(gateway, provider, http, upstream):
    begun = [
        message("developer", "<permissions>read-only</permissions>"),
        message("user", "<environment_context><cwd>/src</cwd></environment_context>"),
        message("user", "tell me the weather in Paris"),
    ]
    headers = {"originator": "codex_cli_rs", "user-agent": "codex_cli_rs/0.130.0", "accept": "text/event-stream"}
    answer = ask(http, gateway, "/v1/responses", codex(upstream, begun), **headers)
    assert answer.status_code == 200, answer.text
    items = done(answer)
    calls = [item for item in items if item["type"] == "function_call"]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
        ("get_weather", {"city": "Paris", "unit": "celsius"})
    ]
    output = {"type": "function_call_output", "call_id": calls[0]["call_id"], "output": "18 degrees"}
    again = ask(http, gateway, "/v1/responses", codex(upstream, [*begun, *items, output]), **headers)
    assert again.status_code == 200, again.text
    texts = [part["text"] for item in done(again) if item["type"] == "message" for part in item["content"]]
    assert "18 degrees" in "".join(texts)
    understood = provider.calls(last=1)[0]["understood"]
    assert any("You are Codex." in text for text in understood["texts"])
    assert any("read-only" in text for text in understood["texts"])
    assert {"get_weather", "shell", "update_plan", "apply_patch"} <= {tool["name"] for tool in understood["tools"]}


def done(answer: httpx2.Response) -> list[dict[str, Any]]:
    """The whole items, which is all that Codex keeps."""
    told = [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: {")]
    assert told[-1]["type"] == "response.completed", told[-1]
    assert told[-1]["response"]["id"]
    assert set(told[-1]["response"]["usage"]) >= {"input_tokens", "output_tokens", "total_tokens"}
    openai_responses.read(answer, stream=True, relayed=True)
    return [data["item"] for data in told if data["type"] == "response.output_item.done"]
