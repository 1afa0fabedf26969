"""One simulated provider for the folder, and the official SDKs pointed straight at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tests.sdk.callers import resolved
from tests.servers import Simulator, start_simulator


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
