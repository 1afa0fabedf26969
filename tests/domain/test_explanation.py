"""What a dry run says, in words for a terminal and as JSON."""

from __future__ import annotations

from typing import get_args

import msgspec

from apps.domain import explanation
from apps.domain.explanation import (
    BudgetLeft,
    Cache,
    Candidate,
    Cost,
    Explanation,
    Finding,
    LimitLeft,
    Policy,
    Size,
    Who,
)
from apps.domain.snapshot import Strategy

TOLD = Explanation(
    endpoint="messages",
    serves=True,
    model="claude",
    who=Who(key="abc", tenant_id=1, project_id=2),
    needs=("vision",),
    size=Size(prompt_bytes=400, likely_tokens=100, most_tokens=200, answer_tokens=64),
    policy=Policy(name="eu-only", required_tags=("eu",), findings=(Finding(kind="iban", count=2, action="route"),)),
    strategy="cheapest",
    deployments=(
        Candidate(number=1, state="refused", reason="tag eu missing", provider="far"),
        Candidate(number=2, state="first", reason="cheapest", order=1, cost=Cost(likely=2_000_000, most=30_000_000)),
    ),
    limits=(LimitLeft(scope="key", kind="requests", limit=60, left=0),),
    budgets=(BudgetLeft(scope="tenant", subject="tenant Acme", period="month", amount=10**9, spent=0, note="covered"),),
    cache=Cache(looked_up=False, reason="the model keeps no answers"),
    live=False,
    notes=("live state is not visible from here",),
)


def test_the_text_says_who_is_asked_who_is_not_and_why():
    lines = explanation.text(TOLD).splitlines()
    assert lines == [
        "claude, asked at messages by weir_abc…",
        "Would go to deployment 2: cheapest",
        "Prompt: 100 tokens, at most 200; answer up to 64",
        "Needs: vision",
        "Policy eu-only: needs eu",
        "  found iban ×2: route",
        "Deployments, the cheapest first:",
        "  × - far: tag eu missing",
        "  → 1 deployment 2: cheapest ($0.002, at most $0.03)",
        "Limit of this key: 0 of 60 requests left",
        "Budget of tenant Acme: $0.00 of $1.00 spent; covered",
        "Cache: not looked up: the model keeps no answers",
        "Note: live state is not visible from here",
    ]


def test_a_refusal_stands_before_everything_else():
    refusal = explanation.Refusal(status=404, kind="not_found", message="model: claude")
    told = msgspec.structs.replace(TOLD, refusal=refusal, serves=False)
    assert explanation.text(told).splitlines()[1] == "REFUSED 404: model: claude"


def test_json_holds_all_of_it():
    assert msgspec.json.decode(msgspec.json.encode(TOLD), type=Explanation) == TOLD


def test_a_call_larger_than_its_whole_limit_passes_when_all_of_it_is_left():
    assert LimitLeft(scope="key", kind="tokens", limit=10, left=10, needs=50).passes
    assert LimitLeft(scope="key", kind="tokens", limit=10, left=9, needs=50).passes is False
    assert LimitLeft(scope="key", kind="tokens", limit=10, needs=50).passes is None


def test_regions_are_told_and_that_there_are_none():
    def told(regions):
        confined = msgspec.structs.replace(TOLD, policy=Policy(name="eu-only", regions=regions))
        return [line for line in explanation.text(confined).splitlines() if line.startswith("Policy")]

    assert told(("eu", "ch")) == ["Policy eu-only: only in eu, ch"]
    assert told(()) == ["Policy eu-only: only in no region"], "and not anywhere"
    assert told(None) == ["Policy eu-only: no tags, no regions"]


def test_every_strategy_is_told_in_words():
    assert explanation.ORDERS.keys() == set(get_args(Strategy))
