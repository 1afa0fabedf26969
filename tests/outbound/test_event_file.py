"""Events to files: writers that meet in one, and disks that are full."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from apps.events.sinks import file
from apps.events.sinks.contract import TAKEN, Opened, SinkAway
from tests.outbound.published import message


@pytest.fixture
def lines(settings, tmp_path) -> file.Lines:
    settings.WEIR_EVENT_FOLDERS = [str(tmp_path)]
    found = file.open(Opened(1, "here", {"megabytes": 1}, "", ()))
    assert found.deliver([message(1)]) == [TAKEN]
    return found


def files(folder: Path) -> list[Path]:
    return sorted((folder / "here").glob("*.jsonl"))


def keys(folder: Path) -> list[int]:
    return [json.loads(line)["data"]["key_id"] for path in files(folder) for line in path.read_bytes().splitlines()]


def handles(path: Path) -> int:
    """How often this process has that file open."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{name}") == str(path)
    return found


@contextlib.contextmanager
def waited_for(lines: file.Lines, path: Path) -> Iterator[int]:
    """Another writer has the file, and somebody has opened it and waits for the lock; then that one is let in."""
    with path.open("ab", buffering=0) as other, ThreadPoolExecutor(1) as threads:
        fcntl.flock(other, fcntl.LOCK_EX)
        try:
            delivered = threads.submit(lines.deliver, [message(3)])
            while handles(path) < 2 and not delivered.done():
                os.sched_yield()
            yield other.fileno()
        finally:
            fcntl.flock(other, fcntl.LOCK_UN)
        assert delivered.result(timeout=60) == [TAKEN]


def test_what_another_writer_appends_meanwhile_stays(lines, tmp_path):
    with waited_for(lines, files(tmp_path)[0]) as other:
        os.write(other, message(2).body + b"\n")
    assert keys(tmp_path) == [1, 2, 3]


def test_a_lock_that_another_program_keeps_is_waited_for_no_longer_than_its_time(lines, tmp_path, monkeypatch):
    monkeypatch.setattr(file, "_LOCK_SECONDS", 0.0)
    (path,) = files(tmp_path)
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SinkAway, match="another program keeps it locked"):
            lines.deliver([message(2)])
        assert handles(path) == 1
    assert lines.deliver([message(3)]) == [TAKEN]
    assert keys(tmp_path) == [1, 3]


def test_a_file_that_another_writer_has_filled_meanwhile_is_followed_by_another(lines, tmp_path):
    (first,) = files(tmp_path)
    with waited_for(lines, first) as other:
        os.write(other, message(2, text="x" * 1024 * 1024).body + b"\n")
    assert [path.name[-10:] for path in files(tmp_path)] == ["0000.jsonl", "0001.jsonl"]
    assert keys(tmp_path) == [1, 2, 3]


def test_one_that_a_shipper_has_taken_away_meanwhile_is_made_anew(lines, tmp_path):
    (first,) = files(tmp_path)
    with waited_for(lines, first):
        first.rename(tmp_path / "shipped")
    assert keys(tmp_path) == [3]


def test_numbers_go_on_behind_the_last_one_of_four_digits(lines, tmp_path):
    (first,) = files(tmp_path)
    for number in ("9999", "10000"):
        first.with_name(first.name.replace("0000", number)).write_bytes(b"x" * 1024 * 1024 + b"\n")
    assert lines.deliver([message(2)]) == [TAKEN]
    assert lines.deliver([message(3)]) == [TAKEN]
    newest = first.with_name(first.name.replace("0000", "10001"))
    assert [json.loads(line)["data"]["key_id"] for line in newest.read_bytes().splitlines()] == [2, 3]


def test_where_no_folder_is_allowed_there_are_no_files(settings):
    settings.WEIR_EVENT_FOLDERS = []
    with pytest.raises(ValidationError, match="WEIR_EVENT_FOLDERS is empty"):
        file.clean("here", {}, networks=())
    with pytest.raises(SinkAway, match="WEIR_EVENT_FOLDERS is empty"):
        file.open(Opened(1, "here", {"megabytes": 1}, "", ()))


def test_a_disk_that_is_full_leaves_no_half_line(lines, tmp_path):
    size = files(tmp_path)[0].stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        with pytest.raises(SinkAway, match="File too large"):
            lines.deliver([message(2), message(3)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path)[0].stat().st_size == size
    assert lines.deliver([message(4)]) == [TAKEN]
    assert keys(tmp_path) == [1, 4]
