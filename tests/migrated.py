"""Migrated databases to be copied: migrating takes longer than most tests.

One of each kind serves a whole run and all its workers, as `tests.run` says in the environment. A pytest that
is started by itself keeps its SQLite in `var/` and makes it again when what it is made of has changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.servers import ROOT

FOLDER = "WEIR_TEST_MIGRATED"  # where a run's SQLite is, or will be
TEMPLATE = "WEIR_TEST_TEMPLATE"  # the name of its PostgreSQL database
NAME = "weir_migrated"
APPS = ROOT / "apps"
KEPT = ROOT / "var" / "migrated"
KEPT_SECONDS = 24 * 3600  # of one that is not asked for: another branch may come back


@functools.cache
def sqlite() -> Path:
    """A file that nobody has open. Whoever comes first makes it. Raises AssertionError if that fails."""
    folder = _folder()
    made = folder / "weir.db"
    with _alone(folder):
        if not made.exists():
            alone = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"), "")
            # From nothing each time: what an earlier try left behind knows a keyring of its own.
            with tempfile.TemporaryDirectory(prefix="making-", dir=folder) as var:
                _migrate({**alone, "WEIR_PROFILE": "embedded", "WEIR_VAR": var})
                (Path(var) / "weir.db").rename(made)
    return made


def postgresql(url: str) -> str:
    """The name of a database that this makes on that server. Raises AssertionError if migrating fails."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {NAME}")  # type: ignore[arg-type]  # our own word
    with tempfile.TemporaryDirectory(prefix="weir-migrating-") as folder:
        database = urlunsplit(urlsplit(url)._replace(path=f"/{NAME}"))
        _migrate({"DATABASE_URL": database, "REDIS_URL": "", "CELERY_BROKER_URL": "", "WEIR_VAR": folder})
    return NAME


def _migrate(variables: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "gateway_site.settings", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _folder() -> Path:
    if told := os.environ.get(FOLDER):
        return Path(told)
    folder = KEPT / _digest()
    for old in KEPT.glob("*"):
        if old != folder and time.time() - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest() -> str:
    """Of all that decides what migrating makes: tables, and the rows of content types and permissions."""
    ours = (path for pattern in ("migrations/*.py", "models*.py", "models/*.py") for path in APPS.rglob(pattern))
    digest = hashlib.sha256()
    for path in sorted(ours):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    for path in (ROOT / "requirements" / "base.txt", ROOT / "gateway_site" / "settings.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Other processes wait."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
