"""Which processes run, as the system tells: from /proc where there is one, so that no `ps` need be installed."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


def alive(numbers: Iterable[int]) -> list[int]:
    """Those of the ids that run; one that has ended and waits to be collected does not."""
    return [number for number in numbers if _state(number) not in ("", "Z")]


def carrying(variable: str) -> list[int]:
    """Ids of the processes whose environment holds `NAME=value`."""
    if not (PROC / "self/environ").exists():
        listed = subprocess.run(["ps", "-axeww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
        return alive(int(line.split()[0]) for line in listed.stdout.splitlines() if variable in line.split())
    found = []
    for folder in PROC.iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return alive(found)


def _state(number: int) -> str:
    if (PROC / "self/stat").exists():
        with contextlib.suppress(OSError):
            return (PROC / str(number) / "stat").read_text().rpartition(")")[2].split()[0]
        return ""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False)
    return told.stdout.strip()[:1]
