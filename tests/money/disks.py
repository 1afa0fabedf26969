"""Disks that fill up: a real one where this user may mount it, and a limit on files, which needs no rights."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

MEGABYTE = 1024 * 1024


class SmallDisk:
    """A file system of its own in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, *, but: int = 0) -> None:
        """Until so many bytes are free."""
        told = os.statvfs(self.folder)
        with self._filler.open("ab") as file:
            file.write(b"x" * max(0, told.f_bavail * told.f_frsize - but))

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Mounted at `folder`. Raises CalledProcessError where that is not allowed."""
    folder.mkdir(exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder], check=True, capture_output=True
    )
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", folder], check=True)


def mountable() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        with tempfile.TemporaryDirectory() as name, small_disk(Path(name), megabytes=1):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False


def limit_files(pid: int, size: int) -> None:
    """No file of that process grows beyond `size` bytes: writes fail as on a disk whose quota is used up."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))


def unlimit_files(pid: int) -> None:
    limit_files(pid, resource.RLIM_INFINITY)
