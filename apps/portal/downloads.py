"""Tables to take away. What people have named could be a formula to whoever opens them: its first sign is made text."""

from __future__ import annotations

import csv as writers
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

Row = Sequence[Any]
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
# Spreadsheets take it for UTF-8 then.
MARK = "\ufeff"


def csv(
    request: HttpRequest, name: str, headings: Sequence[str], batches: Iterable[Sequence[Row]]
) -> StreamingHttpResponse:
    """Sent batch by batch. `name` is the file's, without an ending, of letters, digits and hyphens."""
    texts = _texts(headings, batches)
    # Django would read all of a plain iterator first where it answers asynchronously.
    streamed: Any = _aside(texts) if isinstance(request, ASGIRequest) else texts
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(streamed, content_type="text/csv; charset=utf-8", headers=headers)


def cell(value: Any) -> Any:
    """As it stands in a table: numbers as they are, text so that nothing calculates it."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str) and value.startswith(FORMULAS):
        return f"'{value}"
    return value


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
