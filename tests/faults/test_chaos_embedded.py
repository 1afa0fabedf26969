"""Half of every run's rounds of mixed chaos: one gateway on SQLite."""

from __future__ import annotations

import pytest

from tests.faults import rounds


@pytest.mark.parametrize("number", range(rounds.EVERY_RUN // 2))
def test_the_ledger_is_the_meter_whatever_happens_to_one_gateway(number, first_seed, embedded, box):
    box.enter()
    print(rounds.play(embedded, first_seed + number, together=False))
