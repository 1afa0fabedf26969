"""What a process and its children hold and use, from /proc where there is one, else from `ps`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PROC = Path("/proc/self/stat").exists()
_TICKS = os.sysconf("SC_CLK_TCK")


def resident_kb(pid: int) -> int:
    """Resident memory of the process and all its descendants."""
    return sum(_resident(each) for each in _family(pid))


def processor_seconds(pid: int) -> float | None:
    """Processor time spent by the process and its descendants; None where the system does not tell it finely."""
    if not _PROC:
        return None
    return sum(_ticks(each) for each in _family(pid)) / _TICKS


def _family(pid: int) -> list[int]:
    parents = _parents()
    family = [pid]
    for member in family:  # grows as it is read
        family += [child for child, parent in parents.items() if parent == member]
    return family


def _parents() -> dict[int, int]:
    if not _PROC:
        listing = subprocess.check_output(["ps", "-axo", "pid=,ppid="], text=True)
        return {int(pid): int(parent) for pid, parent in (line.split() for line in listing.splitlines())}
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _fields(int(folder.name))):
            found[int(folder.name)] = int(fields[1])
    return found


def _fields(pid: int) -> list[str]:
    """The fields of `stat` after the command's name, which may hold anything; none if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _ticks(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _resident(pid: int) -> int:
    if not _PROC:
        return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)], text=True) or 0)
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(line.split()[1])
