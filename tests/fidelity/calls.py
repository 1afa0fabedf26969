"""Small calls in each dialect, as bytes."""

from __future__ import annotations

import json
from typing import Any

PATHS = {
    "anthropic_messages": "/v1/messages",
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "openai_completions": "/v1/completions",
    "prompt": "/chat",
    "openai_embeddings": "/v1/embeddings",
}
HELLO: dict[str, dict[str, Any]] = {
    "anthropic_messages": {"max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]},
    "openai_chat": {"messages": [{"role": "user", "content": "Say hello."}]},
    "openai_responses": {"input": "Say hello."},
    "openai_completions": {"prompt": "Say hello."},
    "prompt": {"prompt": "Say hello."},
}
USAGE = {"stream_options": {"include_usage": True}}


def body(client: str, *, model: str, stream: bool) -> bytes:
    """One that wants to be told of usage."""
    wanted = USAGE if stream and client in ("openai_chat", "openai_completions") else {}
    return json.dumps({"model": model, **HELLO[client], "stream": stream, **wanted}).encode()
