"""Requests as Converse gets them from callers of both dialects, and streams as it sends them."""

from __future__ import annotations

import json
from typing import Any

from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Exchange, Target

ANTHROPIC, OPENAI = "anthropic_messages", "openai_chat"
CLAUDE, NOVA, LLAMA, OSS = (
    Target(protocol="bedrock_converse", model=model, max_output_tokens=1000)
    for model in (
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "amazon.nova-pro-v1:0",
        "us.meta.llama3-3-70b-instruct-v1:0",
        "openai.gpt-oss-120b-1:0",
    )
)
ASK: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}


def opened(client: str = ANTHROPIC, *, target: Target = NOVA, **fields: Any) -> Exchange:
    call = registry.CLIENTS[client].read_request(json.dumps(ASK | fields).encode())
    return exchange.open(call, target, request_id="req_ab12", created=1)


def sent(client: str = ANTHROPIC, *, target: Target = NOVA, **fields: Any) -> dict[str, Any]:
    return json.loads(opened(client, target=target, **fields).body)


def blocks(*content: dict[str, Any], target: Target = NOVA) -> list[dict[str, Any]]:
    """What becomes of a user's blocks."""
    return sent(target=target, messages=[{"role": "user", "content": list(content)}])["messages"][0]["content"]


def streaming(client: str = ANTHROPIC, *, target: Target = NOVA) -> Exchange:
    options = {"stream_options": {"include_usage": True}} if client == OPENAI else {}
    return opened(client, target=target, stream=True, **options)
