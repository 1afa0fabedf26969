"""Doing one thing to many rows of a list. A page says first to how many and to which, and what will happen; then it is
done to each by its service, and what was refused is told with the reason.
"""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from apps.audit.forms import reason

MOST_AT_ONCE = 1_000
MOST_COUNTED = 10_000
MOST_NAMED = 20
MOST_REASONS = 10
BATCH = 100


class ManyForm(forms.Form):
    """What is asked for on the page. `page` is the list's, `count` of how many rows."""

    def __init__(self, data: Any = None, *, page: Any, count: int) -> None:
        self.page, self.count = page, count
        super().__init__(data)


class Many(NamedTuple):
    """`does`: what will happen, as a sentence. `open`: the rows to which it is yet to be done, None: all. `stamp`:
    columns that another change of a row would have changed. `shown`: answers with what came of each; else the list."""

    title: str
    does: str
    done: str
    open: Callable[[], Q] | None
    form: type[ManyForm] | None
    is_danger: bool
    stamp: tuple[str, ...]
    most: int
    shown: str


def to_many(
    title: str,
    *,
    does: str,
    done: str,
    open: Callable[[], Q] | None = None,
    form: type[ManyForm] | None = None,
    is_danger: bool = False,
    stamp: tuple[str, ...] = (),
    most: int = MOST_AT_ONCE,
    shown: str = "",
    permission: str = "change",
) -> Callable[[Callable[..., Any]], Any]:
    """Makes an action of a list out of `do(self, row, *, actor, **values)`; `values` are the form's."""
    what = Many(title, does, done, open, form, is_danger, stamp, most, shown)

    def made(do: Callable[..., Any]) -> Any:
        @admin.action(description=title, permissions=[permission])
        @functools.wraps(do)
        def act(self: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
            return _asked(self, request, queryset, what, do)

        return act

    return made


def _asked(page: Any, request: HttpRequest, queryset: QuerySet[Any], what: Many, do: Any) -> HttpResponse | None:
    """Shows the page, and does it when that was sent with the rows still being those it showed."""
    rows = queryset.filter(what.open()) if what.open is not None else queryset
    found = list(rows.order_by("pk").values_list("pk", *what.stamp).distinct()[: what.most])
    mark = hashlib.sha256(repr(found).encode()).hexdigest()[:32]
    sent = request.POST.get("mark", "")
    form = what.form(request.POST if sent else None, page=page, count=len(found)) if what.form is not None else None
    if found and sent == mark and (form is None or form.is_valid()):
        values = form.cleaned_data if form is not None else {}
        return _do(page, request, [pk for pk, *_ in found], what, functools.partial(do, page, **values))
    if sent and sent != mark:
        messages.warning(request, "These rows have changed meanwhile. Look again.")
    return _preview(page, request, queryset, what, form=form, found=[pk for pk, *_ in found], mark=mark)


def _preview(page: Any, request: HttpRequest, queryset: QuerySet[Any], what: Many, **told: Any) -> HttpResponse:
    found = told["found"]
    chosen = counted(queryset)
    open_ = counted(queryset.filter(what.open())) if what.open is not None else chosen
    opts = page.opts
    context = {
        **page.admin_site.each_context(request),
        **told,
        "what": what,
        "title": f"{what.title} {opts.verbose_name_plural}",
        "opts": opts,
        "named": [
            (page.label(row), reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[row.pk]))
            for row in page.get_queryset(request).filter(pk__in=found[:MOST_NAMED]).order_by("pk")
        ],
        "count": len(found),
        "others": len(found) - min(len(found), MOST_NAMED),
        "left": open_ - len(found),
        "is_counted": open_ < MOST_COUNTED,
        "done_already": chosen - open_,
        "noun": opts.verbose_name if len(found) == 1 else page.counted or opts.verbose_name_plural,
        "media": page.media + told["form"].media if told["form"] is not None else page.media,
        "action": request.POST.get("action", ""),
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "across": request.POST.get("select_across", "0"),
        "back": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/bulk.html", context)


def counted(rows: QuerySet[Any]) -> int:
    """No further than MOST_COUNTED."""
    return int(rows.order_by().values("pk").distinct()[:MOST_COUNTED].count())


def _do(page: Any, request: HttpRequest, keys: list[Any], what: Many, do: Any) -> HttpResponse | None:
    results = []
    refused: dict[str, list[str]] = defaultdict(list)
    for row in _rows(page, request, keys):
        try:
            if not page.has_change_permission(request, row):
                raise ValidationError("You may not change it, or nobody may any more.")
            results.append((row, do(row, actor=request.user)))
        except (ValidationError, ProtectedError) as error:
            refused[" ".join(reason(error).messages)].append(page.label(row))
    tell(request, done=what.done, count=len(results), refused=refused)
    if what.shown:
        context = {**page.admin_site.each_context(request), "results": results, "title": what.done, "opts": page.opts}
        response = TemplateResponse(request, what.shown, context)
        response["Cache-Control"] = "no-store"
        return response
    return None


def _rows(page: Any, request: HttpRequest, keys: list[Any]) -> Iterator[Any]:
    """A batch at a time, so that none is held longer than it is worked on."""
    for start in range(0, len(keys), BATCH):
        yield from page.get_queryset(request).filter(pk__in=keys[start : start + BATCH]).order_by("pk")


def tell(request: HttpRequest, *, done: str, count: int, refused: dict[str, list[str]]) -> None:
    """How many, and why not the others."""
    for why, names in list(refused.items())[:MOST_REASONS]:
        messages.error(request, f"{listed(names)}: {why}")
    if len(refused) > MOST_REASONS:
        messages.error(request, f"And {len(refused) - MOST_REASONS:,} more reasons.")
    if count:
        messages.success(request, f"{done}: {count:,}.")


def listed(names: Iterable[str], *, most: int = 3) -> str:
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")
