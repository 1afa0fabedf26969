"""Each SDK, sync and async, through a gateway under each server, to an upstream of each dialect."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tests.sdk.callers import resolved
from tests.sdk.gateways import SERVERS, Front, Gateway, front, seeded, start_gateway, trust
from tests.servers import Simulator, start_simulator

CLIENTS = {"uvicorn": "async", "daphne": "sync", "front": "async"}  # each server with one kind of client
UPSTREAMS = {"claude-test": "anthropic", "gpt-test": "openai"}


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    if (told := front()) is not None:
        yield Simulator(base_url=told.simulator, meter_path=Path(told.meter))
        return
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, provider: Simulator) -> tuple[Path, str]:
    """A seeded `var` to copy, and its key."""
    var = tmp_path_factory.mktemp("template") / "var"
    return var, seeded(var, simulator_url=provider.base_url)


@pytest.fixture(scope="session", params=SERVERS if front() is None else ["front"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway | Front]:
    if (told := front()) is not None:
        yield told
        return
    template: tuple[Path, str] = request.getfixturevalue("template")
    var = tmp_path_factory.mktemp(request.param) / "var"
    shutil.copytree(template[0], var)  # two servers never share books
    running = start_gateway(request.param, var=var, key=template[1])
    yield running
    running.process.stop()


@pytest.fixture(params=UPSTREAMS)
def model(request: pytest.FixtureRequest) -> str:
    """A model whose upstream speaks Anthropic's dialect, and one whose upstream speaks OpenAI's."""
    name: str = request.param
    return name


@pytest.fixture
def upstream(model: str) -> str:
    return UPSTREAMS[model]


@pytest.fixture
async def claude(request: pytest.FixtureRequest, gateway: Gateway) -> AsyncIterator[Any]:
    kind = anthropic.Anthropic if _client(request) == "sync" else anthropic.AsyncAnthropic
    client = kind(api_key=gateway.key, base_url=gateway.base_url, max_retries=0, http_client=_trusting(gateway))
    yield client
    await resolved(client.close())


@pytest.fixture
async def gpt(request: pytest.FixtureRequest, gateway: Gateway) -> AsyncIterator[Any]:
    kind = openai.OpenAI if _client(request) == "sync" else openai.AsyncOpenAI
    client = kind(api_key=gateway.key, base_url=f"{gateway.base_url}/v1", max_retries=0, http_client=_trusting(gateway))
    yield client
    await resolved(client.close())


def _trusting(gateway: Gateway | Front) -> httpx2.AsyncClient | None:
    """None: the SDK's own."""
    context = trust(gateway)
    return None if context is None else httpx2.AsyncClient(verify=context, timeout=600)


def _client(request: pytest.FixtureRequest) -> str:
    return CLIENTS[request.node.callspec.params["gateway"]]
