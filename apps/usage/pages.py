"""The file behind a journal: SQLite, one row ("page") for each group of records that was committed together.

A page has what was opened (intents and checkpoints) and what was closed (outcomes). The file grows at one end and is
cut at the other: pages whose outcomes are all in the ledger go, after what is still open has been written again.
A folder has one such file for each run of a process; whoever holds the lock beside it owns it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self
from uuid import UUID

import msgspec

from apps.runtime.failpoints import failpoint
from apps.usage.records import Checkpoint, Intent, Outcome

Attempt = tuple[UUID, int]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS page (id INTEGER PRIMARY KEY, at REAL NOT NULL, opened BLOB, closed BLOB);
CREATE TABLE IF NOT EXISTS refused (id INTEGER PRIMARY KEY, outcome BLOB NOT NULL);
"""


UNREADABLE, REFUSED = ".unreadable", ".refused"
_JOURNAL = ".journal"
_PARTS = ("", "-wal", "-shm")
_PROBE_BYTES = 64 * 1024


class Opened(msgspec.Struct, array_like=True):
    """Encoded intents, and the encoded checkpoint of an attempt."""

    intents: list[msgspec.Raw]
    checkpoints: list[tuple[UUID, int, msgspec.Raw]]


encoder = msgspec.msgpack.Encoder()
_opened = msgspec.msgpack.Decoder(Opened)
intent_decoder = msgspec.msgpack.Decoder(Intent)
_checkpoint = msgspec.msgpack.Decoder(Checkpoint)
_outcome = msgspec.msgpack.Decoder(Outcome)
_outcomes = msgspec.msgpack.Decoder(list[Outcome])


class Page(msgspec.Struct, frozen=True):
    id: int
    at: float
    outcomes: list[Outcome]


