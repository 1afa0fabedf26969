"""Which processes run, as the system tells: from /proc where there is one, so that no `ps` need be installed."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


def alive(numbers: Iterable[int]) -> list[int]:
    """Those of the ids that run; one that has ended and waits to be collected does not."""
    return [number for number in numbers if state(number) not in ("", "Z")]


def family(ancestor: int) -> list[int]:
    """A process, its children and theirs. By their parents, since nobody else may read a gateway's environment."""
    parents = _parents()
    found = [ancestor]
    for number in found:  # grows as it is read
        found += [child for child, parent in parents.items() if parent == number]
    return alive(found)


def _parents() -> dict[int, int]:
    if not (PROC / "self/stat").exists():
        listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True)
        return {int(pid): int(parent) for pid, parent in (line.split() for line in listed.stdout.splitlines())}
    found = {}
    for folder in PROC.iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit():
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def state(number: int) -> str:
    """One letter, as `ps` tells it: T is stopped, Z has ended and waits to be collected. Empty: there is none."""
    if (PROC / "self/stat").exists():
        with contextlib.suppress(OSError):
            return (PROC / str(number) / "stat").read_text().rpartition(")")[2].split()[0]
        return ""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False)
    return told.stdout.strip()[:1]
