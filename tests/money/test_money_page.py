"""What docs/money.md tells whoever pays is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from django.core.management import get_commands

from apps.domain import estimate, money, pricing
from apps.domain.tokens import TokenUsage
from apps.quotas import windows
from apps.status import books, process
from apps.usage import recovery
from apps.usage.records import Checkpoint
from tests.money.calls import CARD, intent
from tests.money.model_mutants import MUTANTS
from tests.money.test_machine import BREAKAGES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "money.md").read_text(encoding="utf-8")
PICTURE = (DOCS / "images" / "call.svg").read_text(encoding="utf-8")
PROMPT_BYTES, MAX_TOKENS = 4_000, 1_000


def cost(fresh: int, out: int) -> int:
    return pricing.cost(TokenUsage(in_fresh=fresh, out_total=out), CARD)


def held() -> int:
    return pricing.cost(estimate.most(PROMPT_BYTES, max_tokens=MAX_TOKENS, model_cap=64_000), CARD)


def test_the_example_holds_and_spends_what_it_says():
    assert f"**{money.exact(held())}** is held" in PAGE
    assert f"row of **{money.exact(cost(1_100, 320))}**" in PAGE
    assert f"the other {money.exact(held() - cost(1_100, 320))} is free" in PAGE
    assert f"held: {money.exact(held())}" in PICTURE
    assert f"spent: {money.exact(cost(1_100, 320))}" in PICTURE


def test_the_example_s_killed_call_has_the_range_it_says():
    meant = intent(reserved=held(), input_tokens=estimate.input_tokens(PROMPT_BYTES), at=100.0)
    doubt = recovery.unconfirmed(meant, Checkpoint(at=110.0, output_tokens=250, response_id="msg_1"))
    rows = re.findall(r"^\| (least|likely|most).*\| (\$[\d.]+) \|$", PAGE, re.MULTILINE)
    assert doubt.low is not None
    assert doubt.high is not None
    assert rows == [
        ("least", money.exact(doubt.low)),
        ("likely", money.exact(doubt.cost)),
        ("most", money.exact(doubt.high)),
    ]
    correction = cost(1_100, 340) - doubt.high
    assert f"**−{money.exact(-correction)}**" in PAGE
    assert f"say {money.exact(cost(1_100, 340))}" in PAGE


def test_the_example_s_overrun_is_what_was_billed_beyond():
    billed = cost(1_100, 1_400)
    assert f"did not stream: {money.exact(billed)}" in PAGE
    assert f"booked; {money.exact(billed - held())} of it is overrun" in PAGE


def test_its_times_are_the_code_s():
    assert (windows.DEAD_AFTER + windows.QUARANTINE).total_seconds() == 11 * 60
    assert "eleven minutes" in PAGE


def test_the_commands_it_names_exist():
    named = set(re.findall(r"manage\.py (\w+)", PAGE))
    assert {"ledger_verify", "ledger_unconfirmed", "reprice", "replica_lost"} <= named
    assert named <= set(get_commands())


def test_the_metrics_it_names_are_told():
    told = Path(books.__file__).read_text() + Path(process.__file__).read_text()
    named = set(re.findall(r"`(weir_\w+)`", PAGE))
    assert len(named) >= 6
    assert [name for name in named if f'"{name.removesuffix("_total")}"' not in told] == []


def test_it_counts_the_mistakes_that_are_noticed():
    assert f"each of {len(MUTANTS)} mistakes" in PAGE
    assert len(BREAKAGES) == 11
    assert "Eleven mistakes" in PAGE
