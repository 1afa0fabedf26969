"""Processes under the supervisor: real ones, killed in every way a process can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from gateway_site.supervisor import Died, Supervisor
from tests.architecture.tree import ROOT
from tests.house.processes import alive

DEADLINE = 20.0

# Stands in for a server: writes its id, has a child of its own, and goes on until told to stop.
CHILD = """
    import os, pathlib, signal, subprocess, sys, time
    place = pathlib.Path(sys.argv[1])
    own = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    def leave(*_):
        while "patient" in sys.argv and not place.with_name("third.stopped").exists():
            time.sleep(0.02)
        place.with_suffix(".stopped").touch()
        sys.exit(0)
    if "stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, leave)
    if "forks" in sys.argv and os.fork() == 0:
        own = None
        os.closerange(3, 100)  # as Celery's beat does
    with place.open("a") as file:
        file.write(f"{os.getpid()} {own.pid if own else ''}\\n")
    print("told on its output", flush=True)
    if "mortal" in sys.argv:
        while not place.with_suffix(".die").exists():
            time.sleep(0.02)
        sys.exit(3)
    time.sleep(300)
"""

PARENT = """
    import os, sys
    from pathlib import Path
    from gateway_site.supervisor import Died, Stop, Supervisor
    folder = Path(sys.argv[1])
    here = dict(os.environ)
    try:
        with Supervisor(folder=folder, logs=folder / "log", parent=int(sys.argv[2]) or None) as supervisor:
            for name in sys.argv[3:]:
                supervisor.start(name.split("-")[0], ["child", str(folder / name), *name.split("-")], variables=here)
            supervisor.watch()
    except Stop:
        print("stopped", flush=True)
    except Died as death:
        print(death, flush=True)
        sys.exit(1)
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "child.py").write_text(textwrap.dedent(CHILD))
    (tmp_path / "parent.py").write_text(textwrap.dedent(PARENT))
    return tmp_path


@pytest.fixture
def supervised(folder):
    """A supervisor process with children of the given names, all of them running; killed afterwards if need be."""
    started = []

    def start(*names: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "parent.py", str(folder), "0", *names],
            cwd=folder,
            env=surroundings(folder),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        wait(lambda: all((folder / name).exists() and (folder / name).read_text() for name in names))
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def surroundings(folder: Path) -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{folder}"}


def wait(condition) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def family(folder: Path, *names: str) -> list[int]:
    """Ids of the children and of theirs."""
    return [int(number) for name in names for number in (folder / name).read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_asks_its_children_to_stop_and_leaves_nobody(folder, supervised, number):
    process = supervised("first", "second")
    started = family(folder, "first", "second")
    assert len(alive(started)) == 4
    process.send_signal(number)
    assert process.communicate(timeout=DEADLINE)[0] == "stopped\n"
    assert (folder / "first.stopped").exists()
    assert (folder / "second.stopped").exists()
    wait(lambda: alive(started) == [])


def test_the_first_is_waited_for_and_the_others_are_asked_at_once(folder, supervised):
    process = supervised("first", "second-patient", "third")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE)
    assert (folder / "second-patient.stopped").exists()
    stopped = [(folder / f"{name}.stopped").stat().st_mtime_ns for name in ("first", "third")]
    assert stopped == sorted(stopped)


def test_a_child_that_ends_by_itself_ends_the_others_and_is_named(folder, supervised):
    process = supervised("first", "second-mortal")
    started = family(folder, "first", "second-mortal")
    (folder / "second-mortal.die").touch()
    told = process.communicate(timeout=DEADLINE)[0]
    assert process.returncode == 1
    assert "the second ended by itself (status 3)" in told
    assert "told on its output" in told
    wait(lambda: alive(started) == [])


def test_killing_the_supervisor_leaves_no_orphan(folder, supervised):
    process = supervised("first", "second-forks", "third-stubborn")
    wait(lambda: len((folder / "second-forks").read_text().splitlines()) == 2)
    started = family(folder, "first", "second-forks", "third-stubborn")
    assert len(alive(started)) == 7
    process.kill()
    process.wait()
    wait(lambda: alive(started) == [])


def test_a_fork_survives_neither_its_parent_nor_the_supervisor(folder, supervised):
    process = supervised("first-forks")
    wait(lambda: len((folder / "first-forks").read_text().splitlines()) == 2)
    started = family(folder, "first-forks")
    os.kill(started[0], signal.SIGKILL)
    process.kill()
    process.wait()
    wait(lambda: alive([number for number in started if number != started[0]]) == [])


def test_it_stops_when_the_process_that_started_it_is_killed(folder):
    starter = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "parent.py", sys.argv[1], str(os.getpid()), "first"])
time.sleep(300)
"""
    process = subprocess.Popen([sys.executable, "-c", starter, str(folder)], cwd=folder, env=surroundings(folder))
    wait(lambda: (folder / "first").exists() and (folder / "first").read_text())
    started = family(folder, "first")
    process.kill()
    process.wait()
    wait(lambda: alive(started) == [])
    assert (folder / "first.stopped").exists()


def test_a_second_interrupt_does_not_wait_for_a_stubborn_child(folder, supervised):
    process = supervised("first-stubborn")
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    wait(lambda: alive(family(folder, "first-stubborn")) == [])


def test_one_that_is_meant_to_end_may_have_done_so_by_any_look(tmp_path):
    """Between two looks, too: neither takes it for one that died."""
    with Supervisor(folder=ROOT, logs=tmp_path / "log") as supervisor:
        supervisor.complete("short", ["this"], variables=dict(os.environ))
        child = supervisor.start("short", ["this"], variables=dict(os.environ))
        child.is_to_end = child.process.wait() == 0
        supervisor.check()
        child.is_to_end = False
        with pytest.raises(Died, match="ended by itself"):
            supervisor.check()
