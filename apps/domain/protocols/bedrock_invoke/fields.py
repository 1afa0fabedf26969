"""What Bedrock takes of an Anthropic request. Its list is closed: a field that it does not know is a 400.

A beta and the fields that it opens go together or not at all.
"""

from __future__ import annotations

from functools import partial

from apps.domain.protocols import splice

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
# Fields that want one of these betas; of those without any Bedrock knows none.
_PAIRED = {"context_management": frozenset({"context-management-2025-06-27", "compact-2026-01-12"})}
_PAIRED_OF_TOOLS: dict[str, frozenset[str]] = {
    "allowed_callers": frozenset(),
    "defer_loading": frozenset({"tool-search-tool-2025-10-19"}),
    "eager_input_streaming": frozenset(),
    "input_examples": frozenset({"tool-examples-2025-10-29"}),
}
_NOT_OF_OUTPUT = ("task_budget",)
_SAID_ELSEWHERE = frozenset({"anthropic_beta", "model", "stream"})
DEEPER = frozenset(
    {
        "cache_control.scope",
        *(f"output_config.{name}" for name in _NOT_OF_OUTPUT),
        *(f"tools.{name}" for name in _PAIRED_OF_TOOLS),
    }
)
"""What may be lost of a member that goes."""
_NOTHING = (b"null", b"false")
_SCOPE = b'"scope"'  # of a cache mark: prompt-caching-scope-2026-01-05
_OF_TOOLS = (_SCOPE, *(name.encode() for name in _PAIRED_OF_TOOLS))


def unknown(members: splice.Members, betas: list[str]) -> set[str]:
    """The members of a body that must go."""
    unpaired = {name for name, wanted in _PAIRED.items() if wanted.isdisjoint(betas)}
    return {name for name in members.values if name not in _FIELDS or name in unpaired}


def lost(members: splice.Members, gone: set[str]) -> set[str]:
    """Those of the members that went that asked for something, and went nowhere else."""
    return {name for name in gone - _SAID_ELSEWHERE if members.raw(name) not in _NOTHING and name != "output_format"}


def changes(members: splice.Members, betas: list[str], *, messages: bytes, lost: set[str]) -> dict[str, bytes]:
    """Members in which something must go that lies deeper; it is added to `lost`."""
    changed: dict[str, bytes] = {}
    for name, value, words, fitted in (
        ("system", members.raw("system"), (_SCOPE,), partial(_without_scope, lost=lost)),
        ("messages", messages, (_SCOPE,), partial(_fitted_message, lost=lost)),
        ("tools", members.raw("tools"), _OF_TOOLS, partial(_fitted_tool, betas=betas, lost=lost)),
    ):
        if value is not None and value.startswith(b"[") and any(word in value for word in words):
            changed[name] = splice.edit_items(value, fitted)
    if old := _as_object(members.raw("output_format")):
        changed["output_config"] = splice.edit(_as_object(members.raw("output_config")) or b"{}", {"format": old})
    config = _as_object(changed.get("output_config") or members.raw("output_config"))
    if config is not None and any(name.encode() in config for name in _NOT_OF_OUTPUT):
        changed["output_config"] = splice.edit(config, {}, without=_NOT_OF_OUTPUT)
        lost.update(f"output_config.{name}" for name in _NOT_OF_OUTPUT if name in splice.read(config).values)
    return changed


def _fitted_tool(tool: bytes, *, betas: list[str], lost: set[str]) -> bytes:
    tool = _without_scope(tool, lost=lost)
    if not any(name.encode() in tool for name in _PAIRED_OF_TOOLS):
        return tool
    members = splice.read(tool)
    gone = [name for name, wanted in _PAIRED_OF_TOOLS.items() if name in members.values and wanted.isdisjoint(betas)]
    lost.update(f"tools.{name}" for name in gone)
    return members.edit({}, without=gone) if gone else tool


def _fitted_message(message: bytes, *, lost: set[str]) -> bytes:
    if _SCOPE not in message:
        return message
    content = splice.read(message).raw("content") or b""
    if not content.startswith(b"["):
        return message
    return splice.edit(message, {"content": splice.edit_items(content, partial(_without_scope, lost=lost))})


def _without_scope(block: bytes, *, lost: set[str]) -> bytes:
    if _SCOPE not in block or not block.startswith(b"{"):
        return block
    mark = _as_object(splice.read(block).raw("cache_control"))
    if mark is None or _SCOPE not in mark:
        return block
    lost.add("cache_control.scope")
    return splice.edit(block, {"cache_control": splice.edit(mark, {}, without=("scope",))})


def _as_object(raw: bytes | None) -> bytes | None:
    return raw if raw is not None and raw.startswith(b"{") else None
