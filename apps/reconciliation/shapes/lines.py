"""What every report is read into: lines by day, model and account, their money in whole nano-USD.

A report's amounts are added up exactly, and each line is rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from typing import Any

import msgspec

COUNTERS = ("in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total")
MOST_LINES = 50_000
MOST_DAYS = 366
MOST_CHARACTERS = 200
MOST_TOKENS = 10**15
MOST_DOLLARS = Decimal(9_000_000_000)
UNNAMED = "(none)"  # an account that the report does not name, where it names others
FIRST_DAY = date(2020, 1, 1)
_EXACT = Context(prec=120)
_NANO = Decimal(10) ** 9


class Unreadable(ValueError):
    """Why a report cannot be read, and where in it."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}" if where else why)


class Line(msgspec.Struct, frozen=True):
    """What one account used of one model on one day of UTC. `account` is a key, a workspace or a project, "" where the
    report tells none apart; as `model`. `tokens` as COUNTERS, None: the report tells none; `requests` and `cost`
    (nano-USD) likewise."""

    day: date
    model: str
    account: str
    tokens: tuple[int, ...] | None = None
    requests: int | None = None
    cost: int | None = None


class Left(msgspec.Struct, frozen=True):
    """Lines of a report that are not usage: what they are, how many, and their money in nano-USD."""

    what: str
    lines: int
    cost: int


class Read(msgspec.Struct, frozen=True):
    """A report. Days are of UTC, both included."""

    first: date
    last: date
    lines: tuple[Line, ...]
    left_out: tuple[Left, ...] = ()

    @property
    def has_tokens(self) -> bool:
        return any(line.tokens is not None for line in self.lines)

    @property
    def has_cost(self) -> bool:
        return any(line.cost is not None for line in self.lines)


class _Sum:
    def __init__(self) -> None:
        self.tokens: list[int] | None = None
        self.requests: int | None = None
        self.dollars: Decimal | None = None


class Gatherer:
    """Adds up what a report says. Raises Unreadable for what cannot be, and for too much of it."""

    def __init__(self) -> None:
        self._sums: dict[tuple[date, str, str, str], _Sum] = {}
        self._left: dict[str, tuple[int, Decimal]] = {}
        self._days: set[date] = set()

    def day(self, day: date, where: str) -> date:
        """Belongs to the report's period, with or without lines."""
        if not FIRST_DAY <= day <= datetime.now(UTC).date() + timedelta(days=1):
            raise Unreadable(where, f"{day} is no day that a report is of.")
        self._days.add(day)
        if (max(self._days) - min(self._days)).days >= MOST_DAYS:
            raise Unreadable(where, f"{MOST_DAYS} days are the most.")
        return day

    def add(
        self,
        where: str,
        day: date,
        model: str,
        *,
        key: str = "",
        group: str = "",
        tokens: Sequence[int] | None = None,
        requests: int | None = None,
        dollars: Decimal | None = None,
    ) -> None:
        """`key` and `group`: whose it was, finely and coarsely."""
        whole = self._sums.get((day, model, key, group))
        if whole is None:
            if len(self._sums) >= MOST_LINES:
                raise Unreadable(where, f"{MOST_LINES:,} lines by day, model and account are the most.")
            whole = self._sums[day, model, key, group] = _Sum()
        if tokens is not None:
            whole.tokens = [before + more for before, more in zip(whole.tokens or [0] * 5, tokens, strict=True)]
        if requests is not None:
            whole.requests = (whole.requests or 0) + requests
        if dollars is not None:
            whole.dollars = _EXACT.add(whole.dollars or Decimal(0), dollars)

    def leave(self, what: str, dollars: Decimal) -> None:
        """Not usage, so not compared; told of."""
        count, before = self._left.get(what, (0, Decimal(0)))
        if what not in self._left and len(self._left) >= 20:
            what = "others"
            count, before = self._left.get(what, (0, Decimal(0)))
        self._left[what] = (count + 1, _EXACT.add(before, dollars))

    def read(self) -> Read:
        if not self._days:
            raise Unreadable("", "There is no day in it.")
        left = tuple(Left(what, count, _nano(dollars)) for what, (count, dollars) in sorted(self._left.items()))
        return Read(min(self._days), max(self._days), self._lines(), left)

    def _lines(self) -> tuple[Line, ...]:
        """By key where the report names any, else by group, else by none."""
        by_key = any(key for _, _, key, _ in self._sums)
        by_group = not by_key and any(group for _, _, _, group in self._sums)
        found: dict[tuple[date, str, str], _Sum] = {}
        for (day, model, key, group), part in self._sums.items():
            account = (key or UNNAMED) if by_key else (group or UNNAMED) if by_group else ""
            whole = found.setdefault((day, model, account), _Sum())
            if part.tokens is not None:
                whole.tokens = [sum(pair) for pair in zip(whole.tokens or [0] * 5, part.tokens, strict=True)]
            if part.requests is not None:
                whole.requests = (whole.requests or 0) + part.requests
            if part.dollars is not None:
                whole.dollars = _EXACT.add(whole.dollars or Decimal(0), part.dollars)
        return tuple(_line(place, found[place]) for place in sorted(found))


def _line(place: tuple[date, str, str], whole: _Sum) -> Line:
    day, model, account = place
    tokens = None if whole.tokens is None else tuple(whole.tokens)
    cost = None if whole.dollars is None else _nano(whole.dollars)
    return Line(day, model, account, tokens=tokens, requests=whole.requests, cost=cost)


def _nano(dollars: Decimal) -> int:
    with localcontext(_EXACT):
        return int((dollars * _NANO).to_integral_value(rounding=ROUND_HALF_EVEN))


# --- values ---------------------------------------------------------------------------------------------------------


def text(value: Any, where: str) -> str:
    """A name; None: ""."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable(where, "Give a text.")
    if len(value) > MOST_CHARACTERS or not value.isprintable():
        raise Unreadable(where, f"A name has at most {MOST_CHARACTERS} characters, all of them printable.")
    return value.strip()


def whole(value: Any, where: str) -> int:
    """A number of tokens or requests; None: 0."""
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MOST_TOKENS:
        raise Unreadable(where, "Give a whole number from 0 on.")
    return value


def number(value: Any, where: str) -> Decimal:
    """Exactly what is written."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal) or value == "":
        raise Unreadable(where, "Give a number.")
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        raise Unreadable(where, "Give a number.") from None
    if not found.is_finite() or abs(found) > MOST_DOLLARS * 1000 or found.adjusted() < -40 or len(str(value)) > 60:
        raise Unreadable(where, "This is no number that is counted in.")
    return found


def dollars(value: Any, where: str, *, per: int = 1) -> Decimal:
    """`per` of what is written make a dollar."""
    found = _EXACT.divide(number(value, where), Decimal(per))
    if abs(found) > MOST_DOLLARS:
        raise Unreadable(where, "This is more than can be counted.")
    return found


def only_dollars(currency: Any, where: str) -> None:
    if not isinstance(currency, str) or currency.upper() != "USD":
        told = currency if isinstance(currency, str) and currency.isprintable() else "none"
        raise Unreadable(where, f"The ledger is in US dollars: nothing in {told[:20] or 'none'} can be compared.")


def moment(value: Any, where: str) -> datetime:
    """RFC 3339, or the same with a space in it; without an offset UTC."""
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise Unreadable(where, "Give a moment like 2026-11-01T00:00:00Z.") from None
