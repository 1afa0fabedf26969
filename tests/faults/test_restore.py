"""What `docs/backup.md` says, done: books are copied while calls go on, lost with all that lay beside them, and put
back; then keys and credentials work, and every promise about money holds."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import psycopg
import pytest

from apps.usage import backup
from tests import migrated, services
from tests.sdk.gateways import READY, SERVERS, environment
from tests.servers import ROOT, Process, Simulator, start_process, start_simulator, until

BODY = {"model": "claude-test", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello there, says Ada."}]}
PATIENCE_SECONDS = 280  # nothing takes as long


@dataclass(frozen=True)
class Books:
    """An installation: its folder and its variables."""

    var: Path
    variables: Mapping[str, str]

    def manage(self, *words: str) -> str:
        return self.run("manage.py", *words)

    def run(self, *command: str) -> str:
        """What it says. Raises AssertionError if it fails."""
        given = {**os.environ, **self.variables}
        done = subprocess.run([sys.executable, *command], cwd=ROOT, env=given, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def served(self) -> Process:
        command = [sys.executable, "-m", *(word.format(port=0) for word in SERVERS["uvicorn"])]
        return start_process(command, ready=READY, log=self.var / "gateway.log", env=self.variables)

    @property
    def database(self) -> str:
        return self.variables["DATABASE_URL"]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture(params=["PostgreSQL", "SQLite"])
def books(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Books]:
    var = tmp_path / "var"
    var.mkdir()
    if request.param == "SQLite":
        shutil.copy(migrated.sqlite(), var)
        yield Books(var, environment(var))
        return
    with services.postgresql(copied=migrated.cluster()) as service:
        programs = services.client_programs()
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        url = urlunsplit(urlsplit(service.url)._replace(path=f"/{migrated.NAME}"))
        yield Books(var, environment(var) | {"DATABASE_URL": url})


def wiped(books: Books) -> None:
    """All of it but the keyring, which was kept elsewhere."""
    shutil.rmtree(books.var / "journal")
    if not books.database:
        for path in books.var.glob("weir.db*"):
            path.unlink()
        return
    with psycopg.connect(maintenance(books), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {migrated.NAME} WITH (FORCE)".encode())
        connection.execute("DROP ROLE weir_member")  # another server has no such role
        connection.execute(f"CREATE DATABASE {migrated.NAME}".encode())


def maintenance(books: Books) -> str:
    return urlunsplit(urlsplit(books.database)._replace(path="/postgres"))


def put_back(books: Books, copy: Path) -> None:
    """As the page has it."""
    if books.database:
        command = ["pg_restore", "--no-owner", "--no-acl", "--exit-on-error"]
        subprocess.run(
            [*command, f"--dbname={books.database}", str(copy / "weir.dump")], check=True, capture_output=True
        )
    else:
        shutil.copy(copy / "weir.db", books.var)
    shutil.copytree(copy / "journal", books.var / "journal")


def called(base: str, key: str, **more: Any) -> httpx2.Response:
    headers = {"x-api-key": key, **more.pop("headers", {})}
    return httpx2.post(f"http://{base}/v1/messages", json=BODY | more, headers=headers, timeout=PATIENCE_SECONDS)


@contextlib.contextmanager
def one_that_runs(base: str, key: str, provider: Simulator) -> Iterator[None]:
    """A call that its provider does not answer as long as the block lasts."""
    seen = provider.seen()

    def call() -> None:
        with contextlib.suppress(httpx2.HTTPError):
            called(base, key, headers={"x-simulate": f"slow-{PATIENCE_SECONDS}000"})

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    until(lambda: provider.seen() > seen)
    yield
    thread.join()


def test_what_was_lost_is_put_back(books, provider, tmp_path):
    key = json.loads(books.run("-m", "tests.sdk.seed", provider.base_url).splitlines()[-1])["key"]
    copy = tmp_path / "backup" / "today"
    gateway = books.served()
    assert called(gateway.announced, key).status_code == 200
    with one_that_runs(gateway.announced, key, provider):
        told = books.manage("backup", str(copy))
        assert called(gateway.announced, key).status_code == 200  # and is lost: it came after the copy
        assert gateway.stop(signal.SIGKILL) == -signal.SIGKILL
    assert f"{copy}/weir.d" in told
    assert f"{copy}/journal/" in told
    assert {path.stat().st_mode & 0o077 for path in copy.rglob("*")} == {0}
    wiped(books)
    put_back(books, copy)
    books.manage("secrets", "verify")
    gateway = books.served()
    try:
        assert called(gateway.announced, key).status_code == 200
        until(lambda: unconfirmed(books) == 1)  # the one that ran: its journal was in the copy
    finally:
        assert gateway.stop() == 0, gateway.output()
    assert "The books are true" in books.manage("ledger_verify")


def unconfirmed(books: Books) -> int:
    """Asked of the database itself: a command would take seconds each time."""
    question = "SELECT count(*) FROM usage_entry WHERE state = 'unconfirmed'"
    opened = psycopg.connect(books.database) if books.database else sqlite3.connect(books.var / "weir.db")
    with contextlib.closing(opened) as connection:
        return int(connection.execute(question).fetchone()[0])


def test_a_folder_that_is_there_is_not_written_to(tmp_path):
    with pytest.raises(backup.Failed, match="File exists"):
        list(backup.made(tmp_path))
    assert list(tmp_path.iterdir()) == []
