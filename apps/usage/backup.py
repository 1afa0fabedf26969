"""A copy of all that an installation could not make again, but for the keyring, which belongs elsewhere.

The journals are copied before the database. So what one of them hands over meanwhile is in the database, and may be in
both, which does no harm: recovery adds nothing that the ledger has. The other way round it could be in neither.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from psycopg import pq

from apps.usage import pages

JOURNALS = "journal"
# A dump takes as long as it takes: what limits the statements of calls is left out.
_LEFT_OUT = frozenset({"options", "tcp_user_timeout"})
# What a service may say of the connection; the file for pg_dump is one itself, and cannot name another.
_OF_A_SERVICE = ("host", "hostaddr", "port", "dbname", "user", "password", "passfile", "sslmode", "sslcert", "sslkey")
_OF_A_SERVICE += ("sslpassword", "sslrootcert", "sslcrl", "channel_binding", "gssencmode", "target_session_attrs")


class Failed(Exception):
    """Told to the person who typed the command."""


def made(folder: Path) -> Iterator[Path]:
    """Each file as it is whole. Raises Failed, also where there is such a folder already."""
    try:
        folder.mkdir(mode=0o700, parents=True)
        (folder / JOURNALS).mkdir(mode=0o700)
    except OSError as error:
        raise Failed(f"{folder}: {error.strerror}.") from None
    for path in pages.journals(Path(settings.WEIR_JOURNAL_DIR)):
        # One whose outcomes were all handed over may end at any moment.
        with contextlib.suppress(FileNotFoundError):
            yield _copied(path, folder / JOURNALS / path.name)
    if connection.vendor == "sqlite":
        yield _copied(Path(settings.DATABASES["default"]["NAME"]), folder / "weir.db")
    else:
        yield _dumped(folder / "weir.dump")


def _copied(source: Path, target: Path) -> Path:
    """By SQLite itself, one consistent moment of a file that others write to. Raises FileNotFoundError where there is
    none any more, and leaves nothing then."""
    target.touch(mode=0o600)
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as old,
            contextlib.closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
    except sqlite3.Error as error:
        if not source.exists():
            target.unlink()
            raise FileNotFoundError(source) from None
        raise Failed(f"{source} could not be copied: {error}.") from None
    return target


def _parameters() -> dict[str, Any]:
    """Of the connection to PostgreSQL. What a service in libpq's files says of it, a connection that is open knows."""
    given: dict[str, Any] = connection.get_connection_params()
    if given.pop("service", None) is None:
        return given
    connection.ensure_connection()
    told = {option.keyword.decode(): option.val.decode() for option in connection.connection.pgconn.info if option.val}
    return given | {name: told[name] for name in _OF_A_SERVICE if name in told}


def _dumped(target: Path) -> Path:
    """By `pg_dump`, which must not be older than the server. The password is in a file that ends with it."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()} - _LEFT_OUT
    lines = [f"{name}={value}" for name, value in _parameters().items() if name in known and value is not None]
    target.touch(mode=0o600)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="weir-", suffix=".conf") as service:
        service.write("\n".join(["[weir]", *lines, ""]))
        service.flush()
        command = ["pg_dump", "--no-password", "--format=custom", "--no-owner", "--no-acl", f"--file={target}"]
        # A login that is not asked by policies needs no such word; another is refused without it, and sees everything.
        command += ["--enable-row-security", "--dbname=service=weir"]
        try:
            done = subprocess.run(  # noqa: S603  # our own words and the operator's folder
                command,
                env={**os.environ, "PGSERVICEFILE": service.name},
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            raise Failed("There is no pg_dump on PATH: install PostgreSQL's client programs.") from None
    if done.returncode != 0:
        raise Failed(f"pg_dump: {done.stderr.strip()}")
    return target
