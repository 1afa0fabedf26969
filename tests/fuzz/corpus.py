"""Input that has found a fault once, or might again: files of `tests/corpus/<target>`, each called by its digest.

All of them run for ever (`test_corpus`). They are made here or by mutation, never taken from anybody's traffic.
"""

from __future__ import annotations

import hashlib
import time
import traceback
from pathlib import Path

from tests.fuzz.contract import Target

FOLDER = Path(__file__).parents[1] / "corpus"
_LETTERS = 16
_SHRINK_SECONDS = 20.0

Place = tuple[str, str, int | None]  # what was raised, and where


def files() -> list[Path]:
    return sorted(path for path in FOLDER.glob("*/*") if path.is_file())


def inputs(target: Target) -> list[bytes]:
    """What the search begins with."""
    return [*target.seeds, *(path.read_bytes() for path in sorted((FOLDER / target.name).glob("*")))]


def named(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_LETTERS]


def keep(target: Target, data: bytes) -> Path:
    """Where the file of it is."""
    path = FOLDER / target.name / named(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def fault(target: Target, data: bytes) -> Place | None:
    """None: it is read, or refused as it should be."""
    try:
        target.run(data)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return type(error).__name__, last.filename, last.lineno
    return None


def shrunk(target: Target, data: bytes) -> bytes:
    """As little of it as has the same fault, or has it within the time."""
    place, until = fault(target, data), time.monotonic() + _SHRINK_SECONDS
    size = len(data) // 2
    while size and time.monotonic() < until:
        at = 0
        while at < len(data) and time.monotonic() < until:
            less = data[:at] + data[at + size :]
            if fault(target, less) == place:
                data = less
            else:
                at += size
        size //= 2
    return data
