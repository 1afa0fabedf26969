"""A strict reading of InvokeModel for Claude: Anthropic's body without `model` and `stream`, with a version in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from apps.simulator import anthropic_request
from apps.simulator.anthropic_messages import expect
from apps.simulator.ask import Ask, Object
from apps.simulator.bedrock import service
from apps.simulator.bedrock.service import refuse
from apps.simulator.dialect import Request

# fmt: off
FIELDS = {
    "anthropic_version", "anthropic_beta", "messages", "max_tokens", "system", "temperature", "top_p", "top_k",
    "stop_sequences", "tools", "tool_choice", "thinking", "metadata", "output_config",
}
BETAS = {
    "compact-2026-01-12", "computer-use-2024-10-22", "computer-use-2025-01-24", "computer-use-2025-11-24",
    "context-1m-2025-08-07", "context-management-2025-06-27", "dev-full-thinking-2025-05-14", "effort-2025-11-24",
    "fine-grained-tool-streaming-2025-05-14", "interleaved-thinking-2025-05-14", "output-128k-2025-02-19",
    "token-efficient-tools-2025-02-19", "tool-examples-2025-10-29", "tool-search-tool-2025-10-19",
}
# fmt: on
# Fields and the betas of which one must come with them; with none they are unknown here.
BETA_FIELDS = {"context_management": {"context-management-2025-06-27", "compact-2026-01-12"}}
BETA_TOOL_FIELDS: dict[str, set[str]] = {
    "allowed_callers": set(),
    "defer_loading": {"tool-search-tool-2025-10-19"},
    "eager_input_streaming": set(),
    "input_examples": {"tool-examples-2025-10-29"},
}
EFFORT_BETA = "effort-2025-11-24"  # of one model; later ones do without
TIER, TIERS = b"x-amzn-bedrock-service-tier", ("priority", "default", "flex", "reserved")
VERSION = "bedrock-2023-05-31"
ELSEWHERE = re.compile(r"(?:web_search|web_fetch|code_execution|mcp_toolset|advisor)(?:_\d{8})?")


def read(request: Request, *, lenient: bool = False) -> Ask:
    """Raises Refused."""
    model = service.model(request)
    if not model.is_claude:
        refuse(f"The simulated provider has no body of its own for {model.family}'s models: ask them by Converse.")
    tier = request.headers.get(TIER, b"default").decode("latin-1")
    if tier not in TIERS:
        refuse(
            f"Value '{tier}' at 'serviceTier' failed to satisfy constraint: Member must satisfy enum value set: {TIERS}"
        )
    return understand(service.document(request.body), model=model, stream=service.head(request).stream, lenient=lenient)


def understand(document: Object, *, model: service.Model, stream: bool, lenient: bool = False) -> Ask:
    version = expect(document, "anthropic_version", str, required=True)
    if version != VERSION:
        refuse(f"anthropic_version: Input should be '{VERSION}'")
    betas = _betas(document)
    if not lenient:
        allowed = {name for name, wanted in BETA_FIELDS.items() if wanted & betas}
        anthropic_request.check_fields(document, fields=FIELDS | allowed)
        _check_tools(document, betas=betas)
        _check_cache_marks(document)
        if "task_budget" in (document.get("output_config") or {}):
            refuse("output_config.task_budget: Extra inputs are not permitted")
        if EFFORT_BETA not in betas and "opus-4-5" in model.id and document.get("output_config"):
            refuse("output_config: Extra inputs are not permitted")
    _check_sources(document)
    _check_roles(document)
    ask = anthropic_request.understand(document, model=model.id, stream=stream)
    return msgspec.structs.replace(ask, call_prefix="toolu_bdrk_01")


def _betas(document: Object) -> set[str]:
    betas = expect(document, "anthropic_beta", list) or []
    if not all(isinstance(beta, str) and beta in BETAS for beta in betas):
        refuse("invalid beta flag")
    return set(betas)


def _check_tools(document: Object, *, betas: set[str]) -> None:
    """What runs at Anthropic does not run here, and fields of a beta want the beta."""
    for index, tool in enumerate(document.get("tools") or []):
        if not isinstance(tool, dict):
            continue  # the common reading refuses it
        kind = str(tool.get("type", "custom"))
        if ELSEWHERE.fullmatch(kind):
            refuse(
                f"tools.{index}: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
                "'bash_20250124', 'custom', 'text_editor_20250728', 'tool_search_tool_regex_20251119'"
            )
        for name, wanted in BETA_TOOL_FIELDS.items():
            if name in tool and not wanted & betas:
                refuse(f"tools.{index}.custom.{name}: Extra inputs are not permitted")


def _check_cache_marks(document: Object) -> None:
    system, tools = document.get("system"), document.get("tools")
    named = [(f"system.{index}", each) for index, each in enumerate(system if isinstance(system, list) else [])]
    named += [(f"tools.{index}", each) for index, each in enumerate(tools if isinstance(tools, list) else [])]
    for at, block in (*named, *_blocks(document)):
        mark = block.get("cache_control") if isinstance(block, dict) else None
        if isinstance(mark, dict) and mark.keys() - {"type", "ttl"}:
            unknown = min(mark.keys() - {"type", "ttl"})
            refuse(f"{at}.cache_control.ephemeral.{unknown}: Extra inputs are not permitted")


def _check_sources(document: Object) -> None:
    """Bedrock fetches nothing, and knows no files."""
    for at, block in _blocks(document):
        source = block.get("source")
        kind = source.get("type") if isinstance(source, dict) else None
        if kind in ("url", "file"):
            refuse(
                f"{at}.{block.get('type')}.source: Input tag '{kind}' found using 'type' does not match any of the "
                "expected tags: 'base64', 'content', 'text'"
            )


def _check_roles(document: Object) -> None:
    for index, turn in enumerate(document.get("messages") or []):
        if isinstance(turn, dict) and turn.get("role") == "system":
            refuse(f"messages.{index}.role: role 'system' is not supported on this model")


def _blocks(document: Object) -> Iterator[tuple[str, Object]]:
    for index, turn in enumerate(document.get("messages") or []):
        yield from _within(turn, at=f"messages.{index}.content")


def _within(holder: object, *, at: str) -> Iterator[tuple[str, Object]]:
    content = holder.get("content") if isinstance(holder, dict) else None
    for index, block in enumerate(content if isinstance(content, list) else []):
        if isinstance(block, dict):
            yield f"{at}.{index}", block
            yield from _within(block, at=f"{at}.{index}.{block.get('type')}.content")
