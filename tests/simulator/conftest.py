"""One simulated provider for the folder, and the official SDKs pointed straight at it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tests.sdk import worlds
from tests.sdk.callers import resolved
from tests.servers import Simulator, start_simulator
from tests.simulator import aws


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture
def http(provider: Simulator) -> Iterator[httpx2.Client]:
    """A plain client with a key and a version."""
    headers = {"x-api-key": "sk-test-0123456789", "anthropic-version": "2023-06-01"}
    with httpx2.Client(base_url=provider.base_url, headers=headers) as client:
        yield client


@pytest.fixture(params=["sync", "async"])
async def claude(request: pytest.FixtureRequest, provider: Simulator) -> AsyncIterator[Any]:
    kind = anthropic.Anthropic if request.param == "sync" else anthropic.AsyncAnthropic
    client = kind(api_key="sk-test", base_url=provider.base_url, max_retries=0)
    yield client
    await resolved(client.close())


@pytest.fixture(params=["sync", "async"])
async def gpt(request: pytest.FixtureRequest, provider: Simulator) -> AsyncIterator[Any]:
    kind = openai.OpenAI if request.param == "sync" else openai.AsyncOpenAI
    client = kind(api_key="sk-test", base_url=f"{provider.base_url}/v1", max_retries=0)
    yield client
    await resolved(client.close())


@pytest.fixture
def bedrock(provider: Simulator) -> Iterator[Any]:
    with aws.client(provider.base_url) as client:
        yield client


@pytest.fixture
def invoked(bedrock: Any) -> Callable[..., tuple[Any, Any]]:
    """Asks Claude by InvokeModel. Returns (message, headers)."""

    def invoke(model: str = aws.CLAUDE, **more: object) -> Any:
        body = {"anthropic_version": aws.VERSION, "max_tokens": 200, "messages": worlds.HELLO, **more}
        answer = bedrock.invoke_model(modelId=model, body=json.dumps(body))
        return json.loads(answer["body"].read()), answer["ResponseMetadata"]["HTTPHeaders"]

    return invoke


@pytest.fixture
def streamed(bedrock: Any) -> Callable[..., list[Any]]:
    """The same as a stream: its events."""

    def stream(model: str = aws.CLAUDE, **more: object) -> Any:
        body = {"anthropic_version": aws.VERSION, "max_tokens": 200, "messages": worlds.HELLO, **more}
        answer = bedrock.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
        with contextlib.closing(answer["body"]) as events:
            return [json.loads(event["chunk"]["bytes"]) for event in events]

    return stream


@pytest.fixture
def conversed(bedrock: Any) -> Callable[..., Any]:
    def converse(model: str = aws.NOVA, messages: Any = aws.HELLO, **more: object) -> Any:
        return bedrock.converse(modelId=model, messages=messages, **more)

    return converse


@pytest.fixture
def converse_events(bedrock: Any) -> Callable[..., list[Any]]:
    def converse(model: str = aws.NOVA, messages: Any = aws.HELLO, **more: object) -> Any:
        with contextlib.closing(bedrock.converse_stream(modelId=model, messages=messages, **more)["stream"]) as events:
            return list(events)

    return converse
