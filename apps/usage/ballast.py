"""Room that a journal keeps back on its disk, and gives up when the disk is full.

What runs can then still be written down; new calls are refused until there is room again, for the ballast first. They
are refused ahead of time too, while less than twice the ballast is free.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from apps.domain import errors
from apps.runtime.state import state

log = logging.getLogger(__name__)

LOW_WATER = 2
RETRY_AFTER = 5.0
_LOOK_SECONDS = 1.0
_BLOCK = 1024 * 1024
_STAT_BLOCK = 512  # of st_blocks, whatever the file system's own
# SQLite tells ENOSPC as FULL, a quota or a limit on files (EDQUOT, EFBIG) only as an I/O error.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


class Ballast:
    """For the thread that writes the journal. `size` in bytes; 0: there is none, and no low water.

    `probe` writes to the journal and raises what that raises.
    """

    def __init__(self, path: Path, *, size: int, probe: Callable[[], None]) -> None:
        self.path = path
        self.is_full = False
        self._size = size
        self._probe = probe
        self._is_held = size == 0
        self._has_failed = False
        self._look_at = 0.0

    def refusal(self) -> errors.Unavailable:
        return errors.Unavailable(
            "the gateway's disk is full; no call is taken that could not be written down (storage_full)",
            code="storage_full",
            retry_after=RETRY_AFTER,
        )

    def give_up(self, error: Exception) -> bool:
        """False: the error is not of a disk without room."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _FULL:
            return False
        self._has_failed = True
        if self._size:
            self.path.unlink(missing_ok=True)
            self._is_held = False
        self._tell(True, why=str(error))
        return True

    def look(self) -> None:
        """Whether there is room. Call it as often as you like; it looks once a second."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        try:
            has_room = self._has_room()
            if has_room and self._has_failed:
                self._probe()
                self._has_failed = False
        except (OSError, sqlite3.Error) as error:
            if not self.give_up(error):
                self._tell(True, why=str(error))
        else:
            self._tell(not has_room, why="little is free")

    def remove(self) -> None:
        """With its journal's end."""
        self.path.unlink(missing_ok=True)
        self._tell(False, why="")

    def _has_room(self) -> bool:
        """Makes the ballast where it is missing and fits. Raises OSError."""
        if self._size == 0:
            return True
        least = LOW_WATER * self._size
        if not self._is_held:
            if _free(self.path.parent) < least + self._size:
                return False
            _allocate(self.path, size=self._size)
            self._is_held = True
        return _free(self.path.parent) >= least

    def _tell(self, full: bool, *, why: str) -> None:
        if full and not self.is_full:
            log.error("storage is full, new calls are refused: %s", why)
        elif self.is_full and not full:
            log.warning("storage has room again, calls are taken")
        self.is_full = state.storage_full = full


def _free(folder: Path) -> int:
    """Bytes, for others than root."""
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize


def _allocate(path: Path, *, size: int) -> None:
    """A file whose blocks are its own. Raises OSError, and then there is none."""
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            if os.fstat(file.fileno()).st_blocks * _STAT_BLOCK < size:
                # A file system that only promises, or compresses: what is random needs its room.
                for start in range(0, size, _BLOCK):
                    file.write(os.urandom(min(_BLOCK, size - start)))
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
