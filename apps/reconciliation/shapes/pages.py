"""JSON in pages, as admin APIs answer: one, a list of them, or one after another."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.reconciliation.shapes.lines import Unreadable

MOST_PAGES = 400
_SPACE = re.compile(r"\s*")


def of(body: bytes) -> list[dict[str, Any]]:
    """All pages. Raises Unreadable for what is no page, for what is there twice and for one that is missing."""
    try:
        found = _values(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Unreadable("", "It is not UTF-8.") from None
    except RecursionError:
        raise Unreadable("", "It is nested too deeply.") from None
    except (ValueError, ArithmeticError) as error:  # Decimal has bounds, too
        raise Unreadable("", f"It is not JSON: {error}") from None
    if len(found) == 1 and isinstance(found[0], list):
        found = found[0]
    check(found)
    if found[-1].get("has_more"):
        raise Unreadable("has_more", "There are more pages than are here: bring in all of them at once.")
    return found


def check(found: list[Any]) -> None:
    if not 0 < len(found) <= MOST_PAGES:
        raise Unreadable("", f"One to {MOST_PAGES} pages.")
    known: set[bytes] = set()
    for index, page in enumerate(found):
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            raise Unreadable(_place(index, found).rstrip(", "), "This is no page: it has no list of data.")
        for bucket in page["data"]:
            if not isinstance(bucket, dict) or not bucket.get("results"):
                continue  # what is empty is alike, whatever was asked for
            digest = hashlib.sha256(json.dumps(bucket, sort_keys=True, default=str).encode()).digest()
            if digest in known:
                raise Unreadable(_place(index, found).rstrip(", "), "A bucket of it is there twice.")
            known.add(digest)


def one(body: bytes) -> dict[str, Any]:
    """A single page, as it was fetched. Raises Unreadable."""
    try:
        page = json.loads(body.decode(), parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, ArithmeticError, RecursionError):
        raise Unreadable("", "The answer is not JSON.") from None
    check([page])
    return dict(page)


def buckets(pages: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], list[tuple[str, dict[str, Any]]]]]:
    """Where each bucket stands, what it is, and its results with their places."""
    for number, page in enumerate(pages):
        for index, bucket in enumerate(page["data"]):
            where = f"{_place(number, pages)}data[{index}]"
            if not isinstance(bucket, dict) or not isinstance(bucket.get("results"), list):
                raise Unreadable(where, "This is no bucket: it has no list of results.")
            results = [(f"{where}.results[{place}]", result) for place, result in enumerate(bucket["results"])]
            for place, result in results:
                if not isinstance(result, dict):
                    raise Unreadable(place, "This is no object.")
            yield where, bucket, results


def within_a_day(begin: datetime, end: datetime | None, where: str, *, instead: str = "ask for 1d") -> None:
    """Raises Unreadable for what has parts of two days of UTC. `instead`: how to get it by days."""
    last = begin if end is None else max(begin, end - timedelta(microseconds=1))
    if last.date() != begin.date():
        raise Unreadable(where, f"What is of more than one day of UTC cannot be compared: {instead}.")


def unix(value: Any, where: str) -> datetime:
    try:
        if type(value) is not int:
            raise ValueError
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise Unreadable(where, "Give seconds since 1970.") from None


def _values(text: str) -> list[Any]:
    decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)
    found: list[Any] = []
    at = _after_space(text, 0)
    while at < len(text) and len(found) <= MOST_PAGES:
        value, at = decoder.raw_decode(text, at)
        found.append(value)
        at = _after_space(text, at)
    return found


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _place(index: int, pages: list[Any]) -> str:
    return f"page {index + 1}, " if len(pages) > 1 else ""
