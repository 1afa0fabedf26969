"""Providers of a model fail while everybody calls it: callers notice nothing, and every row says why it is there."""

from __future__ import annotations

import os

import pytest

from tests.faults.storms import FAULTS, Storm

CALLS = int(os.environ.get("WEIR_FAULT_CALLS") or 240)


@pytest.mark.parametrize(("fault", "ill", "calls"), [*((fault, 1, CALLS) for fault in FAULTS), ("500", 2, 3 * CALLS)])
def test_callers_of_two_gateways_are_answered_while_a_provider_is_well(several, fault, ill, calls):
    storm = Storm(several, fault, ill=ill)
    try:
        figures = storm.play(calls)
    finally:
        storm.close()
    print(figures)
    assert figures.calls == calls
    assert figures.broken() == []
    if fault in ("kill", "stall", "500"):
        assert figures.changes["open"] >= 2  # at either gateway
    else:
        assert figures.whole == calls  # a limit and slowness cost nobody an answer
