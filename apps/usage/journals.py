"""The folder of journals as an operator sees it: whose they are, and what of them is not in the ledger."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from uuid import UUID

import msgspec
from django.db import Error

from apps.usage import ledger, pages
from apps.usage.models import Entry

log = logging.getLogger(__name__)

State = Literal["live", "orphaned", "refused", "unreadable"]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One journal. Live: its process holds it. Orphaned: nobody does, and nobody has taken it over. Refused: all else
    is in the ledger, but these outcomes the ledger would not take. None: cannot be told."""

    name: str
    state: State
    bytes: int
    open_attempts: int | None = None
    unforwarded: int | None = None
    refused: int | None = None


class Survey(msgspec.Struct, frozen=True):
    """`orphaned` journals, unreadable ones among them, and `refused` outcomes in all of the folder."""

    orphaned: int
    refused: int


def survey(directory: Path) -> Survey:
    """A quick look, which needs no database and writes nothing."""
    orphaned = refused = 0
    for path, state in _found(directory):
        orphaned += state in ("orphaned", "unreadable")
        with contextlib.suppress(sqlite3.Error, FileNotFoundError):
            if state != "unreadable":
                refused += _refused(path)
    return Survey(orphaned, refused)


def retry(directory: Path, name: str) -> None:
    """Lets a journal that was set aside be recovered once more, by whichever gateway looks next. Raises
    FileNotFoundError."""
    for suffix in (pages.REFUSED, pages.UNREADABLE):
        if (aside := directory / f"{name}{suffix}").exists():
            pages.take_back(aside)
            return
    raise FileNotFoundError(name)


def listed(directory: Path) -> list[Listed]:
    """Reads every file whole. Safe beside those who write them."""
    found = []
    for path, state in _found(directory):
        with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
            found.append(_listed(path, state))
    return found


def _found(directory: Path) -> Iterator[tuple[Path, State]]:
    for path in pages.journals(directory):
        yield path, "live" if pages.Lock.is_held(path) else "orphaned"
    for path in sorted(directory.glob(f"*{pages.REFUSED}")):
        yield path, "refused"
    for path in sorted(directory.glob(f"*{pages.UNREADABLE}")):
        yield path, "unreadable"


def _listed(path: Path, state: State) -> Listed:
    size = sum(part.stat().st_size for part in pages.parts(path))
    plain = Listed(name=path.stem, state=state, bytes=size)
    if state == "unreadable":
        return plain
    try:
        with contextlib.closing(pages.File(path, read_only=True)) as file:
            open_attempts = len(file.open_attempts())
            unforwarded = _unforwarded(file)
            refused = file.count_refused()
    except (sqlite3.Error, msgspec.DecodeError) as error:
        log.warning("journal %s cannot be read: %s", path.stem, error)
        return plain
    return msgspec.structs.replace(plain, open_attempts=open_attempts, unforwarded=unforwarded, refused=refused)


def _unforwarded(file: pages.File) -> int | None:
    """Outcomes that are not in the ledger; None if that does not answer."""
    missing = through = 0
    while batch := file.closed(after=through, limit=ledger.BATCH):
        ids: set[UUID] = {ledger.entry_id(outcome) for page in batch for outcome in page.outcomes}
        try:
            missing += len(ids) - Entry.objects.filter(pk__in=ids).count()
        except Error:
            return None
        through = batch[-1].id
    return missing


def _refused(path: Path) -> int:
    with contextlib.closing(pages.File(path, read_only=True)) as file:
        return file.count_refused()
