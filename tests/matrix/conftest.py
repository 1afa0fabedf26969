"""One gateway with one model at each upstream protocol, behind it the simulated provider; both for the whole folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

from tests.sdk.gateways import Gateway, environment, start_gateway
from tests.servers import ROOT, Simulator, start_simulator


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, provider: Simulator) -> Iterator[Gateway]:
    var = tmp_path_factory.mktemp("gateway") / "var"
    var.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.matrix.seed", provider.base_url],
        cwd=ROOT,
        env={**os.environ, **environment(var)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    running = start_gateway("uvicorn", var=var, key=json.loads(done.stdout.splitlines()[-1])["key"])
    yield running
    running.process.stop()


@pytest.fixture(scope="session")
def http(gateway: Gateway) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=gateway.base_url, timeout=30) as client:
        yield client
