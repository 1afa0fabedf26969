"""AWS's own clients, pointed at the simulated provider."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from apps.simulator.bedrock import signature
from tests.sdk import worlds

REGION = "eu-central-1"
CLAUDE = "anthropic.claude-simulated-v1:0"
NOVA = "us.amazon.nova-simulated-v1:0"
VERSION = "bedrock-2023-05-31"
HELLO = [{"role": "user", "content": [{"text": "Hello there, says Ada."}]}]
WEATHER = [{"role": "user", "content": [{"text": "What is the weather in Paris?"}]}]
BOTH = [{"role": "user", "content": [{"text": "Use both tools for Paris."}]}]
TOOLS = {
    "tools": [
        {
            "toolSpec": {
                "name": tool["name"],
                "description": tool["description"],
                "inputSchema": {"json": tool["input_schema"]},
            }
        }
        for tool in worlds.ANTHROPIC_TOOLS
    ]
}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}

ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=30)
USER = (signature.USER, signature.SECRETS[signature.USER])


@contextlib.contextmanager
def client(base_url: str, *, service: str = "bedrock-runtime", keys: tuple[str, ...] = USER) -> Iterator[Any]:
    """A client that signs, tries once and knows nothing of this machine's settings. `keys`: id, secret, token."""
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    opened = boto3.client(
        service, endpoint_url=base_url, region_name=REGION, config=ONCE, **dict(zip(names, keys, strict=False))
    )
    yield opened
    opened.close()


@contextlib.contextmanager
def bearing(base_url: str, *, token: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client with an API key. It sends one over TLS only, which is taken off behind it as a proxy would."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", token)
    secure = base_url.replace("http://", "https://")
    opened = boto3.client("bedrock-runtime", endpoint_url=secure, region_name=REGION, config=ONCE)
    opened.meta.events.register("before-send.bedrock-runtime", _without_tls)
    yield opened
    opened.close()


def _without_tls(request: Any, **_: object) -> None:
    request.url = request.url.replace("https://", "http://")


def kinds(events) -> list[str]:
    """Names of the events, neighbours of one name once."""
    names = [next(iter(event)) for event in events]
    return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]


def text_of(events) -> str:
    deltas = (event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event)
    return "".join(delta.get("text", "") for delta in deltas)
