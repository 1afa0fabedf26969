"""Real servers for tests, each a process of its own on a port of its own.

`start_process` waits for the line that says a server is ready and stops it by its process id. `start_simulator` runs
the simulated provider.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2

from apps.simulator import meter

ROOT = Path(__file__).resolve().parents[1]
Found = TypeVar("Found")  # the syntax of PEP 695 needs Python 3.12
START_SECONDS = 60.0
STOP_SECONDS = 60.0
UNTIL_SECONDS = 90.0
SIMULATOR_READY = re.compile(r'^\{"ready": "simulator", "url": "(http://[^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Process:
    """A server that has said it is ready. `announced` is what the pattern's first group found."""

    announced: str
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.popen.pid

    def output(self) -> str:
        return _text(self.log)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status (-n: killed by signal n). Kills it when it does not go, and says so."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(how)
        try:
            return self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.popen.args!r} did not stop:\n{self.output()}") from None


def start_process(
    command: Sequence[str], *, ready: re.Pattern[str], log: Path, env: Mapping[str, str] | None = None
) -> Process:
    """Starts `command` in the project's folder. `env` is added to this process's. All output goes to `log`."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [*command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            start_new_session=True,  # Ctrl-C reaches the tests first, and they stop their servers
        )
    deadline = time.monotonic() + START_SECONDS
    while not (found := ready.search(_text(log))):
        if popen.poll() is not None or time.monotonic() > deadline:
            popen.kill()
            popen.wait()
            raise AssertionError(f"{command!r} did not start:\n{_text(log)}")
        time.sleep(0.01)
    return Process(announced=found[1], log=log, popen=popen)


@dataclass(frozen=True)
class Simulator:
    """A running simulated provider. `base_url` has no `/v1`."""

    base_url: str
    meter_path: Path
    process: Process | None = None  # of one that somebody else has started

    @functools.cached_property
    def _meter(self) -> meter.Reader:
        return meter.Reader(self.meter_path)

    def readings(self) -> list[meter.Reading]:
        """What the provider itself says it emitted, call by call."""
        return self._meter.read()

    def last(self) -> meter.Reading:
        """The newest call, once it has ended."""
        return until(lambda: next((r for r in self.readings()[-1:] if r.outcome != "open"), None))

    def calls(self, *, last: int = 1000) -> list[dict]:
        """The last requests, the oldest first, credentials masked to their last four characters."""
        return json.loads(self._told(last)[0])

    def seen(self) -> int:
        """How many requests there have been since it started."""
        return int(self._told(0)[1]["x-simulator-seen"])

    def _told(self, last: int) -> tuple[bytes, http.client.HTTPMessage]:
        """By the plainest client: making one of httpx2's takes ten times as long, and this is asked often."""
        with contextlib.closing(http.client.HTTPConnection(urlsplit(self.base_url).netloc, timeout=30)) as connection:
            connection.request("GET", f"/simulator/calls?last={last}")
            answer = connection.getresponse()
            return answer.read(), answer.headers

    def behave(self, moods: Mapping[str, str]) -> None:
        """From now on calls of these models, by their names there, that bring no script follow these."""
        httpx2.put(f"{self.base_url}/simulator/moods", json=dict(moods)).raise_for_status()

    def stop(self) -> None:
        assert self.process is not None
        assert self.process.stop() == 0, self.process.output()


def start_simulator(folder: Path, *arguments: str) -> Simulator:
    """On any free port, its meter and log in `folder`. Arguments are those of `python -m apps.simulator`."""
    meter_path = folder / "meter.jsonl"
    process = start_process(
        [sys.executable, "-m", "apps.simulator", "--meter", str(meter_path), *arguments],
        ready=SIMULATOR_READY,
        log=folder / "simulator.log",
    )
    return Simulator(base_url=process.announced, meter_path=meter_path, process=process)


def until(look: Callable[[], Found]) -> Found:
    """What `look` returns once that is true; looks often, half of the time at most, and gives up late."""
    begun = time.monotonic()
    deadline = begun + UNTIL_SECONDS
    while not (found := look()):
        ended = time.monotonic()
        assert ended < deadline, f"never came true: {look}"
        time.sleep(max(0.005, ended - begun))
        begun = time.monotonic()
    return found


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
