"""What providers, models and deployments share: they are enabled and disabled."""

from __future__ import annotations

import functools
from typing import Any

from django.contrib import admin
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin

IS_ENABLED = ("is_enabled", BooleanRadioFilter)


def counts(related: Any, rows: list[Any], *, by: str) -> dict[int, int]:
    """How many of `related` each row has; rows without any are left out. One query."""
    found = related.filter(**{f"{by}__in": [row.pk for row in rows]}).order_by()
    return dict(found.values_list(by).annotate(count=Count("pk")))


class Switched(AuditedAdmin):
    """Rows with an `is_enabled`, switched by the service that `switch` calls."""

    area = Area.CATALOG
    actions = ["enable", "disable"]

    @display(description="State", ordering="is_enabled")
    def shown_state(self, row: Any) -> str:
        return cells.badge("enabled", "good") if row.is_enabled else cells.badge("disabled", "bad")

    def switch(self, row: Any, *, actor: Any, on: bool) -> None:
        raise NotImplementedError

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        self.each(request, queryset, functools.partial(self.switch, actor=request.user, on=True), done="Enabled")

    @admin.action(description="Disable: no calls go there any more", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        self.each(request, queryset, functools.partial(self.switch, actor=request.user, on=False), done="Disabled")
