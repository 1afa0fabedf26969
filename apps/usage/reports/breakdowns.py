"""What a span of time came to: in all, told apart by one dimension, bucket by bucket, and beside the span before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from apps.usage import rollups
from apps.usage.reports import spans
from apps.usage.reports.labels import labels
from apps.usage.reports.sources import DIMENSIONS, Amounts, Question, Source, Standing, ask, sources
from apps.usage.reports.spans import Span

TOP = 8
OTHER = "Other"
_REST = -1


class Slice(msgspec.Struct):
    """One value of a dimension, or what is left of it: its sums, those of the span before, and its cost by bucket."""

    label: str
    value: Any
    amounts: Amounts
    before: Amounts | None
    points: list[int]


class Breakdown(msgspec.Struct):
    """`slices`: the dearest. `others`: how many values `other` is of; None: there are no more."""

    dimension: str | None
    slices: list[Slice]
    other: Slice | None
    others: int
    total: Slice

    @property
    def is_empty(self) -> bool:
        return not any(self.total.amounts)


class _Sums:
    """By rank and by bucket."""

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets
        self.amounts: dict[int, Amounts] = {}
        self.points: dict[int, list[int]] = {}

    def add(self, rank: int, bucket: int, amounts: Amounts) -> None:
        self.amounts[rank] = self.amounts.get(rank, Amounts()).plus(amounts)
        self.points.setdefault(rank, [0] * self._buckets)[bucket] += amounts.cost_nano

    def of(self, rank: int) -> tuple[Amounts, list[int]]:
        return self.amounts.get(rank, Amounts()), self.points.get(rank, [0] * self._buckets)


def break_down(
    question: Question,
    span: Span,
    standing: Standing,
    *,
    dimension: str | None = None,
    top: int = TOP,
    compared: datetime | None = None,
) -> Breakdown:
    """`compared`: the present moment, where the span before is to be told too (see `spans.before`). At most
    four queries."""
    found = sources(question, dimension, span.starts, span.ends, standing, by_hour=span.step == "hour")
    values, count = _ranked(found, DIMENSIONS[dimension], top) if dimension is not None else ([], 0)
    column = DIMENSIONS[dimension] if dimension is not None else None
    now = _Sums(len(span.marks))
    for moment, rank, amounts in summed(found, column, values):
        now.add(rank, span.bucket(moment), amounts)
    before = None
    if compared is not None:
        earlier = spans.before(span, compared)
        before = _Sums(1)
        then = sources(question, dimension, earlier.starts, earlier.ends, standing)
        for _, rank, amounts in summed(then, column, values, is_timeless=True):
            before.add(rank, 0, amounts)
    names = labels(dimension, values) if dimension is not None else []

    def slice_of(label: str, value: Any, rank: int) -> Slice:
        amounts, points = now.of(rank)
        return Slice(label, value, amounts, before.of(rank)[0] if before is not None else None, points)

    slices = [slice_of(label, value, rank) for rank, (label, value) in enumerate(zip(names, values, strict=True))]
    other = slice_of(OTHER, None, _REST) if dimension is not None and count > len(values) else None
    rest = slice_of("", None, _REST)
    return Breakdown(dimension, slices, other, count - len(values), _total([*slices, rest]))


def _total(parts: Sequence[Slice]) -> Slice:
    amounts, before = Amounts(), Amounts()
    for part in parts:
        amounts, before = amounts.plus(part.amounts), before.plus(part.before or Amounts())
    points = [sum(column) for column in zip(*(part.points for part in parts), strict=True)]
    return Slice("Total", None, amounts, before if parts[-1].before is not None else None, points)


def _ranked(found: Sequence[Source], column: str, top: int) -> tuple[list[Any], int]:
    """The dearest values, at equal cost those with most calls, and how many there are."""
    if not found:
        return [], 0
    parts = [
        # Constants and placeholders only, here and below.
        f"SELECT {column} AS value, {source.sums['cost_nano']} AS cost, {source.sums['calls']} AS calls"  # noqa: S608
        f" FROM {source.table} WHERE {source.condition} GROUP BY 1"
        for source in found
    ]
    query = f"""SELECT value, COUNT(*) OVER () FROM ({" UNION ALL ".join(parts)}) AS parts GROUP BY value
        ORDER BY SUM(cost) DESC, SUM(calls) DESC, value LIMIT {top:d}"""  # noqa: S608
    rows = list(ask(query, [parameter for source in found for parameter in source.parameters]))
    return [value for value, _ in rows], int(rows[0][1]) if rows else 0


def summed(
    found: Sequence[Source], column: str | None = None, values: Sequence[Any] = (), *, is_timeless: bool = False
) -> Iterator[tuple[datetime | date, int, Amounts]]:
    """By moment, unless it is timeless, and by which of the values it is of. One query."""
    rank_of, known = _rank(column, values)
    parts, parameters = [], []
    for number, source in enumerate(found):
        moment = "'0'" if is_timeless else f"CAST({source.moment} AS text)"
        sums = ", ".join(source.sums[name] for name in rollups.SUMS)
        parts.append(
            f"SELECT {number} AS source, {moment} AS moment, {rank_of} AS value_rank, {sums}"  # noqa: S608
            f" FROM {source.table} WHERE {source.condition} GROUP BY 2, 3"
        )
        parameters += [*(() if is_timeless else source.moment_parameters), *known, *source.parameters]
    for number, at, rank, *amounts in ask(" UNION ALL ".join(parts), parameters) if parts else ():
        moment = date.min if is_timeless else found[number].moment_of(at)
        yield moment, int(rank), Amounts(*(int(amount or 0) for amount in amounts))


def _rank(column: str | None, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """In SQL, the place of a row's value among these, with parameters."""
    cases = [
        f"WHEN {column} IS NULL THEN {rank}" if value is None else f"WHEN {column} = %s THEN {rank}"
        for rank, value in enumerate(values)
    ]
    return f"CASE {' '.join(cases)} ELSE {_REST} END" if cases else str(_REST), [v for v in values if v is not None]
