"""What kind of file system a folder lies on."""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def in_memory(folder: str | Path, *, mounts: Path | None = None) -> str:
    """The kind, where it goes with the host or container; else empty."""
    kind = file_system(Path(folder), mounts=mounts or MOUNTS)
    return kind if kind in _IN_MEMORY else ""


def file_system(folder: Path, *, mounts: Path) -> str:
    """Empty where the system does not tell."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return ""
    real = folder.resolve()
    found = [(point, kind) for _, point, kind, *_ in lines if real.is_relative_to(_unescaped(point))]
    return max(found, key=lambda pair: len(pair[0]), default=("", ""))[1]


def _unescaped(point: str) -> str:
    return point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
