"""This machine: open files, and the folder of the journals."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from apps.status.doctor.findings import Finding, fine, problem, warning
from apps.usage import journals

FEW_FILES = 4_096
SLOW_SYNC_MS = 20.0
LITTLE_BYTES = 1 << 30
_SYNCS = 5
_MB = 1 << 20


def examine() -> Iterator[Finding]:
    yield from _files()
    folder = Path(settings.WEIR_JOURNAL_DIR)
    if settings.WEIR_ROLE == "control":
        return
    yield from _folder(folder)
    if folder.is_dir():
        yield from _journals(folder)


def _files() -> Iterator[Finding]:
    """A call holds two sockets."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FEW_FILES:
        told = f"a process may have {most} files open, so about {max(0, (most - 100) // 2)} calls at once"
        yield warning("machine", told, "LimitNOFILE=65536 (systemd), ulimits: nofile (compose), or the node's setting.")
    else:
        yield fine("machine", f"a process may have {most if most > 0 else 'any number of'} files open")


def _folder(folder: Path) -> Iterator[Finding]:
    place = folder if folder.is_dir() else next(one for one in folder.parents if one.is_dir())
    try:
        took = _sync_ms(place)
        free = shutil.disk_usage(place).free
    except OSError as error:
        told = f"WEIR_JOURNAL_DIR: {place} cannot be written: {error.strerror}"
        yield problem("machine", told, f"Make it a folder of the user that runs Weir ({os.geteuid()}), with room.")
        return
    needed = 2 * settings.WEIR_BALLAST_MB * _MB
    if free < needed:
        told = f"{free // _MB} MB are free beside the journals, so new calls are refused"
        yield problem("machine", told, f"Make room: {needed // _MB} MB are needed (2 × WEIR_BALLAST_MB).")
    elif free < LITTLE_BYTES:
        yield warning(
            "machine", f"{free // _MB} MB are free beside the journals", "Make room, or watch weir_storage_full."
        )
    else:
        yield fine("machine", f"{free / (1 << 30):.0f} GB are free beside the journals")
    if took > SLOW_SYNC_MS:
        told = f"the journals' disk takes {took:.0f} ms to make a write last"
        yield warning("machine", told, "With WEIR_DURABILITY=power every call waits for that: use a faster disk.")
    else:
        yield fine("machine", f"the journals' disk makes a write last within {took:.1f} ms")


def _sync_ms(folder: Path) -> float:
    """The best of a few: others write too. Raises OSError."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        for _ in range(_SYNCS):
            started = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - started) * 1000)
    return min(times)


def _journals(folder: Path) -> Iterator[Finding]:
    survey = journals.survey(folder)
    if survey.orphaned:
        told = f"{survey.orphaned} journals in {folder} belong to nobody who lives"
        yield warning("machine", told, "A gateway on this folder takes them over; manage.py journals lists them.")
    if survey.refused:
        told = f"the ledger has refused {survey.refused} outcomes"
        yield problem("machine", told, "manage.py journals says which; once mended, --retry NAME.")
    if not survey.orphaned and not survey.refused:
        yield fine("machine", "no journal waits for somebody to take it over")
