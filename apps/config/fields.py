"""How each value of a row stands in the text: as it is, as dollars, as a moment, or as the name of another row.

`get` takes a row's value, `out` writes it, `parse` reads what is written; what cannot be is a ValueError that says why.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import models
from django.utils.dateparse import parse_date, parse_datetime

from apps.domain import money

Lookup = Callable[[str], models.Model | None]


class Field:
    """A value of one type, or null where `optional`."""

    def __init__(self, *kinds: type, optional: bool = False) -> None:
        self.kinds = kinds
        self.optional = optional
        self.name = ""

    def get(self, row: Any) -> Any:
        return getattr(row, self.name)

    def out(self, value: Any) -> Any:
        return value

    def parse(self, value: Any) -> Any:
        if value is None and self.optional:
            return None
        if not isinstance(value, self.kinds) or (isinstance(value, bool) and bool not in self.kinds):
            raise ValueError(f"{_called(self.kinds)} is expected here")
        return value

    def differs(self, row: Any, value: Any) -> bool:
        return bool(self.get(row) != value)

    def lacks(self, value: Any) -> bool:
        """Whether what is made with it is without something that it had where it was written."""
        return False

    def told(self, value: Any) -> str:
        """In the plan."""
        found = self.out(value)
        return "nothing" if found is None or found in ("", [], {}) else str(found)


def _called(kinds: tuple[type, ...]) -> str:
    names = {str: "a text", bool: "true or false", int: "a whole number", Decimal: "a number", list: "a list"}
    return names.get(kinds[0], "a mapping")


def text() -> Field:
    return Field(str)


def flag() -> Field:
    return Field(bool)


def count(*, optional: bool = False) -> Field:
    return Field(int, optional=optional)


class Number(Field):
    """A float in its column."""

    def __init__(self, *, optional: bool = False) -> None:
        super().__init__(Decimal, int, optional=optional)

    def parse(self, value: Any) -> Any:
        found = super().parse(value)
        return None if found is None else _float(found)


class Words(Field):
    """A list of texts; the order counts."""

    def __init__(self, *, optional: bool = False) -> None:
        super().__init__(list, optional=optional)

    def parse(self, value: Any) -> Any:
        found = super().parse(value)
        if found is not None and not all(isinstance(word, str) for word in found):
            raise ValueError("a list of texts is expected here: put numbers in quotes")
        return found


class Texts(Field):
    """Texts by name, written in the order of their names."""

    def __init__(self) -> None:
        super().__init__(dict)

    def out(self, value: Any) -> Any:
        return dict(sorted(value.items()))

    def parse(self, value: Any) -> Any:
        return dict(super().parse(value))


class Json(Field):
    """Anything by name, in the order of the names: not every database keeps another."""

    def __init__(self) -> None:
        super().__init__(dict)

    def out(self, value: Any) -> Any:
        match value:
            case dict():
                return {name: self.out(value[name]) for name in sorted(value)}
            case list():
                return [self.out(part) for part in value]
        return value

    def parse(self, value: Any) -> Any:
        return _plain(super().parse(value))


def _plain(value: Any) -> Any:
    """As JSON has it."""
    match value:
        case dict():
            return {str(name): _plain(part) for name, part in value.items()}
        case list():
            return [_plain(part) for part in value]
        case Decimal():
            return _float(value)
    return value


def _float(value: Decimal | int) -> float:
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError("that is more than can be counted")
    return found


class Dollars(Field):
    """Dollars in the text, nano-USD in the column."""

    def __init__(self) -> None:
        super().__init__(Decimal, int)

    def out(self, value: int) -> Decimal:
        return Decimal(money.exact(value).replace("$", "").replace(",", ""))

    def parse(self, value: Any) -> int:
        found = Decimal(super().parse(value))
        if abs(found) > 10**12:
            raise ValueError("that is more than can be counted")
        return money.nano(found)


class Moment(Field):
    """To the microsecond, with its offset from UTC."""

    def __init__(self) -> None:
        super().__init__(str)

    def out(self, value: datetime.datetime) -> str:
        return value.astimezone(datetime.UTC).isoformat()

    def parse(self, value: Any) -> datetime.datetime:
        try:
            found = parse_datetime(super().parse(value))
        except OverflowError:
            found = None
        if found is None or found.tzinfo is None:
            raise ValueError("a moment with its offset is expected here, such as 2026-01-31T00:00:00+00:00")
        return found


class Day(Field):
    def __init__(self) -> None:
        super().__init__(str, optional=True)

    def out(self, value: datetime.date | None) -> str | None:
        return None if value is None else value.isoformat()

    def parse(self, value: Any) -> datetime.date | None:
        found = super().parse(value)
        if found is None:
            return None
        if (day := parse_date(found)) is None:
            raise ValueError("a day is expected here, such as 2026-01-31")
        return day


class Named(Field):
    """Another row, by what it is called. `attribute` is that of a row, or a path of them with dots."""

    def __init__(self, noun: str, lookup: Lookup, called: Callable[[Any], str], *, optional: bool = False) -> None:
        super().__init__(str, optional=optional)
        self.noun, self.lookup, self.called = noun, lookup, called

    def out(self, value: Any) -> str | None:
        return None if value is None else self.called(value)

    def parse(self, value: Any) -> Any:
        found = super().parse(value)
        return None if found is None else self.row(found)

    def row(self, name: str) -> models.Model:
        if (row := self.lookup(name)) is None:
            raise ValueError(f"there is no {self.noun} “{name}”")
        return row


class SeveralNamed(Field):
    """Several other rows, in the order of their names."""

    def __init__(self, one: Named) -> None:
        super().__init__(list)
        self.one = one

    def get(self, row: Any) -> list[Any]:
        return list(getattr(row, self.name).all())

    def out(self, value: list[Any]) -> list[str]:
        return sorted(self.one.called(row) for row in value)

    def parse(self, value: Any) -> list[Any]:
        return [self.one.parse(name) for name in super().parse(value)]

    def differs(self, row: Any, value: Any) -> bool:
        return {one.pk for one in self.get(row)} != {one.pk for one in value}
