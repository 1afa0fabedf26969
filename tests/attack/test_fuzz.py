"""All decoders at once, searched as long as there is time for, guided by coverage."""

from __future__ import annotations

import os
import random

import pytest

from tests.attack.__main__ import WHOLE
from tests.fuzz import search
from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.attack("fuzz")

SECONDS, AMONG_OTHERS = 30, 6


def test_a_search_of_all_decoders_finds_no_fault(tmp_path, figure):
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(1, 2**31))
    print(f"FAULTS_SEED={seed}")
    reason = search.without()
    if reason:
        print(f"by chance, without atheris: {reason}")
    seconds = SECONDS if os.environ.get(WHOLE) else AMONG_OTHERS
    names = list(TARGETS)
    if reason:
        outcome = search.by_chance(names, seconds=seconds, seed=seed)
    else:
        outcome = search.guided(names, seconds=seconds, seed=seed % 2**31, folder=tmp_path)
        assert outcome.reached > 1000
        figure("fuzz", "places of the code reached", outcome.reached)
    figure("fuzz", "inputs, guided by chance" if reason else "inputs, guided by coverage", outcome.tried)
    assert outcome.tried > len(names)
    assert not outcome.found, "each is a file of tests/corpus now, and its test says what it does"
