"""What an operator sees of the folder of journals."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.runtime.state import state
from apps.status import checks, exposition
from apps.usage import journals, ledger, pages, recovery
from apps.usage.forwarder import Forwarder
from apps.usage.journal import Journal
from apps.usage.models import Entry
from tests.money.books import in_thread
from tests.money.calls import intent, outcome
from tests.money.journals import play

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(folder: Path, settings) -> Path:
    settings.WEIR_JOURNAL_DIR = str(folder)
    return folder


def left_behind(folder: Path, name: str) -> None:
    """Two attempts are open, one outcome is in the ledger, another is not, and a third was refused by it."""
    booked = outcome()
    ledger.post([booked])

    async def scenario(journal: Journal) -> None:
        for _ in range(2):
            await journal.intent(intent())
        journal.outcome(booked)
        journal.outcome(outcome())
        journal.refuse(outcome(cost=2**63))
        await journal.flush()

    play(scenario, Journal(folder, name=name))


def told(*arguments: str) -> str:
    said = io.StringIO()
    call_command("journals", *arguments, stdout=said)
    return said.getvalue()


def test_every_journal_is_listed_with_what_the_ledger_lacks_of_it(folder):
    left_behind(folder, "gone")
    left_behind(folder, "old")
    pages.set_aside(folder / "old.journal", pages.REFUSED)
    (folder / "broken.unreadable").write_bytes(b"no database")

    async def scenario(journal: Journal) -> dict:
        await journal.intent(intent())
        return {row["name"]: row for row in json.loads(await in_thread(told, "--json"))}

    found = play(scenario, Journal(folder, name="running"))
    counts = ("state", "open_attempts", "unforwarded", "refused")
    assert {name: tuple(row[key] for key in counts) for name, row in found.items()} == {
        "gone": ("orphaned", 2, 1, 1),
        "running": ("live", 1, 0, 0),
        "old": ("refused", 2, 1, 1),
        "broken": ("unreadable", None, None, None),
    }
    assert all(row["bytes"] > 0 for row in found.values())


def test_the_list_is_also_for_people(folder):
    left_behind(folder, "gone")
    (folder / "broken.unreadable").write_bytes(b"no database")
    heads, gone, broken = (line.split() for line in told().splitlines())
    assert heads == ["JOURNAL", "STATE", "BYTES", "OPEN", "UNFORWARDED", "REFUSED"]
    assert gone == ["gone", "orphaned", gone[2], "2", "1", "1"]
    assert broken == ["broken", "unreadable", "11", "?", "?", "?"]


def test_looking_changes_nothing(folder):
    left_behind(folder, "gone")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    told()
    journals.survey(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name in before} == before


def test_a_folder_that_is_not_there_yet_has_no_journals(folder):
    assert told("--json").strip() == "[]"
    assert journals.survey(folder) == journals.Survey(0, 0)


def test_what_nobody_can_take_over_is_counted_and_degrades_the_process(folder):
    left_behind(folder, "gone")
    (folder / "broken.journal").write_bytes(b"not a database, and long enough to be taken for one" * 50)
    (folder / "locked.journal").mkdir()  # SQLite cannot open it

    async def scenario(journal: Journal) -> None:
        forwarder = Forwarder(journal)
        await forwarder.start()
        while not state.journals_orphaned:
            await asyncio.sleep(0.01)
        await forwarder.close()

    try:
        play(scenario, Journal(folder, name="a"))
        assert (state.journals_orphaned, state.outcomes_refused) == (2, 1)
        text = exposition.render("")[0].decode()
        assert f'weir_journals_orphaned{{replica="{state.replica}"}} 2.0' in text
        assert f'weir_journal_refused{{replica="{state.replica}"}} 1.0' in text
        assert checks.journals() == checks.Check(
            name="journals", ok=False, vital=False, message="2 orphaned, 1 outcomes refused"
        )
    finally:
        state.journals_orphaned = state.outcomes_refused = 0
    assert Entry.objects.count() == 4
    left = sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")
    assert left == ["broken.unreadable", "gone.refused", "locked.journal"]


def test_one_journal_that_cannot_be_opened_does_not_keep_the_others_from_being_recovered(folder):
    (folder / "a.journal").mkdir(parents=True)
    left_behind(folder, "b")
    asyncio.run(recovery.recover(folder))
    assert Entry.objects.count() == 4
    assert (folder / "b.refused").exists()


@pytest.mark.parametrize("mended", [False, True])
def test_what_was_set_aside_can_be_tried_again(folder, mended):
    left_behind(folder, "gone")
    asyncio.run(recovery.recover(folder))
    assert Entry.objects.count() == 4
    file = pages.File(folder / "gone.refused")
    ((number, refused),) = file.refused()
    if mended:
        file.forget_refused(number)
        file.refuse([pages.encoder.encode(outcome(refused.intent, cost=9))])
    file.close()
    assert "takes it over" in told("--retry", "gone")
    asyncio.run(recovery.recover(folder))
    assert Entry.objects.count() == 4 + mended
    assert [path.suffix for path in folder.iterdir()] == ([] if mended else [".refused"])
    with pytest.raises(CommandError, match="No journal other was set aside"):
        told("--retry", "other")
