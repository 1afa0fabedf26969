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
from xml.etree import ElementTree

import pytest

from tests import migrated, services

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
STORELESS = frozenset(
    {"architecture", "domain", "house", "outbound", "simulator", "deploy", "sdk", "bench", "browser", "matrix"}
    | {"fidelity", "focus"}
)
OWN_STORES = frozenset({"faults", "topology"})  # start some of their own, to break them
INTERRUPT_SECONDS = 20.0
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
            skip = case.find("skipped")
            if skip is not None:
                self.skipped.setdefault(_name(case), skip.get("message", "no reason given"))
            elif _name(case) not in bad:
                self.passed[_name(case)] += 1
        if status != 0 and len(self.failed) == failures:
            self.failed.add(f"pytest ended with status {status} [{label}]")

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


def run_pass(label: str, *, names: list[str], variables: dict[str, str], seed: int, tally: Tally) -> None:
    if not names:
        return
    print(f"\n=== {label}: {' '.join(names)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="weir-tests-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        report = Path(folder) / "report.xml"
        kept = {name: value for name, value in os.environ.items() if name not in (*OURS, UNCOMPILED)}
        command = [sys.executable, "-m", "pytest", "-q", "-r", "fE", "-n", "2", "--dist", "loadfile"]
        command.append("--no-loadscope-reorder")  # tests.longest knows better than their number
        options = [f"--randomly-seed={seed}", f"--junitxml={report}", *(str(TESTS / name) for name in names)]
        started = time.monotonic()
        environment = {**kept, "WEIR_TEST_VAR": folder, OF_SEVERAL: "1", **variables}
        status = _wait(subprocess.Popen([*command, *options], cwd=ROOT, env=environment, start_new_session=True))
        is_empty = status == pytest.ExitCode.NO_TESTS_COLLECTED and SECOND in variables  # all ran in the first one
        tally.read(report, label=label, status=0 if is_empty else status)
        slowest = ", ".join(
            f"{name} {seconds:.0f} s"
            for name, seconds in sorted(tally.seconds.items(), key=_last, reverse=True)[:SLOWEST]
        )
        print(f"=== {label}: {time.monotonic() - started:.0f} s, most of it in {slowest}", flush=True)


def _last(item: tuple[str, float]) -> float:
    return item[1]


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Its status. Whatever ends this wait early also ends the tests and all that they started."""
    try:
        return process.wait()
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


def run_passes(names: list[str], *, seed: int, tally: Tally) -> None:
    storeless = [name for name in names if name in STORELESS]
    stored = [name for name in names if name not in STORELESS | OWN_STORES]
    breaking = [name for name in names if name in OWN_STORES]
    if stored or breaking:
        migrate()
    run_pass("no store", names=storeless, variables={}, seed=seed, tally=tally)
    if stored:
        with servers() as variables:
            run_pass("PostgreSQL and Redis", names=stored, variables=variables, seed=seed, tally=tally)
        second = {SECOND: "1"}
        run_pass("SQLite, no Redis", names=stored, variables=second, seed=seed, tally=tally)
    run_pass("faults", names=breaking, variables={"FAULTS_SEED": str(seed)}, seed=seed, tally=tally)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted")
