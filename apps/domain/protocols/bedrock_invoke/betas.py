"""Betas of Anthropic's that Bedrock knows. Its list is closed: another one is a 400."""

from __future__ import annotations

import msgspec

from apps.domain.errors import InvalidRequest
from apps.domain.protocols.contract import ClientCall

# As Anthropic calls them, and Bedrock.
_KNOWN = {
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
_ELSEWHERE = frozenset(
    {
        "advisor-tool-2026-03-01", "cache-diagnosis-2026-04-07", "claude-code-20250219", "code-execution-2025-05-22",
        "compact-2026-09-04", "dev-full-thinking-2025-05-14", "extended-cache-ttl-2025-04-11", "fast-mode-2026-02-01",
        "files-api-2025-04-14", "fine-grained-tool-streaming-2025-05-14", "inline-tools-2026-09-15",
        "mcp-client-2025-04-04", "mcp-client-2025-11-20", "mcp-client-2026-09-15", "message-threads-2026-08-12",
        "mid-conversation-output-config-2026-07-01", "mid-conversation-system-clear-at-2026-08-21",
        "mid-conversation-tool-changes-2026-07-01", "model-context-window-exceeded-2025-08-26", "oauth-2025-04-20",
        "output-128k-2025-02-19", "output-300k-2026-03-24", "pdfs-2024-09-25", "prompt-caching-2024-07-31",
        "prompt-caching-scope-2026-01-05", "server-side-fallback-2026-06-01", "server-side-fallback-2026-07-01",
        "skills-2025-10-02", "structured-outputs-2025-11-13", "task-budgets-2026-03-13",
        "thinking-binding-controls-2026-08-01", "thinking-display-updates-2026-08-18",
        "thinking-token-count-2026-05-13", "token-counting-2024-11-01",
    }
)  # fmt: skip
# Later models have what it opens without it, and earlier ones have it not.
_OF_MODELS = {"effort-2025-11-24": "claude-opus-4-5"}


def asked(call: ClientCall) -> list[str]:
    """By header or in the body. Raises InvalidRequest."""
    names = call.headers.get(b"anthropic-beta", b"").decode("latin-1").split(",")
    raw = call.wire.members.raw("anthropic_beta")
    if raw is not None:
        try:
            names += msgspec.json.decode(raw, type=list[str])
        except msgspec.ValidationError as error:
            raise InvalidRequest("anthropic_beta: Input should be a valid list", param="anthropic_beta") from error
    return list(dict.fromkeys(name for one in names if (name := one.strip())))


def known(asked: list[str], *, model: str) -> list[str]:
    """Those that Bedrock's model knows, as it calls them."""
    theirs = _KNOWN | {name: name for name, of in _OF_MODELS.items() if of in model}
    return list(dict.fromkeys(theirs[name] for name in asked if name in theirs))


def lost(asked: list[str]) -> tuple[str, ...]:
    """For the ledger: those that do not go, but for the one that most models do without. Names that nobody documents
    are the caller's own words, so they are only counted."""
    gone = [name for name in asked if name not in _KNOWN and name not in _OF_MODELS]
    documented = [name for name in gone if name in _ELSEWHERE]
    unknown = len(gone) - len(documented)
    told = ", ".join([*documented, *([f"{unknown} unknown"] if unknown else [])])
    return (f"dropped betas: {told}",) if told else ()
