"""Several processes that share PROMETHEUS_MULTIPROC_DIR, each a real one: whichever is asked tells of all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from apps.status import together
from gateway_site import worker
from tests.servers import ROOT

pytestmark = pytest.mark.once

# Counts some, then answers every line that it is sent with its exposition.
PROGRAM = """
import os, sys
import django
django.setup()
from prometheus_client import Counter, Gauge
from apps.runtime import measured
from apps.runtime.state import state
from apps.status import exposition, together
state.replica, state.in_flight = sys.argv[1], int(sys.argv[2])
measured.Counts("weir_test_asked", "x", ("who",)).add(("somebody",), 2)
measured.Spreads("weir_test_waits", "x", ("who",), bounds=(1.0, 2.0)).add(("somebody",), 1.5)
Counter("weir_test_calls", "x").inc(int(sys.argv[2]))
Gauge("weir_test_running", "x", multiprocess_mode="livesum").inc(1)
exposition._checks._read = exposition._of_the_broker._read = list  # there is no database here
for each in exposition._of_the_database:
    each._read = list
exposition.begin()
together.tell(exposition._own())
print("ready", flush=True)
for line in sys.stdin:
    print(exposition.render("")[0].decode() + "# END", flush=True)
"""


class Told:
    """One exposition, by name and labels."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def of(self, name: str, **labels: str) -> list[float]:
        return [s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()]

    def replicas(self, name: str) -> list[str]:
        return sorted(s.labels["replica"] for s in self.samples if s.name == name)


class Shared:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self) -> Told:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        lines = iter(self.process.stdout.readline, "# END\n")
        return Told("".join(lines))

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(30)


@contextmanager
def started(folder: Path, *counts: int) -> Iterator[list[Shared]]:
    """Side by side, as each takes a second."""
    variables = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-c", PROGRAM]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT, "env": variables}
    processes = [
        subprocess.Popen([*command, name, str(count)], **pipes)  # type: ignore[call-overload]
        for name, count in zip(("one", "two"), counts, strict=True)
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        yield [Shared(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_whoever_is_asked_tells_of_all_who_live_each_once(tmp_path):
    with started(tmp_path, 3, 4) as (one, two):
        for told in (one.ask(), two.ask()):
            assert told.of("weir_test_calls_total") == [7]
            assert told.of("weir_test_running") == [2]
            assert told.replicas("weir_calls_in_flight") == ["one", "two"]
            assert sum(told.of("weir_calls_in_flight")) == 7
            assert told.of("weir_test_asked_total", who="somebody") == [2, 2]
            assert told.of("weir_test_waits_bucket", le="2.0") == [1, 1]
            assert told.replicas("process_resident_memory_bytes") == ["one", "two"]
            assert told.replicas("weir_build_info") == ["one", "two"]
        one.end(signal.SIGKILL)
        told = two.ask()
        assert told.of("weir_test_calls_total") == [7]  # they have been
        assert told.of("weir_test_running") == [1]
        assert told.replicas("weir_calls_in_flight") == ["two"]


def test_what_nobody_shares_any_more_is_forgotten(tmp_path, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(30)
    left = [tmp_path / f"{kind}_{ended.pid}.db" for kind in ("counter", "gauge_livesum", "histogram")]
    left.append(tmp_path / f"weir_{ended.pid}.json")
    for file in left:
        file.touch()
    foreign = tmp_path / "README"
    foreign.touch()
    monkeypatch.setattr("django.conf.settings.WEIR_FIGURES_DIR", str(tmp_path))
    together.sweep()
    assert set(tmp_path.iterdir()) == {foreign, left[0], left[2]}  # whoever is asked adds counts of the dead
    together.sweep(is_beginning=True)
    assert list(tmp_path.iterdir()) == [foreign]


def test_counters_of_the_dead_stay_while_others_live_who_shared_them(tmp_path, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(30)
    for pid in (ended.pid, os.getppid()):
        (tmp_path / f"counter_{pid}.db").touch()
        (tmp_path / f"gauge_livesum_{pid}.db").touch()
    monkeypatch.setattr("django.conf.settings.WEIR_FIGURES_DIR", str(tmp_path))
    together.sweep(is_beginning=True)
    names = {re.sub(rf"{os.getppid()}", "alive", file.name) for file in tmp_path.iterdir()}
    assert names == {f"counter_{ended.pid}.db", "counter_alive.db", "gauge_livesum_alive.db"}


def test_what_is_half_written_or_gone_is_not_told(tmp_path, monkeypatch):
    monkeypatch.setattr("django.conf.settings.WEIR_FIGURES_DIR", str(tmp_path))
    (tmp_path / f"weir_{os.getppid()}.json").write_text("[[")
    assert together.others() == []


def test_who_has_told_nothing_for_long_is_not_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr("django.conf.settings.WEIR_FIGURES_DIR", str(tmp_path))
    file = tmp_path / f"weir_{os.getppid()}.json"
    file.write_text('[["weir_test", "x", "gauge", [["weir_test", {}, 1.0]]]]')
    assert [metric.name for metric in together.others()] == ["weir_test"]
    then = time.time() - together.LATE_SECONDS - 1
    os.utime(file, (then, then))
    assert together.others() == []


def test_a_figure_that_cannot_be_read_ends_nothing_and_is_logged_once(tmp_path, monkeypatch):
    monkeypatch.setattr("django.conf.settings.WEIR_FIGURES_DIR", str(tmp_path))

    def broken():
        raise RuntimeError("dictionary changed size during iteration")

    with structlog.testing.capture_logs() as lines:
        assert not together._told(broken, is_failing=False)
        assert not together._told(broken, is_failing=True)
    assert [line["event"] for line in lines] == ["figures.untold"]
    assert together._told(list, is_failing=True)


def test_a_worker_begins_with_a_folder_of_its_own_and_forgets_those_of_long_ago(tmp_path):
    left, running = tmp_path / "run-left", tmp_path / "run-running"
    for folder in (left, running):
        folder.mkdir()
        (folder / f"gauge_livesum_{os.getpid()}.db").touch()
    then = time.time() - worker.FORGOTTEN_SECONDS - 1
    os.utime(left, (then, then))
    own = worker._made(tmp_path)
    assert list(own.iterdir()) == []
    assert set(tmp_path.iterdir()) == {own, running}
