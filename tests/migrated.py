"""Migrated databases to be copied: migrating takes longer than most tests.

One of each kind serves a whole run and all its workers, as `tests.run` says in the environment. A pytest that
is started by itself keeps them in `var/` and makes them again when what they are made of has changed.
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

from tests import services
from tests.servers import ROOT

FOLDER = "WEIR_TEST_MIGRATED"  # where a run's SQLite and PostgreSQL are, or will be
TEMPLATE = "WEIR_TEST_TEMPLATE"  # the name of its PostgreSQL database
NAME = "weir_migrated"
APPS = ROOT / "apps"
KEPT = ROOT / "var" / "migrated"
CALLED = (
    "row_security.py",
    "second_wall.py",
    "lowered.py",
    "partitions.py",
    "indexes.py",
    "concurrently.py",
    "guards.py",
    "append_only.py",
)  # by migrations
KEPT_SECONDS = 3 * 3600  # of one that is not asked for: another branch may come back, and each takes 70 MB


@functools.cache
def sqlite() -> Path:
    """A file that nobody has open. Whoever comes first makes it. Raises AssertionError if that fails."""
    folder = _folder()
    made = folder / "weir.db"
    with _alone(made):
        if not made.exists():
            alone = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"), "")
            # From nothing each time: what an earlier try left behind knows a keyring of its own.
            with tempfile.TemporaryDirectory(prefix="making-", dir=folder) as var:
                _migrate({**alone, "WEIR_PROFILE": "embedded", "WEIR_VAR": var})
                (Path(var) / "weir.db").rename(made)
    return made


@functools.cache
def cluster() -> Path:
    """What a PostgreSQL has left that has ended, for `services.postgresql` to copy: it has a database of this `NAME`.
    Raises AssertionError if that fails, services.NotAvailable where there is no PostgreSQL."""
    folder = _folder()
    made = folder / "cluster"
    with _alone(made):
        if not made.exists():
            # Under its name when it is whole.
            with tempfile.TemporaryDirectory(prefix="making-", dir=folder) as name:
                with services.postgresql(kept=Path(name)) as service:
                    postgresql(service.url)
                whole = Path(name) / made.name
                whole.mkdir(mode=0o700)
                for part in ("data", "password"):
                    (Path(name) / part).rename(whole / part)
                whole.rename(made)
    return made


def database(url: str) -> str:
    """The same server's, with the migrated database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{NAME}"))


def postgresql(url: str) -> str:
    """The name of a database that this makes on that server. Raises AssertionError if migrating fails."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {NAME}")  # type: ignore[arg-type]  # our own word
    with tempfile.TemporaryDirectory(prefix="weir-migrating-") as folder:
        alone = dict.fromkeys(("REDIS_URL", "CELERY_BROKER_URL"), "")
        _migrate({**alone, "DATABASE_URL": database(url), "WEIR_VAR": folder})
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
    patterns = ("migrations/*.py", "models*.py", "models/*.py", *CALLED)
    ours = (path for pattern in patterns for path in APPS.rglob(pattern))
    digest = hashlib.sha256()
    for path in sorted(ours):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    for path in (*sorted(ROOT.glob("requirements/*.txt")), ROOT / "gateway_site" / "settings.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _alone(made: Path) -> Iterator[None]:
    """Others who need the same wait."""
    with made.with_name(f"{made.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
