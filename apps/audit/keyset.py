"""Paging of lists that only grow: from the last row that was shown, along an index. Nothing is counted, and page
10,000 costs what the first does."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.audit import cursors
from apps.audit.pages import ChangeList, ReadOnlyAdmin

MOST_LOOKED_AT = 100_000  # rows for a page; 150 ms


class Neighbours(NamedTuple):
    """Stands in for a paginator: links to the pages before and after, empty where there is none. `looked_to`: how far
    back rows were looked at, where there are older ones that were not."""

    newest: str
    newer: str
    older: str
    looked_to: str = ""
    template_name: str = "admin/neighbours.html"


class KeysetChangeList(ChangeList):
    """`?p=` is a cursor."""

    def get_results(self, request: HttpRequest) -> None:
        """A number is the first page, as ever. Raises IncorrectLookupParameters for what no link of this list says."""
        ordering = cursors.whole(self.queryset.query.order_by, key=self.lookup_opts.pk.attname)
        given = request.GET.get(PAGE_VAR, "")
        cursor = "" if given.isdigit() else given
        along = self.model_admin.along(request, self)
        rows = self.narrowed() if along is None else self.queryset
        try:
            self._show(
                cursors.page(rows, ordering, cursor=cursor, size=self.list_per_page, along=along, most=MOST_LOOKED_AT)
            )
        except ValueError as error:
            raise IncorrectLookupParameters(error) from None

    def _show(self, page: cursors.Page) -> None:
        self.result_list = page.rows
        self.result_count = self.full_result_count = len(page.rows)
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False
        self.paginator = Neighbours(
            newest=self.get_query_string() if page.newer else "",
            newer=self._link(page.newer),
            older=self._link(page.older),
            looked_to=self.model_admin.moment_of(page.last) if page.last is not None else "",
        )
        self.model_admin.complete(page.rows)

    def _link(self, cursor: str) -> str:
        return str(self.get_query_string({PAGE_VAR: cursor})) if cursor else ""


class GrowingAdmin(ReadOnlyAdmin):
    """Rows that are only ever added. What the list can be sorted by needs an index, and a value in every row."""

    def along(self, request: HttpRequest, changes: ChangeList) -> QuerySet[Any] | None:
        """The rows without the conditions that no index serves, where there are such: see `cursors.page`."""
        return None

    def moment_of(self, row: Any) -> str:
        """When a row of `along` was added, in words."""
        raise NotImplementedError

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return KeysetChangeList
