"""The end of a gateway process, wanted or not: nothing is cut short that could finish, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
from pathlib import Path

import httpx2
import pytest

from tests.gateway.streams import Caller, rows
from tests.sdk.gateways import seeded, start_gateway
from tests.servers import Simulator, start_simulator, until

pytestmark = pytest.mark.embedded
STREAMS = 20


@pytest.fixture
def provider(tmp_path: Path):
    running = start_simulator(tmp_path)  # at a provider's pace
    yield running
    running.stop()


@pytest.fixture
def gateway(tmp_path: Path, provider: Simulator):
    var = tmp_path / "var"
    running = start_gateway("uvicorn", var=var, key=seeded(var, simulator_url=provider.base_url))
    yield running
    if running.process.popen.poll() is None:
        running.process.stop()


def test_streams_finish_after_sigterm_while_readiness_says_no_and_after_a_second_gateway_was_refused(gateway, provider):
    with pytest.raises(AssertionError, match="more than one needs REDIS_URL"):
        start_gateway("uvicorn", var=gateway.var, key=gateway.key, log=gateway.var / "second.log")
    callers = [Caller(gateway, "long") for _ in range(STREAMS)]
    for caller in callers:
        assert caller.begun.wait(30)
    with httpx2.Client(base_url=gateway.base_url) as kept:
        assert kept.get("/health/ready").status_code == 200
    gateway.process.popen.send_signal(signal.SIGTERM)
    for caller in callers:
        caller.join(60)
        assert "event: message_stop" in caller.text, caller.text[-300:]
    assert gateway.process.popen.wait(30) == 0, gateway.process.output()
    booked = rows(gateway)
    assert len(booked) == STREAMS
    assert {(row["status"], row["state"], row["usage_source"]) for row in booked} == {("ok", "settled", "provider")}
    assert sum(row["out_total"] for row in booked) == sum(reading.billed.output for reading in provider.readings())
    with contextlib.closing(sqlite3.connect(gateway.database)) as books:
        ((settled, held),) = books.execute("SELECT settled, held FROM quotas_budgetwindow").fetchall()
    assert (settled, held) == (sum(row["cost_nano"] for row in booked), 0)


def test_a_killed_process_leaves_every_call_between_two_bounds(gateway, provider):
    finished = Caller(gateway, "53")
    finished.join(60)
    callers = [Caller(gateway, "long") for _ in range(STREAMS)]
    for caller in callers:
        assert caller.begun.wait(30)
    gateway.process.stop(signal.SIGKILL)
    for caller in callers:
        caller.join(60)
        assert "event: message_stop" not in caller.text
    until(lambda: all(reading.outcome != "open" for reading in provider.readings()))
    again = start_gateway("uvicorn", var=gateway.var, key=gateway.key)
    try:
        until(lambda: len(rows(again)) == STREAMS + 1)
    finally:
        again.process.stop()
    billed = {reading.caller: reading.billed for reading in provider.readings()}
    booked = rows(again)
    unconfirmed = [row for row in booked if row["state"] == "unconfirmed"]
    assert len(unconfirmed) == STREAMS
    for row in unconfirmed:
        usage = billed[f"{_uuid(row['request_id'])}/{row['attempt']}"]
        truth = usage.fresh * 3_000 + usage.output * 15_000
        assert row["low_nano"] <= truth <= row["high_nano"], json.dumps({**row, "truth": truth}, default=str)
    with contextlib.closing(sqlite3.connect(again.database)) as books:
        ((settled, held),) = books.execute("SELECT settled, held FROM quotas_budgetwindow").fetchall()
    assert (settled, held) == (sum(row["high_nano"] for row in booked), 0)


def _uuid(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
