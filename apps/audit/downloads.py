"""Tables to take away. What people have named could be a formula to whoever opens them: its first sign is made text."""

from __future__ import annotations

import csv as writers
import io
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from apps.runtime import walls

Row = Sequence[Any]
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # the wide ones, too, to some
# Spreadsheets take it for UTF-8 then.
MARK = "\ufeff"


def csv(
    request: HttpRequest, name: str, headings: Sequence[str], batches: Iterable[Sequence[Row]]
) -> StreamingHttpResponse:
    """Sent batch by batch. `name` is the file's, without an ending, of letters, digits and hyphens."""
    return streamed(request, f"{name}.csv", _texts(headings, batches), kind="text/csv; charset=utf-8")


def streamed(request: HttpRequest, name: str, pieces: Iterator[Any], *, kind: str) -> StreamingHttpResponse:
    """A file, piece by piece as it is made."""
    pieces = walls.remembered(pieces)
    # Django would read all of a plain iterator first where it answers asynchronously.
    sent: Any = _aside(pieces) if isinstance(request, ASGIRequest) else pieces
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(sent, content_type=kind, headers=headers)


def cell(value: Any) -> Any:
    """As it stands in a table: numbers as they are, text so that nothing calculates it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str) and value.startswith(FORMULAS):
        return f"'{value}"
    return value


def meant(text: str) -> str:
    """What `cell` made of a text, as it was."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULAS) else text


def in_batches(rows: Iterable[Row], *, size: int = 500) -> Iterator[list[Row]]:
    """For rows that come one by one."""
    following = iter(rows)
    while batch := list(itertools.islice(following, size)):
        yield batch


def _texts(headings: Sequence[str], batches: Iterable[Sequence[Row]]) -> Iterator[str]:
    yield MARK + _text([headings])
    for rows in batches:
        yield _text(rows)


def _text(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writers.writer(out).writerows([[cell(value) for value in row] for row in rows])
    return out.getvalue()


async def _aside(texts: Iterator[str]) -> AsyncIterator[str]:
    """Each batch is a query, which must not hold up the loop."""
    following = sync_to_async(lambda: next(texts, None))
    while (text := await following()) is not None:
        yield text
