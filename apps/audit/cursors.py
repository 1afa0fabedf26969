"""A place in a list that only grows: the values of the columns that it is sorted by, of the row to go on from. What is
read from there on lies along an index, and page 10,000 costs what the first does.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

OLDER, NEWER = "o", "n"
MOST_TEXT = 1_000
MOST_READ = 10_000


class Page(NamedTuple):
    """`newer` and `older` are the cursors of the pages before and after; "": there is none. `last` is the last row that
    was looked at, where there are more that were not."""

    rows: list[Any]
    newer: str
    older: str
    last: Any = None


def page(
    rows: QuerySet[Any],
    ordering: Sequence[str],
    *,
    cursor: str,
    size: int,
    along: QuerySet[Any] | None = None,
    most: int | None = None,
) -> Page:
    """`cursor` "": the first page. `ordering` ends with the primary key, and none of its columns is null. `along`:
    `rows` without the conditions that no index serves; of those `most` are looked at (None: MOST_READ), and the next
    page goes on from there. Raises ValueError for a cursor that this list has never given."""
    direction, values = _read(rows.model, ordering, cursor)
    back = direction == NEWER
    beyond = _beyond(ordering, values, back=back) if values else Q()
    order = [_turned(name) for name in ordering] if back else ordering
    most = most or MOST_READ
    last, unread = _edge(along.filter(beyond).order_by(*order), ordering, most) if along is not None else (None, None)
    if unread is not None:
        beyond &= _beyond(ordering, [getattr(unread, name.lstrip("-")) for name in ordering], back=not back)
    found = list(rows.filter(beyond).order_by(*order)[: size + 1])
    more = len(found) > size
    last = None if more else last
    found = found[:size][::-1] if back else found[:size]
    has_newer, has_older = (more, True) if back else (bool(values), more)
    newest, oldest = (found[0], found[-1]) if found else (None, None)
    if last is not None and back:
        has_newer, newest = True, last
    elif last is not None:
        has_older, oldest = True, last
    return Page(
        rows=found,
        newer=NEWER + _cursor(newest, ordering) if has_newer and newest is not None else "",
        older=OLDER + _cursor(oldest, ordering) if has_older and oldest is not None else "",
        last=last,
    )


def _edge(rows: QuerySet[Any], ordering: Sequence[str], most: int) -> tuple[Any, Any]:
    """The last row to look at, and the first that is too many; None, None: all of them may be. Read from the index."""
    found = list(rows.only(*(name.lstrip("-") for name in ordering))[most - 1 : most + 1])
    return (found[0], found[1]) if len(found) > 1 else (None, None)


def whole(ordering: Sequence[str], *, key: str) -> list[str]:
    """What decides the order and no more: after the primary key nothing does."""
    names = []
    for name in ordering:
        names.append({"pk": key, "-pk": f"-{key}"}.get(name, name))
        if names[-1].lstrip("-") == key:
            break
    return names


def _read(model: type[Model], ordering: Sequence[str], cursor: str) -> tuple[str, list[Any]]:
    if not cursor:
        return OLDER, []
    texts = _unpacked(cursor[1:])
    if cursor[0] not in (OLDER, NEWER) or len(texts) != len(ordering):
        raise ValueError(cursor[:40])
    try:
        return cursor[0], [_value(model, name, text) for name, text in zip(ordering, texts, strict=True)]
    except ValidationError as error:
        raise ValueError(cursor[:40]) from error


def _beyond(ordering: Sequence[str], values: Sequence[Any], *, back: bool) -> Q:
    """The rows after that one in the order, or `back` before it. The first column by itself is what an index reads."""
    condition = Q()
    for name, value in reversed(list(zip(ordering, values, strict=True))):
        column, word = name.lstrip("-"), "lt" if name.startswith("-") != back else "gt"
        strictly = Q(**{f"{column}__{word}": value})
        condition = strictly | (Q(**{column: value}) & condition) if condition else strictly
        bound = Q(**{f"{column}__{word}e": value})
    return bound & condition


def _turned(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _cursor(row: Any, ordering: Sequence[str]) -> str:
    return _packed([str(getattr(row, name.lstrip("-"))) for name in ordering])


def _value(model: type[Model], name: str, text: str) -> Any:
    """Raises ValidationError, and ValueError for what no row can have, so that no database is asked for it."""
    value = model._meta.get_field(name.lstrip("-")).to_python(text)
    if isinstance(value, str) and b"\0" in value.encode():
        raise ValueError(name)
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC)
        except OverflowError as error:
            raise ValueError(name) from error
    return value


def _packed(values: list[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _unpacked(text: str) -> list[str]:
    if len(text) > MOST_TEXT:
        raise ValueError(text[:40])
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(text) from error
    if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
        raise ValueError(text)
    return found
