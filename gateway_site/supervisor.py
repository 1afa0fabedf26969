"""Several processes under one: they start together, end together, and nobody is restarted behind your back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

POLL_SECONDS = 0.1
STOP_SECONDS = 12.0
TAIL_LINES = 20
LOG_BYTES = 10_000_000


class Stop(Exception):
    """Ctrl-C, SIGTERM, or the terminal or `make` has gone."""


class Died(Exception):
    """A child ended by itself. The message names it, its status and the last lines of its log."""


class Child:
    """One process on a leash, leader of its own group, its output in a log of its own."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], *, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.is_to_end = False

    def signal(self, number: signal.Signals) -> None:
        """To the whole group: a worker's own children too."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


class Supervisor:
    """`with Supervisor(…) as supervisor: supervisor.start(…); supervisor.watch()`: leaving the block ends them all."""

    def __init__(self, *, folder: Path, logs: Path, parent: int | None = None) -> None:
        """`folder` is the children's working directory. `parent`: stop when this process is no longer ours."""
        self._folder = folder
        self._logs = logs
        self._parent = parent
        self._children: list[Child] = []
        self._asked = False
        self._read_end, self._write_end = os.pipe()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Supervisor:
        self._logs.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._asked = False
        self._end(self._children[:1])
        self._end(self._children[1:])
        for number, handler in self._previous.items():
            # Who was told to stop is on the way out: one Ctrl-C too many must not make a failure of it.
            signal.signal(number, signal.SIG_IGN if kind is Stop and number == signal.SIGINT else handler)
        os.close(self._read_end)
        os.close(self._write_end)

    def start(self, name: str, command: Sequence[str], *, variables: Mapping[str, str]) -> Child:
        """`command` is a module and its arguments. The first child is stopped before the others."""
        log = self._logs / f"{name}.log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".1.log"))
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603  # our own modules
                [sys.executable, "-m", "gateway_site.leash", str(self._read_end), *command],
                cwd=self._folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(self._read_end,),
                start_new_session=True,
            )
        child = Child(name, process, log=log)
        self._children.append(child)
        return child

    def complete(self, name: str, command: Sequence[str], *, variables: Mapping[str, str]) -> None:
        """Start a child that is meant to end, and wait for it. Raises Stop, and Died unless its status is 0."""
        child = self.start(name, command, variables=variables)
        child.is_to_end = True
        while child.process.poll() != 0:
            self.check()
            time.sleep(POLL_SECONDS)
        self._children.remove(child)

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Raises Stop or Died as `watch` does, and TimeoutError."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} was not ready in {seconds:.0f} seconds; see {self._logs}")
            time.sleep(POLL_SECONDS)

    def watch(self) -> NoReturn:
        """Raises Stop when asked to end, Died when a child has."""
        while True:
            self.check()
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        if self._asked or (self._parent is not None and os.getppid() != self._parent):
            raise Stop
        for child in self._children:
            status = child.process.poll()
            if status is not None and not (status == 0 and child.is_to_end):
                raise Died(f"the {child.name} ended by itself (status {status}); its last lines:\n{child.tail()}")

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def _end(self, children: list[Child]) -> None:
        """Ask, wait, then kill what is left of their groups. A second Ctrl-C does not wait."""
        for child in children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while any(child.process.poll() is None for child in children) and time.monotonic() < deadline:
            if self._asked:
                break
            time.sleep(POLL_SECONDS)
        for child in children:
            child.signal(signal.SIGKILL)
            child.process.wait()
