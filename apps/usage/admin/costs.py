"""How the cost of an entry came about, as a table."""

from __future__ import annotations

from apps.audit import cells
from apps.domain import money
from apps.usage import costs
from apps.usage.models import Entry


def breakdown(entry: Entry) -> str:
    return cells.table(("", "Tokens", "$ per 1M", "Amount"), [_row(line) for line in costs.lines(entry)])


def _row(line: costs.Line) -> tuple[str, ...]:
    if line.is_part:
        return line.label, cells.number(line.tokens), "", ""
    return line.label, cells.number(line.tokens), _amount(line.rate), _amount(line.amount)


def _amount(nano: int | None) -> str:
    return cells.NOTHING if nano is None else cells.amount(money.exact(nano))
