"""A request of another dialect as InvokeModel takes it for Claude."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from apps.domain import chat
from apps.domain.errors import TakesNoURL
from apps.domain.protocols import bedrock_tiers
from apps.domain.protocols.anthropic_messages import models, request, words
from apps.domain.protocols.contract import Headers, Target

VERSION = "bedrock-2023-05-31"
WORDS = {**words.TAKEN, "service_tier": (bedrock_tiers.HEADER,)}
# Whether Bedrock takes `role: system` among the messages is contested; told so by the catalog, it does.
_CONTESTED = frozenset({"system_messages"})


def write(asked: chat.ChatRequest, target: Target) -> dict[str, Any]:
    """Raises InvalidRequest where Anthropic or Bedrock has no equivalent."""
    for message in asked.messages:
        _check_sources(message.content)
    known = models.capabilities(target.model, given=target.capabilities)
    capabilities = known - (_CONTESTED - target.capabilities)
    body = request.write(asked, msgspec.structs.replace(target, capabilities=capabilities))
    del body["model"]
    body.pop("stream", None)
    return {"anthropic_version": VERSION} | body


def headers(asked: chat.ChatRequest) -> Headers:
    return bedrock_tiers.headers(asked.rest.get("service_tier"))


def _check_sources(blocks: Iterable[chat.Block]) -> None:
    """Bedrock fetches nothing. Raises TakesNoURL."""
    for block in blocks:
        match block:
            case chat.ToolResult(content=content):
                _check_sources(content)
            case chat.Image(source=source) | chat.Document(source=source) if source.kind == "url":
                raise TakesNoURL("images" if isinstance(block, chat.Image) else "documents")
