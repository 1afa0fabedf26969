"""What a span of time came to: in all, told apart by one dimension, bucket by bucket, and beside the span before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from apps.usage import rollups
from apps.usage.reports import spans
from apps.usage.reports.labels import labels
from apps.usage.reports.sources import DIMENSIONS, Amounts, Question, Source, Standing, ask, sources
from apps.usage.reports.spans import Span

TOP = 8
OTHER = "Other"
_ALL = -1


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
    is_whole: bool = True,
) -> Breakdown:
    """`compared`: the present moment, where the span before is to be told too (see `spans.before`). Not `is_whole`: the
    dearest alone, neither the others nor the total. At most four queries."""
    by_hour = span.step == "hour"
    values, count = [], 0
    if dimension is not None:
        ranked = sources(question, dimension, span.starts, span.ends, standing, by_hour=by_hour)
        values, count = _ranked(ranked, DIMENSIONS[dimension], top)

    def sums(of: Span, *, is_timeless: bool) -> _Sums:
        found = _Sums(1 if is_timeless else len(of.marks))
        places = [
            sources(question, name, of.starts, of.ends, standing, by_hour=by_hour and not is_timeless)
            for name in (None, dimension)
        ]
        all_of, each = places if is_whole else ([], places[1])
        for moment, rank, amounts in summed(all_of, each, dimension, values, is_timeless=is_timeless):
            found.add(rank, 0 if is_timeless else of.bucket(moment), amounts)
        return found

    now = sums(span, is_timeless=False)
    before = sums(spans.before(span, compared), is_timeless=True) if compared is not None else None

    def slice_of(label: str, value: Any, rank: int) -> Slice:
        amounts, points = now.of(rank)
        return Slice(label, value, amounts, before.of(rank)[0] if before is not None else None, points)

    names = labels(dimension, values) if dimension is not None else []
    slices = [slice_of(label, value, rank) for rank, (label, value) in enumerate(zip(names, values, strict=True))]
    total = slice_of("Total", None, _ALL)
    other = _rest(total, slices) if is_whole and count > len(values) else None
    return Breakdown(dimension, slices, other, count - len(values), total)


def _rest(total: Slice, slices: Sequence[Slice]) -> Slice:
    """What is left of the total without the slices."""
    amounts, before, points = total.amounts, total.before, total.points
    for one in slices:
        amounts = amounts.minus(one.amounts)
        before = None if before is None or one.before is None else before.minus(one.before)
        points = [left - point for left, point in zip(points, one.points, strict=True)]
    return Slice(OTHER, None, amounts, before, points)


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
    all_of: Sequence[Source],
    each: Sequence[Source] = (),
    dimension: str | None = None,
    values: Sequence[Any] = (),
    *,
    is_timeless: bool = False,
) -> Iterator[tuple[datetime | date, int, Amounts]]:
    """By moment, unless it is timeless: what the sources `all_of` have as a whole, at the place -1, and of `each` only
    what is of one of the values of a dimension, at its place among them. So few are found along an index, and the whole
    is read where it is summed up more coarsely; what is the same for both is read once. One query."""
    places, among, known = _places(dimension, values) if values else ("", "", [])
    both = [source for source in all_of if values and source in each]  # read once
    asked = [_Asked(source, str(_ALL)) for source in all_of if source not in both]
    asked += [_Asked(source, places, listed=known, is_all=True) for source in both]
    asked += [_Asked(source, places, among, known) for source in each if values and source not in both]
    parts = [one.sql(number, is_timeless=is_timeless) for number, one in enumerate(asked)]
    parameters = [value for one in asked for value in one.parameters(is_timeless=is_timeless)]
    for number, at, place, *sums in ask(" UNION ALL ".join(parts), parameters) if parts else ():
        told = date.min if is_timeless else asked[number].source.moment_of(at)
        amounts = Amounts(*(int(amount or 0) for amount in sums))
        if place is not None:
            yield told, int(place), amounts
        if asked[number].is_all:
            yield told, _ALL, amounts


class _Asked(NamedTuple):
    """A source, how the place of its rows is told in SQL, and which of them count; `listed`: the parameters of each.
    `is_all`: all of them, and together they are the whole too; then those of no place have none."""

    source: Source
    place: str
    among: str = ""
    listed: Sequence[Any] = ()
    is_all: bool = False

    def sql(self, number: int, *, is_timeless: bool) -> str:
        """Constants and placeholders only."""
        source = self.source
        moment = "'0'" if is_timeless else f"CAST({source.moment} AS text)"
        # By the column itself where that is possible, and not by its text.
        by = "2" if is_timeless or source.moments else source.moment
        sums = ", ".join(source.sums[name] for name in rollups.SUMS)
        return (
            f"SELECT {number} AS source, {moment} AS moment, {self.place} AS value_rank, {sums}"  # noqa: S608
            f" FROM {source.table} WHERE {source.condition}{self.among} GROUP BY {by}, 3"
        )

    def parameters(self, *, is_timeless: bool) -> list[Any]:
        moments = () if is_timeless else self.source.moment_parameters
        return [*moments, *self.listed, *self.source.parameters, *(self.listed if self.among else ())]


def _places(dimension: str | None, values: Sequence[Any]) -> tuple[str, str, list[Any]]:
    """In SQL, the place of a row's value among these, and the condition that it is one of them, with parameters."""
    column = DIMENSIONS[dimension or ""]
    cases = [
        f"WHEN {column} IS NULL THEN {place}" if value is None else f"WHEN {column} = %s THEN {place}"
        for place, value in enumerate(values)
    ]
    known = [value for value in values if value is not None]
    one_of = [f"{column} IN ({', '.join(['%s'] * len(known))})"] if known else []
    none = [f"{column} IS NULL"] if len(known) < len(values) else []
    return f"CASE {' '.join(cases)} END", f" AND ({' OR '.join(one_of + none)})", known
