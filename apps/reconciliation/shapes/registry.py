"""Which shapes there are, and who reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.reconciliation.shapes import anthropic, cur, openai, pages
from apps.reconciliation.shapes.lines import Read

ANTHROPIC_USAGE, ANTHROPIC_COST = "anthropic_usage", "anthropic_cost"
OPENAI_USAGE, OPENAI_COSTS = "openai_usage", "openai_costs"
AWS_CUR = "aws_cur"
IN_PAGES: dict[str, Callable[[list[dict[str, Any]]], Read]] = {
    ANTHROPIC_USAGE: anthropic.usage,
    ANTHROPIC_COST: anthropic.cost,
    OPENAI_USAGE: openai.usage,
    OPENAI_COSTS: openai.costs,
}


def read(shape: str, body: bytes) -> Read:
    """A report as a file. Raises Unreadable."""
    return cur.read(body) if shape == AWS_CUR else IN_PAGES[shape](pages.of(body))
