"""What a test of an attack has measured, on its way from the test to the table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import ClassVar

ROW = "row"  # a test case's property in JUnit's report, as `Figure.PROPERTY` is


@dataclass(frozen=True)
class Figure:
    """`value` in `unit` of `what`, for a row of `rows`; `most` and `least` are what it may be."""

    PROPERTY: ClassVar[str] = "figure"  # of a test case in JUnit's report

    row: str
    what: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None

    def encoded(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, text: str) -> Figure:
        return cls(**json.loads(text))

    @property
    def is_within(self) -> bool:
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    def __str__(self) -> str:
        missed = "" if self.is_within else ", **missed**"
        return f"{self.what}: {self._with_unit(self.value)}{self._bound()}{missed}"

    def _bound(self) -> str:
        bounds = [("at most", self.most), ("at least", self.least)]
        said = [f"{word} {self._with_unit(bound)}" for word, bound in bounds if bound is not None]
        return f" ({', '.join(said)})" if said else ""

    def _with_unit(self, value: float) -> str:
        number = f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
        return f"{number} {self.unit}".rstrip()
