"""A request of another dialect as InvokeModel takes it for Claude."""

from __future__ import annotations

import msgspec

from apps.domain import chat
from apps.domain.protocols.anthropic_messages import models, request
from apps.domain.protocols.contract import Target

VERSION = "bedrock-2023-05-31"
# Whether Bedrock takes `role: system` among the messages is contested; told so by the catalog, it does.
_CONTESTED = frozenset({"system_messages"})


def write_request(asked: chat.ChatRequest, target: Target) -> bytes:
    """Raises InvalidRequest where Anthropic has no equivalent."""
    known = models.capabilities(target.model, given=target.capabilities)
    capabilities = known - (_CONTESTED - target.capabilities)
    body = request.write(asked, msgspec.structs.replace(target, capabilities=capabilities))
    del body["model"]
    body.pop("stream", None)
    return msgspec.json.encode({"anthropic_version": VERSION} | body)
