"""The calls of the benchmark, as bytes: what an SDK would send, ready to be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

Dialect = Literal["anthropic", "openai", "responses", "bedrock"]
Mode = Literal["call", "stream", "long", "idle", "paced"]
# The client's dialect → the upstream's.
Pair = Literal[
    "anthropic→anthropic",
    "openai→openai",
    "anthropic→openai",
    "openai→anthropic",
    "responses→anthropic",
    "anthropic→bedrock",
]

EVENTS = 53
LONG_EVENTS = 253
PATHS: dict[Dialect, str] = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
}
LAST_EVENTS: dict[Dialect, bytes] = {
    "anthropic": b"event: message_stop",
    "openai": b"data: [DONE]",
    "responses": b"}}\n\n",  # its last event is long, so what it is called has gone by
}
IDLE_MODEL = "claude-stall-after-2"
PACED_WORDS = "clock-tokens-150-pace-20"  # 50 events a second for three, each with the moment that it left
LONG_MODEL = "claude-tokens-247"  # and six events around them
# Callers' names: where they are served, and under which name. The words in it are the simulator's script.
MODELS: dict[str, tuple[Dialect, str]] = {
    "claude-53": ("anthropic", "claude-53"),
    "gpt-53": ("openai", "gpt-53"),
    "claude-translated-53": ("openai", "gpt-53"),
    "gpt-translated-53": ("anthropic", "claude-53"),
    "claude-bedrock-53": ("bedrock", "anthropic.claude-53"),
    IDLE_MODEL: ("anthropic", IDLE_MODEL),
    LONG_MODEL: ("anthropic", LONG_MODEL),
    f"claude-{PACED_WORDS}": ("anthropic", f"claude-{PACED_WORDS}"),
    f"claude-translated-{PACED_WORDS}": ("openai", f"gpt-{PACED_WORDS}"),
}
PAIRS: dict[Pair, tuple[Dialect, str]] = {
    "anthropic→anthropic": ("anthropic", "claude-53"),
    "openai→openai": ("openai", "gpt-53"),
    "anthropic→openai": ("anthropic", "claude-translated-53"),
    "openai→anthropic": ("openai", "gpt-translated-53"),
    "responses→anthropic": ("responses", "gpt-translated-53"),
    "anthropic→bedrock": ("anthropic", "claude-bedrock-53"),
}
PACED_PAIRS: dict[Pair, tuple[Dialect, str]] = {
    "anthropic→anthropic": ("anthropic", f"claude-{PACED_WORDS}"),
    "anthropic→openai": ("anthropic", f"claude-translated-{PACED_WORDS}"),
}
SYSTEM = (
    "You are the support assistant of a small software company. Answer briefly and in a friendly tone, quote the "
    "section of the handbook that you rely on, and say so plainly when you do not know. Never promise a refund."
)
TURNS = (
    "Hello! Our build has been failing since this morning with a message about a missing signature. What changed?",
    "Good morning! The signing certificates were renewed at midnight (handbook, section 4.2). Please fetch the new "
    "bundle and run the build again. Does the message name a package?",
    "It names the package `transport-core`, version 4.1.7. We fetched the bundle ten minutes ago, and two of the three "
    "builders are green again; the third one still shows the old fingerprint. Is there a cache that we should clear?",
)


@dataclass(frozen=True)
class Call:
    """A request, and the bytes in which the end of a complete answer shows."""

    request: bytes
    ending: bytes


def call(dialect: Dialect, mode: Mode, *, model: str, key: str, extra: tuple[tuple[str, str], ...] = ()) -> Call:
    """`extra` headers; `mode` decides whether the answer is streamed."""
    streamed = mode != "call"
    document: dict[str, Any] = {"model": model, "max_tokens": 1024, "stream": streamed}
    messages = [{"role": ("user", "assistant")[turn % 2], "content": text} for turn, text in enumerate(TURNS)]
    if dialect == "anthropic":
        document |= {"system": SYSTEM, "messages": messages}
        identity = [("x-api-key", key), ("anthropic-version", "2023-06-01")]
    elif dialect == "responses":
        items = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
        document = {"model": model, "max_output_tokens": 1024, "stream": streamed, "store": False}
        document |= {"instructions": SYSTEM, "input": items}
        identity = [("authorization", f"Bearer {key}")]
    else:
        document["messages"] = [{"role": "system", "content": SYSTEM}, *messages]
        identity = [("authorization", f"Bearer {key}")]
        if streamed:
            document["stream_options"] = {"include_usage": True}
    body = msgspec.json.encode(document)
    headers = [
        ("host", "127.0.0.1"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("user-agent", "weir-bench/1"),
        *identity,
        *extra,
        ("content-length", str(len(body))),
    ]
    lines = [f"POST {PATHS[dialect]} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return Call(request="\r\n".join(lines).encode() + body, ending=LAST_EVENTS[dialect] if streamed else b"}")
