"""A list of the admin as a file: what its filters and its search leave, in its order, so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from apps.audit import downloads

MOST_TAKEN = 50_000
BATCH = 500
Column = tuple[str, str | Callable[[Any], Any]]  # its heading, and an attribute of the row or what makes it of the row


def download(page: Any, request: HttpRequest) -> HttpResponseBase:
    """No more than MOST_TAKEN rows; the last line says so, where there are more."""
    if not page.has_view_permission(request):
        raise PermissionDenied
    try:
        rows = page.get_changelist_instance(request).queryset
    except IncorrectLookupParameters:
        return HttpResponseRedirect("?")
    keys = list(rows.values_list("pk", flat=True)[: MOST_TAKEN + 1])
    heads = [head for head, _ in page.downloaded]
    return downloads.csv(request, f"weir-{page.opts.model_name}", heads, _batches(page, request, keys))


def _batches(page: Any, request: HttpRequest, keys: list[Any]) -> Iterator[list[list[Any]]]:
    related = page.list_select_related if isinstance(page.list_select_related, list | tuple) else ()
    for start in range(0, min(len(keys), MOST_TAKEN), BATCH):
        wanted = keys[start : start + BATCH]
        found = {row.pk: row for row in page.get_queryset(request).select_related(*related).filter(pk__in=wanted)}
        rows = [found[pk] for pk in wanted if pk in found]
        page.complete(rows)
        yield [[_value(row, column) for _, column in page.downloaded] for row in rows]
    if len(keys) > MOST_TAKEN:
        yield [[f"Only the first {MOST_TAKEN:,} rows: filter the list for the others."]]


def _value(row: Any, column: str | Callable[[Any], Any]) -> Any:
    if callable(column):
        return column(row)
    value = row
    for name in column.split("."):
        value = getattr(value, name, None)
    if value is None:
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else value if isinstance(value, int) else str(value)
