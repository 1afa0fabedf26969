"""Recorded traffic of real providers, read where it lies (see `tests.domain.test_recordings`)."""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from tests.domain.test_recordings import ABSENT, ROOT

PROTOCOLS = {
    "anthropic": "anthropic_messages",
    "openai_chat": "openai_chat",
    "openai_responses": "openai_responses",
    "bedrock_invoke": "bedrock_invoke",
    "bedrock_converse": "bedrock_converse",
    "ollama": "ollama_chat",
}
NOT_CHATS = ("count_tokens", "count-tokens", "/api/generate")


class Recording(msgspec.Struct):
    id: str
    dialect: str
    stream: bool
    request: dict[str, Any]
    response: dict[str, Any]

    @property
    def protocol(self) -> str:
        return PROTOCOLS[self.dialect]

    @property
    def status(self) -> int:
        return int(self.response["status"])

    @property
    def media(self) -> str:
        return str(self.response["headers"].get("content-type", "application/json"))

    @property
    def body(self) -> bytes:
        if "body_base64" in self.response:
            return base64.b64decode(self.response["body_base64"])
        return str(self.response["body_text"]).encode()


def recordings(
    folders: Collection[str] = tuple(PROTOCOLS), *, stream: bool | None = None, ok: bool | None = None
) -> Any:
    """Parameters: one recording each, or one that says why there is none."""
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).glob("*.json")):
            recording = msgspec.json.decode(path.read_bytes(), type=Recording)
            if any(word in recording.request["path"] for word in NOT_CHATS):
                continue
            if stream in (None, recording.stream) and ok in (None, recording.status == 200):
                found.append(pytest.param(recording, id=f"{folder}-{path.stem}"))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))]
