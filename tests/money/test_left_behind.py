"""The list of unconfirmed costs says what it cannot count: journals that nobody has taken over."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.usage import ledger, pages
from apps.usage.journal import Journal
from tests.money.books import in_thread
from tests.money.calls import intent, outcome
from tests.money.journals import play

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(folder: Path, settings) -> Path:
    settings.WEIR_JOURNAL_DIR = str(folder)
    return folder


async def begun(journal: Journal) -> None:
    await journal.intent(intent())


def listed(*arguments: str) -> tuple[int, str]:
    """Exit status, and what is said on both outputs."""
    said = io.StringIO()
    try:
        call_command("ledger_unconfirmed", *arguments, stdout=said, stderr=said)
    except SystemExit as ended:
        return int(ended.code), said.getvalue()
    return 0, said.getvalue()


def test_a_journal_that_nobody_has_taken_over_is_told_with_the_next_step(folder):
    play(begun, Journal(folder, name="gone"))
    status, text = listed()
    assert status == 0
    assert text.splitlines() == [
        "Every cost in the ledger is known.",
        f"Not counted: 1 journal in {folder} that nobody has taken over (gone)."
        " Start a gateway on that folder: it takes over within ten seconds.",
    ]


def test_one_that_cannot_be_read_has_another_next_step(folder):
    play(begun, Journal(folder, name="gone"))
    (folder / "broken.unreadable").write_bytes(b"no database")
    last = listed()[1].splitlines()[-1]
    assert last.startswith(f"Not counted: 2 journals in {folder} that nobody has taken over (gone, broken). Start a ")
    assert last.endswith("; `manage.py journals --retry NAME` once what cannot be read is mended.")
    (folder / "gone.journal").unlink()
    assert "Start a gateway" not in listed()[1]


def test_it_does_not_change_how_the_list_ends(folder):
    ledger.post([outcome(state="unconfirmed", cost=40, low=10, high=100)])
    assert listed()[0] == 1
    play(begun, Journal(folder, name="gone"))
    status, text = listed()
    assert status == 1
    assert text.splitlines()[-2].startswith("In all: 1 unconfirmed")
    assert text.splitlines()[-1].startswith("Not counted: 1 journal in ")


def test_programs_are_told_what_lies_in_it(folder):
    assert json.loads(listed("--json")[1])["journals"] == []
    play(begun, Journal(folder, name="gone"))
    status, text = listed("--json")
    (told,) = json.loads(text)["journals"]
    assert status == 0
    assert {name: told[name] for name in ("name", "state", "open_attempts", "unforwarded")} == {
        "name": "gone",
        "state": "orphaned",
        "open_attempts": 1,
        "unforwarded": 0,
    }


def test_a_journal_whose_process_lives_or_that_was_set_aside_as_refused_is_not_told(folder):
    play(begun, Journal(folder, name="old"))
    pages.set_aside(folder / "old.journal", pages.REFUSED)

    async def scenario(journal: Journal) -> tuple[int, str]:
        await begun(journal)
        return await in_thread(listed)

    assert play(scenario, Journal(folder, name="running")) == (0, "Every cost is known.\n")


def test_a_folder_that_may_not_be_read_is_said(folder):
    play(begun, Journal(folder, name="gone"))
    (folder / "gone.lock").unlink(missing_ok=True)
    (folder / "gone.lock").mkdir()
    status, text = listed()
    assert status == 0
    assert "Whether a journal was left behind cannot be told: " in text
    assert "Every cost in the ledger is known." in text
    said = listed("--json")[1]
    assert json.loads(said[said.index("{") :])["journals"] is None
