"""The accounting's model keeps its promises, and would tell if it did not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.money.model import violations
from tests.money.model_mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 400
CHUNK = 100


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_money_is_exact_however_the_processes_are_interleaved(first):
    assert violations(range(first, first + CHUNK)) == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_in_the_accounting_is_found(name):
    assert violations(range(MUTANTS[name].seeds), name, enough=1)


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