class File:
    """An open journal file. One connection, which may be handed from thread to thread but is used by one at a time."""

    def __init__(self, path: Path, *, power_safe: bool = False, read_only: bool = False) -> None:
        """Raises sqlite3.Error."""
        self.path = path
        if read_only:
            # Without a write-ahead log nobody is at it, and SQLite need not make one to read the file.
            how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
            address = f"{path.absolute().as_uri()}?{how}"
            self._database = sqlite3.connect(address, uri=True, isolation_level=None, timeout=5.0)
            return
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        self._database.execute("PRAGMA journal_mode=WAL")
        # NORMAL loses nothing when the process is killed; only FULL outlives a power cut.
        self._database.execute(f"PRAGMA synchronous={'FULL' if power_safe else 'NORMAL'}")
        # Moving the log into the file waits for the disk, so the forwarder does it, beside the writer: see `tidy`.
        self._database.execute("PRAGMA wal_autocheckpoint=0")
        self._database.executescript(_SCHEMA)

    def append(self, *, at: float, opened: bytes | None, closed: bytes | None) -> int:
        """Durable when it returns. Raises sqlite3.Error, and then nothing was written."""
        cursor = self._database.execute("INSERT INTO page (at, opened, closed) VALUES (?, ?, ?)", (at, opened, closed))
        return int(cursor.lastrowid or 0)

    def cut(self, *, through: int, at: float, opened: bytes | None) -> None:
        """Drops the pages up to that one; `opened` is what of them is still open."""
        with self._transaction():
            self.append(at=at, opened=opened, closed=None)
            failpoint("journal.cut")
            self._database.execute("DELETE FROM page WHERE id <= ?", (through,))

    def refuse(self, outcomes: Iterable[bytes | msgspec.Raw]) -> None:
        """Puts aside encoded outcomes that the ledger will never take, for a person to look at. Twice is once."""
        rows = [(bytes(outcome),) for outcome in outcomes]
        with self._transaction():
            self._database.executemany(
                "INSERT INTO refused (outcome) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM refused WHERE outcome = ?1)",
                rows,
            )

    def probe(self) -> None:
        """Writes and takes back. Raises sqlite3.Error where there is no room."""
        with self._transaction():
            cursor = self._database.execute("INSERT INTO page (at, opened) VALUES (0, zeroblob(?))", (_PROBE_BYTES,))
            self._database.execute("DELETE FROM page WHERE id = ?", (cursor.lastrowid,))

    def closed(self, *, after: int, limit: int) -> list[Page]:
        """Pages with outcomes, oldest first, until they hold `limit` outcomes or more."""
        pages: list[Page] = []
        count = 0
        rows = self._database.execute(
            "SELECT id, at, closed FROM page WHERE id > ? AND closed IS NOT NULL ORDER BY id", (after,)
        )
        for number, at, closed in rows:
            pages.append(Page(number, at, _outcomes.decode(closed)))
            count += len(pages[-1].outcomes)
            if count >= limit:
                break
        rows.close()
        return pages

    def open_attempts(self) -> list[tuple[Intent, Checkpoint | None]]:
        """Intents without an outcome, each with its last checkpoint. Reads the whole file."""
        found: dict[Attempt, tuple[Intent, Checkpoint | None]] = {}
        for opened, closed in self._database.execute("SELECT opened, closed FROM page ORDER BY id"):
            if opened:
                _read_opened(_opened.decode(opened), found)
            for outcome in _outcomes.decode(closed) if closed else ():
                found.pop((outcome.intent.request_id, outcome.intent.attempt), None)
        return list(found.values())

    def refused(self) -> list[tuple[int, Outcome]]:
        """What was put aside, by number."""
        rows = self._database.execute("SELECT id, outcome FROM refused ORDER BY id").fetchall()
        return [(number, _outcome.decode(outcome)) for number, outcome in rows]

    def forget_refused(self, number: int) -> None:
        """The ledger has it after all."""
        self._database.execute("DELETE FROM refused WHERE id = ?", (number,))

    def count_refused(self) -> int:
        return int(self._database.execute("SELECT COUNT(*) FROM refused").fetchone()[0])

    def tidy(self) -> None:
        """Moves the write-ahead log into the file without stopping the writer."""
        self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        self._database.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _read_opened(opened: Opened, found: dict[Attempt, tuple[Intent, Checkpoint | None]]) -> None:
    for raw in opened.intents:
        intent = intent_decoder.decode(raw)
        found[intent.request_id, intent.attempt] = (intent, None)
    for request_id, attempt, raw in opened.checkpoints:
        if (request_id, attempt) in found:
            found[request_id, attempt] = (found[request_id, attempt][0], _checkpoint.decode(raw))


class Lock:
    """The lock beside a journal file: held by its process for as long as it lives, whatever kills it."""

    def __init__(self, handle: int, path: Path) -> None:
        self._handle = handle
        self.path = path

    @classmethod
    def take(cls, journal: Path) -> Self | None:
        """None: somebody holds it."""
        path = journal.with_suffix(".lock")
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return cls(handle, path)

    @staticmethod
    def is_held(journal: Path) -> bool:
        """For who only looks: stands in nobody's way for longer than that takes."""
        try:
            handle = os.open(journal.with_suffix(".lock"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False

    def release(self) -> None:
        os.close(self._handle)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.release()


def ballast(journal: Path) -> Path:
    """What its process holds for bad times."""
    return journal.with_suffix(".ballast")


def remove(journal: Path) -> None:
    """Deletes a journal that has nothing left to say."""
    for part in _PARTS:
        journal.with_name(journal.name + part).unlink(missing_ok=True)


def set_aside(journal: Path, suffix: str) -> None:
    """For a person to look at, under another suffix."""
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            journal.with_name(journal.name + part).rename(journal.with_name(journal.stem + suffix + part))


def take_back(aside: Path) -> None:
    """What was set aside is a journal again, for whoever recovers it."""
    set_aside(aside, _JOURNAL)


def parts(journal: Path) -> list[Path]:
    """The files that it consists of by now, the journal itself first."""
    return [journal, *(found for part in _PARTS[1:] if (found := journal.with_name(journal.name + part)).exists())]


def journals(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{_JOURNAL}"))
