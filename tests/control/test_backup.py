"""A copy that is made while journals end."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from apps.usage import backup

pytestmark = pytest.mark.once


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "one.journal") as made:
        made.execute("CREATE TABLE told (id integer)")
    return tmp_path / "one.journal"


def test_a_journal_that_ends_before_it_is_opened_is_left_out(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def too_late(place: Any, **named: Any) -> sqlite3.Connection:
        journal.unlink()
        return connect(place, **named)

    monkeypatch.setattr(sqlite3, "connect", too_late)
    target = journal.with_suffix(".copy")
    with pytest.raises(FileNotFoundError):
        backup._copied(journal, target)
    assert not target.exists()


def test_one_that_cannot_be_read_is_told(journal: Path) -> None:
    journal.write_bytes(b"nonsense" * 1000)
    with pytest.raises(backup.Failed, match=r"one.journal could not be copied"):
        backup._copied(journal, journal.with_suffix(".copy"))
