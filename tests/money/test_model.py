"""The accounting's model keeps its promises, and would tell if it did not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.money.model import violations
from tests.money.model_books import Ask, Books, Window
from tests.money.model_mutants import MUTANTS
from tests.money.model_process import Process
from tests.money.model_rules import Truth, Violation, check

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 200  # always the same; `python -m tests.money.model` plays any number
CHUNK = 100


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_money_is_exact_however_the_processes_are_interleaved(first):
    assert violations(range(first, first + CHUNK)) == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_in_the_accounting_is_found(name):
    assert violations(range(MUTANTS[name].seeds), name, enough=1)


def play_of_a_sleeper(*, wakes_in_time: bool) -> None:
    """It is written off, its truth goes to everybody, and it spends what it believes to have."""
    books, truth = Books({0: Window(100)}), Truth()

    def do(transaction):
        while True:
            try:
                next(transaction)
            except StopIteration as done:
                return done.value

    sleeper, other = Process("sleeper", gate=True), Process("other", gate=True)
    for process in (sleeper, other):
        process.epoch = do(books.register(process.name))
    sleeper.granted([], do(books.acquire("sleeper", 1, [Ask(0, 100, 100)])))
    first = sleeper.admit(1, [0], expected=40, worst=40)
    truth.begin(first.call, 0)
    do(books.tell([first.call]))
    for chore in (books.fence, books.presume):
        do(chore("sleeper"))
    if wakes_in_time:
        sleeper.expire()
    do(books.write_off("sleeper"))
    sleeper.finish(1, amount=0)
    sleeper.flush()
    do(books.post(sleeper.outcomes))
    other.granted([], do(books.acquire("other", 1, [Ask(0, 100, 100)])))
    for number, process in ((2, other), (3, sleeper)):
        if (running := process.admit(number, [0], expected=100, worst=100)) is not None:
            truth.begin(running.call, 100)
    check(books, truth)


def test_who_may_be_written_off_must_have_stopped_to_spend():
    """Why a lease is trusted for a minute less than a quarantine lasts: `quotas.authority.TRUSTED_SECONDS`."""
    play_of_a_sleeper(wakes_in_time=True)
    with pytest.raises(Violation, match="I3"):
        play_of_a_sleeper(wakes_in_time=False)


def test_the_long_run_has_a_door_that_tells_by_its_exit_status():
    for arguments, says in (
        (["20"], "design violations 0 of 20"),
        (["20", "early_release"], "early_release violations"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tests.money.model", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert says in done.stdout
