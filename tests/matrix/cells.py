"""What each pair of a caller's dialect and an upstream's owes to each feature. The tests hold reality to it, and
docs/compatibility.md shows it."""

from __future__ import annotations

from typing import Literal

import msgspec

from tests.matrix.wishes import FEATURES, Expected, Feature

Kind = Literal["whole", "partly", "refused", "unsayable"]

CLIENTS = ("anthropic_messages", "openai_chat", "openai_responses", "openai_completions")
UPSTREAMS = ("anthropic", "openai", "responses", "invoke", "converse", "ollama")
_CLAUDE = ("anthropic", "invoke", "converse")
_COMPLETIONS_SAYS = {
    "text", "stop sequence", "max tokens", "refusal", "cache usage", "error before", "error mid-stream",
    "context overflow",
}  # fmt: skip


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """`why` is for people: what is missing, and whose words lack it. `expected` is what holds here."""

    kind: Kind
    expected: Expected
    why: str = ""
    blames: str = ""  # a refused one's field


def cell(client: str, upstream: str, feature: Feature) -> Cell:
    unsayable = _unsayable(client, feature.name)
    if unsayable:
        return Cell(kind="unsayable", expected=feature.expected, why=unsayable)
    changes = _changes(client, upstream, feature.name)
    if "blames" in changes:
        return Cell(kind="refused", expected=feature.expected, why=changes["why"], blames=changes["blames"])
    why = changes.pop("why", "")
    expected = msgspec.structs.replace(feature.expected, **changes)
    return Cell(kind="partly" if why else "whole", expected=expected, why=why)


def cells() -> dict[tuple[str, str, str], Cell]:
    return {
        (client, upstream, feature.name): cell(client, upstream, feature)
        for client in CLIENTS
        for upstream in UPSTREAMS
        for feature in FEATURES
    }


def _unsayable(client: str, feature: str) -> str:
    if client == "openai_completions" and feature not in _COMPLETIONS_SAYS:
        return "legacy completions have no words for it"
    if client == "openai_responses" and feature == "stop sequence":
        return "Responses has no stop strings"
    if client == "openai_chat" and feature == "document by URL":
        return "Chat has no words for a document by URL"
    return ""


def _changes(client: str, upstream: str, feature: str) -> dict[str, object]:
    """What differs here from the feature's own promise; `why` where something is lost."""
    if feature in ("document", "document by URL") and upstream == "ollama":
        return {"blames": "document", "why": "Ollama takes no PDF files"}
    if feature == "stop sequence" and upstream == "responses":
        return {"blames": "stop", "why": "OpenAI's Responses takes no stop strings"}
    if feature == "stop sequence":
        if client == "anthropic_messages" and upstream in _CLAUDE:
            return {}
        if client == "anthropic_messages":
            return {"stop": "end", "why": "this upstream does not tell a stop string from an end"}
        return {"stop": "end"}  # OpenAI's callers know no difference
    if feature in ("thinking", "redacted thinking") and (client, upstream) == ("openai_chat", "responses"):
        return {
            "thinks": False,
            "redacts": False,
            "why": "Chat has no words to ask Responses for a summary of its thoughts",
        }
    if feature == "redacted thinking" and upstream not in _CLAUDE:
        return {"redacts": False, "why": "this upstream redacts nothing"}
    if feature == "refusal" and upstream == "ollama":
        return {"stop": "end", "why": "Ollama has no word for a refusal"}
    if feature == "cache usage" and upstream == "ollama":
        return {"caches": False, "why": "Ollama does not tell what it had cached"}
    return {}
