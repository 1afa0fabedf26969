"""Lists by page along an index, without counting. The address says where a page begins: `?page=` is a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.http import Http404, HttpRequest

from apps.audit import cursors

SIZE = 50
NAME = "page"
NEWEST_FIRST = ("-id",)


class Part(NamedTuple):
    """A page's rows, and the addresses of the first page and of those before and after; empty where there is none."""

    rows: list[Any]
    newest: str
    newer: str
    older: str


def part(request: HttpRequest, rows: Any, *, ordering: Sequence[str] = NEWEST_FIRST, size: int = SIZE) -> Part:
    """Of a queryset. Raises Http404 for a cursor that the list never gave."""
    try:
        found = cursors.page(rows, ordering, cursor=request.GET.get(NAME, ""), size=size)
    except ValueError:
        raise Http404("There is no such page of the list.") from None
    return Part(
        rows=found.rows,
        newest=_address(request, "") if found.newer else "",
        newer=_address(request, found.newer) if found.newer else "",
        older=_address(request, found.older) if found.older else "",
    )


def _address(request: HttpRequest, cursor: str) -> str:
    query = request.GET.copy()
    query.pop(NAME, None)
    if cursor:
        query[NAME] = cursor
    return f"{request.path}?{query.urlencode()}" if query else request.path
