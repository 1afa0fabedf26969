"""All tests, the way `make test` runs them: what needs no store once, the rest against both authorities.

    python -m tests.run [folder …]        folders of `tests/`; all of them when none is named

The first authority is a real PostgreSQL with a real Valkey, started here (or given by DATABASE_URL and REDIS_URL);
the second is SQLite with no Redis, for what asks the store in ways of its own (`conftest` says what does not). The last
line counts: a test is skipped if it ran in no pass, and then its reason is printed above. SEED=n repeats the order of
an earlier run.
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests import migrated, services

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
STORELESS = frozenset(
    {"architecture", "domain", "house", "outbound", "simulator", "deploy", "sdk", "bench", "browser", "matrix"}
    | {"fidelity", "focus", "fuzz"}
)
OWN_STORES = frozenset({"faults", "topology", "attack"})  # start some of their own, to break them
INTERRUPT_SECONDS = 20.0
WORKERS = 2
SLOWEST = 10  # files of a pass that are named
OURS = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE")
SECOND, OF_SEVERAL = "WEIR_TEST_SECOND_PASS", "WEIR_TEST_PASS"  # as in `conftest`
UNCOMPILED = "PYTHONDONTWRITEBYTECODE"  # hundreds of processes would compile the same files


@dataclass
class Tally:
    """Outcomes by test id. A test that failed and erred in its teardown counts once."""

    passed: collections.Counter[str] = field(default_factory=collections.Counter)
    failed: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # by file, of the newest pass
    noted: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # names and values, by test

    def read(self, report: Path, *, label: str, status: int) -> None:
        """Add one pass's JUnit report. A pass that ended oddly counts as a failure even if no test says so."""
        failures = len(self.failed)
        try:
            cases = list(ElementTree.parse(report).iter("testcase"))
        except (OSError, ElementTree.ParseError):
            cases = []
        bad = {_name(case) for case in cases if case.find("failure") is not None or case.find("error") is not None}
        self.failed |= {f"{name} [{label}]" for name in bad}
        self.seconds.clear()
        for case in cases:
            name = str(case.get("classname"))
            self.seconds[name] = self.seconds.get(name, 0.0) + float(case.get("time", 0))
        for case in cases:
            if properties := [(str(p.get("name")), str(p.get("value"))) for p in case.iter("property")]:
                self.noted[_name(case)] = properties
            skip = case.find("skipped")
            if skip is not None:
                self.skipped.setdefault(_name(case), skip.get("message", "no reason given"))
            elif _name(case) not in bad:
                self.passed[_name(case)] += 1
        if status != 0 and len(self.failed) == failures:
            self.failed.add(f"pytest ended with status {status} [{label}]")

    def slowest(self) -> str:
        """Files of the newest pass."""
        ordered = sorted(self.seconds.items(), key=_last, reverse=True)
        return ", ".join(f"{name} {seconds:.0f} s" for name, seconds in ordered[:SLOWEST])

    def nowhere(self) -> dict[str, str]:
        """Tests that ran in no pass, with the reason."""
        return {name: reason for name, reason in self.skipped.items() if name not in self.passed}

    def lines(self) -> Iterator[str]:
        """The closing report; its last line is the count."""
        elsewhere = [reason for name, reason in self.skipped.items() if name in self.passed]
        for reason, count in sorted(collections.Counter(elsewhere).items()):
            yield f"one pass only: {count} × {reason}"
        for reason, count in sorted(collections.Counter(self.nowhere().values()).items()):
            yield f"skipped: {count} × {reason}"
        for name in sorted(self.failed):
            yield f"failed: {name}"
        yield f"{self.passed.total()} passed, {len(self.failed)} failed, {len(self.nowhere())} skipped"


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def folders(asked: Iterable[str]) -> list[str]:
    """Names of test folders that hold tests. Raises SystemExit for an unknown one."""
    present = sorted({path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")})
    if unknown := [name for name in asked if name not in present]:
        raise SystemExit(f"No tests in tests/{unknown[0]}. There are: {', '.join(present)}.")
    return list(asked) or present


@contextlib.contextmanager
def begun(
    label: str,
    *,
    names: list[str],
    variables: dict[str, str],
    seed: int,
    tally: Tally,
    workers: int = WORKERS,
    is_quiet: bool = False,
    marked: str = "",
) -> Iterator[None]:
    """A pass that goes on beside the block, and has ended and is counted after it. What a quiet one says comes then.
    `marked`: only tests with this mark."""
    if not names:
        yield
        return
    print(f"\n=== {label}: {' '.join(names)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="weir-tests-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        report, said = Path(folder) / "report.xml", Path(folder) / "said"
        kept = {name: value for name, value in os.environ.items() if name not in (*OURS, UNCOMPILED)}
        command = [sys.executable, "-m", "pytest", "-q", "-r", "fE", "-n", str(workers), "--dist", "loadfile"]
        command.append("--no-loadscope-reorder")  # tests.longest knows better than their number
        command += ["-m", marked] if marked else []
        options = [f"--randomly-seed={seed}", f"--junitxml={report}", *(str(TESTS / name) for name in names)]
        environment = {**kept, "WEIR_TEST_VAR": folder, OF_SEVERAL: "1", **variables}
        started = time.time()
        with said.open("wb") as to:
            output = {"stdout": to, "stderr": subprocess.STDOUT} if is_quiet else {}
            process = subprocess.Popen(
                [*command, *options],
                cwd=ROOT,
                env=environment,
                start_new_session=True,
                **output,  # type: ignore[call-overload]
            )
        with _ended(process):
            yield
            status = process.wait()
        sys.stdout.write(said.read_text(encoding="utf-8", errors="replace"))
        is_empty = status == pytest.ExitCode.NO_TESTS_COLLECTED and SECOND in variables  # all ran in the first one
        tally.read(report, label=label, status=0 if is_empty else status)
        seconds = (report.stat().st_mtime if report.exists() else time.time()) - started
        print(f"=== {label}: {seconds:.0f} s, most of it in {tally.slowest()}", flush=True)


def _folder(name: str) -> str:
    return name.partition("/")[0]


def run_pass(label: str, **how: Any) -> None:
    with begun(label, **how):
        pass


def _last(item: tuple[str, float]) -> float:
    return item[1]


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever ends the block early also ends the tests and all that they started."""
    try:
        yield
    finally:
        for stop in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, stop)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(INTERRUPT_SECONDS)


@contextlib.contextmanager
def servers() -> Iterator[dict[str, str]]:
    """Variables that point at PostgreSQL and Redis: given ones, or our own for as long as the block lasts."""
    with contextlib.ExitStack() as stack:
        variables = {}
        for name, start in (("DATABASE_URL", migrated_postgresql), ("REDIS_URL", services.valkey)):
            if given := os.environ.get(name):
                variables[name] = given
            else:
                service = stack.enter_context(start())
                variables[name] = service.url
                print(f"started {service.name}", flush=True)
                if name == "DATABASE_URL":
                    variables[migrated.TEMPLATE] = migrated.NAME
        yield variables


def migrated_postgresql() -> contextlib.AbstractContextManager[services.Service]:
    return services.postgresql(copied=migrated.cluster())


def main(asked: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = folders(asked)
    seed = int(os.environ.get("SEED") or random.randrange(10**9))
    print(f"order: SEED={seed}")
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="weir-migrated-", dir="/tmp") as folder:
        os.environ[migrated.FOLDER] = folder
        run_passes(names, seed=seed, tally=tally)
    print(f"\norder: SEED={seed}")
    for line in tally.lines():
        print(line)
    return 1 if tally.failed else 0


def migrate() -> None:
    """Side by side, before two workers would wait for one: each takes half a minute of a core."""
    with ThreadPoolExecutor() as threads, contextlib.suppress(services.NotAvailable):
        for made in [threads.submit(migrated.sqlite), threads.submit(migrated.cluster)]:
            made.result()


def run_passes(names: list[str], *, seed: int, tally: Tally, marked: str = "") -> None:
    """Of folders, or of files in them. What breaks stores waits for most of its time: it has a worker of its own,
    beside those of the others."""
    storeless = [name for name in names if _folder(name) in STORELESS]
    stored = [name for name in names if _folder(name) not in STORELESS | OWN_STORES]
    breaking = [name for name in names if _folder(name) in OWN_STORES]
    if stored or breaking:
        migrate()
    how: dict[str, Any] = {"seed": seed, "tally": tally, "marked": marked}
    beside: dict[str, Any] = {"workers": 1, "is_quiet": True} if storeless or stored else {}
    with begun("faults", names=breaking, variables={"FAULTS_SEED": str(seed)}, **how, **beside):
        if stored:
            with servers() as variables:
                run_pass("PostgreSQL and Redis", names=stored, variables=variables, **how)
        # One pass of both: each begins with half a minute in which tests are read, and ends in one file's wait.
        second = {SECOND: "1"} if stored else {}
        run_pass("SQLite, no Redis" if stored else "no store", names=storeless + stored, variables=second, **how)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted")
