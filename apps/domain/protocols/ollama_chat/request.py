"""The canonical form to the body of `POST /api/chat`."""

from __future__ import annotations

from typing import Any

from apps.domain.chat import ChatRequest, Tool
from apps.domain.protocols.contract import Target
from apps.domain.protocols.ollama_chat import messages, reasoning

NAME = "ollama_chat"

_PLAIN_OPTIONS = ("seed", "frequency_penalty", "presence_penalty")  # the canonical form has no place for them
WORDS: dict[str, tuple[str, ...]] = {
    "tool_choice": (),  # told by the tools that are offered
    "tool_choice.any": ("tool_choice",),
    "reasoning": (),  # who cannot think is not asked to, and who can does unasked
    "format": ("format",),
    **{name: (f"options.{name}",) for name in ("temperature", "top_p", "top_k", "stop", *_PLAIN_OPTIONS)},
}


def write(chat: ChatRequest, target: Target) -> dict[str, Any]:
    """Raises InvalidRequest for content that Ollama cannot be given.

    `stream` is always there, as it streams unless told not to. Without `num_ctx` and `truncate` a long prompt would
    be cut at the front, and nobody told.
    """
    max_tokens = min((count for count in (chat.max_tokens, target.max_output_tokens) if count), default=None)
    body: dict[str, Any] = {
        "model": target.model,
        "messages": messages.write(chat.system, chat.messages),
        "stream": chat.stream,
        "truncate": False,
    }
    think = reasoning.write(
        chat.reasoning, max_tokens=max_tokens or 0, model=target.model, capabilities=target.capabilities
    )
    if think is not None:
        body["think"] = think
    if chat.format is not None:
        body["format"] = "json" if chat.format.schema is None else chat.format.schema
    if tools := [_write_tool(tool) for tool in _callable(chat)]:
        body["tools"] = tools
    if options := _options(chat, target, max_tokens=max_tokens):
        body["options"] = options
    return body


def _options(chat: ChatRequest, target: Target, *, max_tokens: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {"num_ctx": target.context_tokens or None, "num_predict": max_tokens}
    if "no_sampling" not in target.capabilities:
        options |= {"temperature": chat.temperature, "top_p": chat.top_p, "top_k": chat.top_k}
    options["stop"] = list(chat.stop) or None
    options |= {name: chat.rest.get(name) for name in _PLAIN_OPTIONS}
    return {name: value for name, value in options.items() if value is not None}


def _callable(chat: ChatRequest) -> list[Tool]:
    """There is no choice of tools: who may call none is shown none, who must call one is shown that one. Another
    vendor's server tools are left out: nobody here could run them."""
    tools = [tool for tool in chat.tools if tool.raw is None]
    choice = chat.tool_choice
    if choice is None or choice.mode not in ("none", "tool"):
        return tools
    return [tool for tool in tools if choice.mode == "tool" and tool.name == choice.name]


def _write_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description or ""}
    function["parameters"] = tool.schema or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}
