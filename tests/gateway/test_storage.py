"""A gateway process on a disk that fills up, with its journal and its ledger on it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import httpx2
import pytest

from tests.gateway.calls import anthropic_error, openai_error
from tests.gateway.streams import Caller, rows
from tests.money.disks import MEGABYTE, limit_files, mountable, small_disk, unlimit_files
from tests.sdk.gateways import Gateway, seeded, start_gateway
from tests.servers import Simulator, start_simulator, until

pytestmark = pytest.mark.embedded
STREAMS = 10


class Disk(Protocol):
    def fill(self, gateway: Gateway) -> None: ...

    def empty(self, gateway: Gateway) -> None: ...


class Limited:
    """No file may grow: not the journal, not the ledger, not the ballast."""

    def fill(self, gateway: Gateway) -> None:
        limit_files(gateway.process.pid, 16384)

    def empty(self, gateway: Gateway) -> None:
        unlimit_files(gateway.process.pid)


class Mounted:
    """A file system without a free block."""

    def __init__(self, disk) -> None:
        self._disk = disk

    def fill(self, gateway: Gateway) -> None:
        self._disk.fill()

    def empty(self, gateway: Gateway) -> None:
        self._disk.empty()


@pytest.fixture(params=["limited", *(["mounted"] if mountable() else [])])
def disk(request, tmp_path: Path) -> Iterator[tuple[Disk, Path]]:
    """And a place on it."""
    if request.param == "limited":
        yield Limited(), tmp_path / "var"
        return
    with small_disk(tmp_path / "disk", megabytes=24) as found:
        yield Mounted(found), found.folder / "var"


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Simulator]:
    running = start_simulator(tmp_path)  # at a provider's pace
    yield running
    running.stop()


@pytest.fixture
def gateway(disk, tmp_path: Path, provider: Simulator) -> Iterator[Gateway]:
    _, var = disk
    key = seeded(var, simulator_url=provider.base_url)
    running = start_gateway("uvicorn", var=var, key=key, log=tmp_path / "log", settings={"WEIR_BALLAST_MB": "1"})
    yield running
    if running.process.popen.poll() is None:
        running.process.stop()


def call(gateway: Gateway, path: str, model: str) -> httpx2.Response:
    body = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "Hello."}]}
    return httpx2.post(f"{gateway.base_url}{path}", json=body, headers={"x-api-key": gateway.key}, timeout=30)


def test_a_full_disk_refuses_what_is_new_and_books_what_runs(gateway, disk, provider):
    place, _ = disk
    assert call(gateway, "/v1/messages", "claude-test").status_code == 200
    assert call(gateway, "/v1/chat/completions", "gpt-test").status_code == 200
    callers = [Caller(gateway, "long") for _ in range(STREAMS)]
    for caller in callers:
        assert caller.begun.wait(30)
    place.fill(gateway)
    until(lambda: call(gateway, "/v1/messages", "claude-test").status_code != 200)
    seen = provider.seen()
    answer = call(gateway, "/v1/messages", "claude-test")
    assert "storage_full" in anthropic_error(answer, 529, "overloaded_error")
    assert answer.headers["retry-after"] == "5"
    answer = call(gateway, "/v1/chat/completions", "gpt-test")
    openai_error(answer, 503, "storage_full")
    assert answer.headers["retry-after"] == "5"
    assert provider.seen() == seen
    until(lambda: httpx2.get(f"{gateway.base_url}/health/ready").status_code == 503)
    assert httpx2.get(f"{gateway.base_url}/health").json()["checks"]["storage"] == "failed"
    assert gauge(gateway) == 1
    for caller in callers:
        caller.join(60)
        assert "event: message_stop" in caller.text, caller.text[-300:]

    place.empty(gateway)
    until(lambda: call(gateway, "/v1/messages", "claude-test").status_code == 200)
    until(lambda: httpx2.get(f"{gateway.base_url}/health/ready").status_code == 200)
    assert gauge(gateway) == 0
    (ballast,) = (gateway.var / "journal").glob("*.ballast")
    assert ballast.stat().st_size == MEGABYTE
    assert gateway.process.stop() == 0
    assert gateway.process.output().count("storage is full") == 1
    assert list((gateway.var / "journal").iterdir()) == []
    compare(rows(gateway), provider)
    with contextlib.closing(sqlite3.connect(gateway.database)) as books:
        assert books.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        ((settled, held),) = books.execute("SELECT settled, held FROM quotas_budgetwindow").fetchall()
    assert (settled, held) == (sum(row["cost_nano"] for row in rows(gateway)), 0)


def gauge(gateway: Gateway) -> float:
    """What Prometheus is told."""
    token = (gateway.var / "secrets" / "weir_operator_token").read_text()
    told = httpx2.get(f"{gateway.base_url}/metrics", headers={"authorization": f"Bearer {token}"}).text
    (line,) = [line for line in told.splitlines() if line.startswith("weir_storage_full{")]
    return float(line.split()[-1])


def compare(booked: list[dict], provider: Simulator) -> None:
    """Every call that the provider made, and no other, at its own figure."""
    assert {row["state"] for row in booked} == {"settled"}
    billed = {reading.caller: reading.billed.output for reading in provider.readings()}
    assert sorted(billed.values()) == sorted(row["out_total"] for row in booked)
