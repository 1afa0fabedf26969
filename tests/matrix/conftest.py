"""One gateway with one model at each upstream protocol, behind it the simulated provider; both for the whole folder."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx2
import pytest

from tests.matrix.wishes import PDF, PIXEL
from tests.sdk.gateways import Gateway, seeded, start_gateway
from tests.servers import Simulator, start_simulator
from tests.shelf import Shelf


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, provider: Simulator) -> Iterator[Gateway]:
    var = tmp_path_factory.mktemp("gateway") / "var"
    key = seeded(var, simulator_url=provider.base_url, by="tests.matrix.seed")
    running = start_gateway("uvicorn", var=var, key=key, settings={"WEIR_FETCH_NETWORKS": "127.0.0.1/32"})
    yield running
    running.process.stop()


@pytest.fixture(scope="session")
def shelf() -> Iterator[Shelf]:
    running = Shelf({"/pixel.png": base64.b64decode(PIXEL), "/report.pdf": base64.b64decode(PDF)})
    yield running
    running.stop()


@pytest.fixture(scope="session")
def http(gateway: Gateway) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=gateway.base_url, timeout=30) as client:
        yield client
