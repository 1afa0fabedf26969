"""One gateway in a process of its own, as it is deployed, and behind it a provider that replays bytes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import httpx2
import pytest
from hypothesis import settings

from tests.fidelity.upstream import Upstream, serving
from tests.sdk.gateways import Gateway, seeded, start_gateway

settings.register_profile("fidelity", deadline=None, print_blob=True)
settings.load_profile("fidelity")


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gateway]:
    var = tmp_path_factory.mktemp("gateway") / "var"
    key = seeded(var, simulator_url=upstream.url, by="tests.fidelity.seed")
    running = start_gateway("uvicorn", var=var, key=key)
    yield running
    running.process.stop()


@pytest.fixture(scope="session")
def http(gateway: Gateway) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=gateway.base_url, timeout=60) as client:
        yield client


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("WEIR_SEED") or random.randrange(2**32))
    print(f"WEIR_SEED={seed}")
    return random.Random(seed)
