"""Half of every run's rounds of mixed chaos: two or three gateways on PostgreSQL and Valkey."""

from __future__ import annotations

import pytest

from tests.faults import rounds


@pytest.mark.parametrize("number", range(rounds.EVERY_RUN // 2))
def test_the_ledger_is_the_meter_whatever_happens_to_several_gateways(number, first_seed, several, box):
    box.enter()
    print(rounds.play(several, first_seed + number, together=True))
