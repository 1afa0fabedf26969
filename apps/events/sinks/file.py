"""A file: one event a line, in a folder of the installation's own, on disk before it counts as delivered.

A file is named by the day (UTC) and a number, as `2026-11-23.0000.jsonl`; another one begins with the day, and when
one would become too large. What is written is never changed, so whatever reads the files can go by name and offset.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ValidationError

from apps.events.sinks.contract import TAKEN, Message, Opened, Result, SinkAway

LABEL = "File"
BATCH = 500
SECRET = ""
_DEFAULTS = {"megabytes": 100}
_MOST_MEGABYTES = 10_000
_MEGABYTE = 1024 * 1024
_FILE = re.compile(r"\.([0-9]{4,})\.jsonl\Z")  # of a day: its number, in four digits until they do not suffice
_LOCK_SECONDS, _LOOK_SECONDS = 5.0, 0.02  # for which another writer's lock is waited for, and how often it is looked at


def clean(target: str, settings: Mapping[str, Any], *, networks: tuple[str, ...]) -> dict[str, Any]:
    """`megabytes`: a file that would become larger is followed by another one."""
    folder_of(target)
    if unknown := set(settings) - set(_DEFAULTS):
        raise ValidationError({"settings": f"There is no {min(unknown)!r}; there is {', '.join(_DEFAULTS)}."})
    found = _DEFAULTS | dict(settings)
    if type(found["megabytes"]) is not int or not 1 <= found["megabytes"] <= _MOST_MEGABYTES:
        raise ValidationError({"settings": f"“megabytes” is a whole number from 1 to {_MOST_MEGABYTES:,}."})
    return found


def folder_of(target: str) -> Path:
    """Absolute, or within the first folder that is allowed. Raises ValidationError for one outside of all."""
    allowed = [Path(folder).resolve() for folder in django_settings.WEIR_EVENT_FOLDERS]
    if not allowed:
        raise ValidationError({"target": "No files are written here: WEIR_EVENT_FOLDERS is empty."})
    path = Path(os.path.realpath(allowed[0] / target)) if "\0" not in target else Path("/")
    if not any(path.is_relative_to(folder) for folder in allowed):
        raise ValidationError({"target": f"Give a folder within {', '.join(map(str, allowed))}."})
    return path


def binding(target: str, settings: Mapping[str, Any]) -> str:
    return ""


def open(sink: Opened) -> Lines:
    return Lines(sink)


class Lines:
    def __init__(self, sink: Opened) -> None:
        try:
            self._folder = folder_of(sink.target)
        except ValidationError as error:
            raise SinkAway(error.messages[0]) from None
        self._most = sink.settings["megabytes"] * _MEGABYTE

    def deliver(self, batch: Sequence[Message]) -> list[Result]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._append(b"".join(message.body + b"\n" for message in batch))
        except OSError as error:
            raise SinkAway(f"{self._folder}: {error.strerror}") from None
        return [TAKEN] * len(batch)

    def close(self) -> None: ...

    def _append(self, lines: bytes) -> None:
        handle = self._locked(room=len(lines))
        try:
            end = _whole(handle, os.fstat(handle).st_size)
            try:
                os.ftruncate(handle, end)
                _write(handle, lines)
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, end)
                raise
        finally:
            os.close(handle)
        _sync(self._folder)

    def _locked(self, *, room: int) -> int:
        """The newest file's handle. While the lock was waited for, another writer may have filled that file, or a
        shipper may have taken it away: then it is chosen again. Raises SinkAway where another keeps it."""
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            path = self._newest(room=room)
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                _lock(handle, path, until=until)
                if self._newest(room=room) == path and os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def _newest(self, *, room: int) -> Path:
        day = datetime.now(UTC).date().isoformat()
        found = {int(file[1]): path for path in self._folder.glob(f"{day}.*") if (file := _FILE.search(path.name))}
        if not found:
            return self._folder / f"{day}.0000.jsonl"
        number, newest = max(found.items())
        size = newest.stat().st_size
        if size and size + room > self._most:
            return self._folder / f"{day}.{number + 1:04}.jsonl"
        return newest


def _lock(handle: int, path: Path, *, until: float) -> None:
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise SinkAway(f"{path}: another program keeps it locked ({_LOCK_SECONDS:g} s)") from None
        time.sleep(_LOOK_SECONDS)


def _whole(handle: int, size: int) -> int:
    """Where the last whole line ends: a process that died in the middle of one had told nobody that it was written."""
    place = size
    while place > 0:
        begin = max(0, place - 65_536)
        if (found := os.pread(handle, place - begin, begin).rfind(b"\n")) >= 0:
            return begin + found + 1
        place = begin
    return 0


def _write(handle: int, lines: bytes) -> None:
    """Nothing is kept back that a later close could write behind what was cut off."""
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _sync(folder: Path) -> None:
    """So that a new file's name is on disk too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
