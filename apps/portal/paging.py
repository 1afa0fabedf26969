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
    """A page's rows, and the addresses of the first page and of those before and after; empty where there is none.
    `last`: see `cursors.Page`."""

    rows: list[Any]
    newest: str
    newer: str
    older: str
    last: Any = None


def part(
    request: HttpRequest, rows: Any, *, ordering: Sequence[str] = NEWEST_FIRST, size: int = SIZE, along: Any = None
) -> Part:
    """Of a queryset; `along`: see `cursors.page`. Raises Http404 for a cursor that the list never gave."""
    try:
        found = cursors.page(rows, ordering, cursor=request.GET.get(NAME, ""), size=size, along=along)
    except ValueError:
        raise Http404("There is no such page of the list.") from None
    return Part(
        rows=found.rows,
        newest=_address(request, "") if request.GET.get(NAME) else "",
        newer=_address(request, found.newer) if found.newer else "",
        older=_address(request, found.older) if found.older else "",
        last=found.last,
    )


def _address(request: HttpRequest, cursor: str) -> str:
    query = request.GET.copy()
    query.pop(NAME, None)
    if cursor:
        query[NAME] = cursor
    return f"{request.path}?{query.urlencode()}" if query else request.path
