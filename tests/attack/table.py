"""The table of docs/security.md: every row of `rows` with the tests that prove it and what they measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.attack.figures import ROW, Figure
from tests.attack.rows import ROWS
from tests.run import ROOT, Tally

PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- attack:begin -->", "<!-- attack:end -->"
HEAD = "| Row | What is tried | What must come of it | Tests | Measured |\n|---|---|---|---|---|\n"


class Results:
    """What a run has told of each row. A test of several passes counts once."""

    def __init__(self, tally: Tally) -> None:
        self.tests: defaultdict[str, set[str]] = defaultdict(set)
        self.figures: defaultdict[str, list[Figure]] = defaultdict(list)
        for test, noted in tally.noted.items():
            for name, value in noted:
                if name == ROW and test in tally.passed:
                    self.tests[value].add(test)
                elif name == Figure.PROPERTY:
                    figure = Figure.decoded(value)
                    self.figures[figure.row].append(figure)

    def faults(self, rows: list[str]) -> Iterator[str]:
        """What is wrong beside tests that failed."""
        for row in rows:
            if not self.tests[row]:
                yield f"{row}: no test has passed"
            for figure in self.figures[row]:
                if not figure.is_within:
                    yield f"{row}: {figure}"
        for row in sorted({*self.tests, *self.figures} - ROWS.keys()):
            yield f"{row} is no row of tests/attack/rows.py"

    def table(self, rows: Iterable[str] = ROWS) -> str:
        return HEAD + "".join(self._line(row) for row in rows)

    def _line(self, row: str) -> str:
        tried, promised = ROWS[row]
        measured = "; ".join(sorted({str(figure) for figure in self.figures[row]}))
        return f"| {row} | {tried} | {promised} | {len(self.tests[row]):,} | {measured} |\n"


def write(table: str, page: Path = PAGE) -> None:
    """Raises ValueError where the page has no place for it."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page.name} has no {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n{table}{END}{after}", encoding="utf-8")
