"""Paging of lists that only grow: from the last row that was shown, along an index. Nothing is counted, and page
10,000 costs what the first does."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import ValidationError
from django.db.models import Model, Q
from django.http import HttpRequest

from apps.audit.pages import ChangeList, ReadOnlyAdmin

OLDER, NEWER = "o", "n"


class Neighbours(NamedTuple):
    """Stands in for a paginator: links to the pages before and after, empty where there is none."""

    newest: str
    newer: str
    older: str
    template_name: str = "admin/neighbours.html"


class KeysetChangeList(ChangeList):
    """`?p=` is a direction and the values of the columns that the list is sorted by, of the row to go on from."""

    def get_results(self, request: HttpRequest) -> None:
        ordering = _whole(self.queryset.query.order_by, key=self.lookup_opts.pk.attname)
        direction, values = self._asked(request.GET.get(PAGE_VAR, ""), ordering)
        back = direction == NEWER
        rows = self.narrowed()
        if values:
            rows = rows.filter(_beyond(ordering, values, back=back))
        if back:
            rows = rows.order_by(*(_turned(name) for name in ordering))
        found = list(rows[: self.list_per_page + 1])
        more = len(found) > self.list_per_page
        found = found[: self.list_per_page]
        self._show(found[::-1] if back else found, ordering, newer=more if back else bool(values), older=back or more)

    def _show(self, found: list[Any], ordering: Sequence[str], *, newer: bool, older: bool) -> None:
        self.result_list = found
        self.result_count = self.full_result_count = len(found)
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False
        self.paginator = Neighbours(
            newest=self.get_query_string() if newer else "",
            newer=self._link(NEWER, found[0], ordering) if newer and found else "",
            older=self._link(OLDER, found[-1], ordering) if older and found else "",
        )
        self.model_admin.complete(found)

    def _link(self, direction: str, row: Any, ordering: Sequence[str]) -> str:
        values = [str(getattr(row, name.lstrip("-"))) for name in ordering]
        return str(self.get_query_string({PAGE_VAR: direction + _packed(values)}))

    def _asked(self, given: str, ordering: Sequence[str]) -> tuple[str, list[Any]]:
        """Raises IncorrectLookupParameters for what no link of this list says. A number is the first page, as ever."""
        if not given or given.isdigit():
            return OLDER, []
        try:
            texts = _unpacked(given[1:])
            if given[0] not in (OLDER, NEWER) or len(texts) != len(ordering):
                raise ValueError(given)
            return given[0], [_value(self.model, name, text) for name, text in zip(ordering, texts, strict=True)]
        except (ValueError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from None


class GrowingAdmin(ReadOnlyAdmin):
    """Rows that are only ever added. What the list can be sorted by needs an index, and a value in every row."""

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return KeysetChangeList


def _whole(ordering: Sequence[str], *, key: str) -> list[str]:
    """What decides the order and no more: after the primary key nothing does."""
    names = []
    for name in ordering:
        names.append({"pk": key, "-pk": f"-{key}"}.get(name, name))
        if names[-1].lstrip("-") == key:
            break
    return names


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


def _value(model: type[Model], name: str, text: str) -> Any:
    return model._meta.get_field(name.lstrip("-")).to_python(text)


def _packed(values: list[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _unpacked(text: str) -> list[str]:
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(text) from error
    if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
        raise ValueError(text)
    return found
