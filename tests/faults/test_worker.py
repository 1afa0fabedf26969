"""A Celery worker killed in the middle of its work, and handed the same work twice."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.installation import Installation
from tests.faults.tenants import open_tenant
from tests.house.processes import family, state
from tests.servers import Process, start_process, until

READY = re.compile(r"(celery@\S+) ready")
HOURS = 6


@contextmanager
def worker(installation: Installation, *, log: Path, variables: Mapping[str, str]) -> Iterator[Process]:
    """Two child processes, on the stores themselves."""
    assert installation.database is not None
    assert installation.redis is not None
    environment = installation.environment(installation.database.url, installation.redis.url)
    process = start_process(
        [sys.executable, "-m", "celery", "-A", "gateway_site", "worker", "-c", "2", "-l", "info", "--without-mingle"],
        ready=READY,
        log=log,
        env={**environment, "CELERY_BROKER_URL": installation.redis.url, **variables},
    )
    try:
        yield process
    finally:
        process.stop()


def stopped_child(of: Process) -> int | None:
    return next((child for child in family(of.pid)[1:] if state(child) == "T"), None)


@pytest.mark.parametrize(
    "point", ["rollup.before_commit:stop:3", "rollup.between_hours:stop:2", "rollup.before_mark:stop"]
)
def test_rollups_are_the_ledger_though_the_worker_is_killed_at_them_and_they_are_handed_out_thrice(
    several, tmp_path, point
):
    tenant = open_tenant(several, budgets=[])
    several.ask("past", tenant=tenant.id, hours=HOURS, calls=5)
    with worker(several, log=tmp_path / "worker.log", variables={"WEIR_FAILPOINT": point}) as running:
        several.ask("deliver", task="apps.usage.tasks.roll_up", times=3)
        os.kill(until(lambda: stopped_child(running)), signal.SIGKILL)

        def is_done() -> bool:
            if (child := stopped_child(running)) is not None:  # what was killed is run again, by a fresh child
                os.kill(child, signal.SIGCONT)
            return running.output().count("succeeded in") >= 3

        until(is_done)
    found = several.ask("hour_by_hour", tenant=tenant.id)
    assert len(found["ledger"]) == HOURS
    assert found["rolled up"] == found["ledger"]
