"""The models that are listed: the demo's, and some that say what they do. Any other name is served as well."""

from __future__ import annotations

from urllib.parse import unquote

from apps.simulator.ask import Object
from apps.simulator.dialect import Request

NAMES = (
    "claude-opus-4-5", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-simulated", "claude-simulated-thinking",
    "gpt-5", "gpt-5-mini", "gpt-4.1", "gpt-simulated", "gpt-simulated-long", "gpt-3.5-turbo-instruct",
    "text-embedding-3-small", "text-embedding-3-large", "llama3.2:latest", "qwen3:8b", "nomic-embed-text:latest",
)  # fmt: skip
SINCE = 1_767_225_600  # 2026-01-01
SINCE_TEXT = "2026-01-01T00:00:00Z"


def anthropic_list(request: Request) -> Object:
    data = [_anthropic(name) for name in NAMES]
    return {"data": data, "has_more": False, "first_id": NAMES[0], "last_id": NAMES[-1]}


def anthropic_one(request: Request) -> Object:
    return _anthropic(_named(request))


def openai_list(request: Request) -> Object:
    return {"object": "list", "data": [_openai(name) for name in NAMES]}


def openai_one(request: Request) -> Object:
    return _openai(_named(request))


def _named(request: Request) -> str:
    return unquote(request.path.partition("/models/")[2])


def _anthropic(name: str) -> Object:
    title = name.replace("-", " ").title()
    return {"type": "model", "id": name, "display_name": title, "created_at": SINCE_TEXT, "lifecycle": "active"}


def _openai(name: str) -> Object:
    return {"id": name, "object": "model", "created": SINCE, "owned_by": "simulator"}
