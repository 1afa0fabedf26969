"""What Bedrock takes of an Anthropic request. Its list is closed: a field or a beta that it does not know is a 400.

A beta and the fields that it opens go together or not at all.
"""

from __future__ import annotations

import msgspec

from apps.domain.errors import InvalidRequest
from apps.domain.protocols import splice
from apps.domain.protocols.contract import ClientCall

_FIELDS = frozenset(
    {
        "anthropic_beta",
        "anthropic_version",
        "context_management",
        "max_tokens",
        "messages",
        "metadata",
        "output_config",
        "stop_sequences",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
# As Anthropic calls them, and Bedrock.
_BETAS = {
    "advanced-tool-use-2025-11-20": "tool-search-tool-2025-10-19",
    "compact-2026-01-12": "compact-2026-01-12",
    "computer-use-2024-10-22": "computer-use-2024-10-22",
    "computer-use-2025-01-24": "computer-use-2025-01-24",
    "computer-use-2025-11-24": "computer-use-2025-11-24",
    "context-1m-2025-08-07": "context-1m-2025-08-07",
    "context-management-2025-06-27": "context-management-2025-06-27",
    "interleaved-thinking-2025-05-14": "interleaved-thinking-2025-05-14",
    "token-efficient-tools-2025-02-19": "token-efficient-tools-2025-02-19",
    "tool-examples-2025-10-29": "tool-examples-2025-10-29",
    "tool-search-tool-2025-10-19": "tool-search-tool-2025-10-19",
}
# Later models have what it opens without it, and earlier ones have it not.
_BETAS_OF_MODELS = {"effort-2025-11-24": "claude-opus-4-5"}
# Fields that want one of these betas; of those without any Bedrock knows none.
_PAIRED = {"context_management": frozenset({"context-management-2025-06-27", "compact-2026-01-12"})}
_PAIRED_OF_TOOLS: dict[str, frozenset[str]] = {
    "allowed_callers": frozenset(),
    "defer_loading": frozenset({"tool-search-tool-2025-10-19"}),
    "eager_input_streaming": frozenset(),
    "input_examples": frozenset({"tool-examples-2025-10-29"}),
}
_NOT_OF_OUTPUT = ("task_budget",)
_SCOPE = b'"scope"'  # of a cache mark: prompt-caching-scope-2026-01-05
_OF_TOOLS = (_SCOPE, *(name.encode() for name in _PAIRED_OF_TOOLS))


def betas(call: ClientCall, *, model: str) -> list[str]:
    """Those that Bedrock's model knows of the ones asked for, by header or in the body. Raises InvalidRequest."""
    asked = call.headers.get(b"anthropic-beta", b"").decode("latin-1").split(",")
    raw = call.wire.members.raw("anthropic_beta")
    if raw is not None:
        try:
            asked += msgspec.json.decode(raw, type=list[str])
        except msgspec.ValidationError as error:
            raise InvalidRequest("anthropic_beta: Input should be a valid list", param="anthropic_beta") from error
    known = _BETAS | {name: name for name, of in _BETAS_OF_MODELS.items() if of in model}
    return list(dict.fromkeys(known[name] for one in asked if (name := one.strip()) in known))


def unknown(members: splice.Members, betas: list[str]) -> set[str]:
    """The members of a body that must go."""
    unpaired = {name for name, wanted in _PAIRED.items() if wanted.isdisjoint(betas)}
    return {name for name in members.values if name not in _FIELDS or name in unpaired}


def changes(members: splice.Members, betas: list[str], *, messages: bytes) -> dict[str, bytes]:
    """Members in which something must go that lies deeper."""
    changed: dict[str, bytes] = {}
    for name, value, words, fitted in (
        ("system", members.raw("system"), (_SCOPE,), _without_scope),
        ("messages", messages, (_SCOPE,), _fitted_message),
        ("tools", members.raw("tools"), _OF_TOOLS, lambda tool: _fitted_tool(_without_scope(tool), betas)),
    ):
        if value is not None and value.startswith(b"[") and any(word in value for word in words):
            changed[name] = splice.edit_items(value, fitted)
    if old := _as_object(members.raw("output_format")):
        changed["output_config"] = splice.edit(_as_object(members.raw("output_config")) or b"{}", {"format": old})
    config = _as_object(changed.get("output_config") or members.raw("output_config"))
    if config is not None and any(name.encode() in config for name in _NOT_OF_OUTPUT):
        changed["output_config"] = splice.edit(config, {}, without=_NOT_OF_OUTPUT)
    return changed


def _fitted_tool(tool: bytes, betas: list[str]) -> bytes:
    found = [name for name, wanted in _PAIRED_OF_TOOLS.items() if name.encode() in tool and wanted.isdisjoint(betas)]
    return splice.edit(tool, {}, without=found) if found else tool


def _fitted_message(message: bytes) -> bytes:
    if _SCOPE not in message:
        return message
    content = splice.read(message).raw("content") or b""
    if not content.startswith(b"["):
        return message
    return splice.edit(message, {"content": splice.edit_items(content, _without_scope)})


def _without_scope(block: bytes) -> bytes:
    if _SCOPE not in block or not block.startswith(b"{"):
        return block
    mark = _as_object(splice.read(block).raw("cache_control"))
    return block if mark is None else splice.edit(block, {"cache_control": splice.edit(mark, {}, without=("scope",))})


def _as_object(raw: bytes | None) -> bytes | None:
    return raw if raw is not None and raw.startswith(b"{") else None
