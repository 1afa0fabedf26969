"""What providers, models and deployments share: they are enabled and disabled."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.bulk import to_many
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

    @to_many("Enable", does="Calls may go there again.", done="Enabled", open=lambda: Q(is_enabled=False))
    def enable(self, row: Any, *, actor: Any) -> None:
        self.switch(row, actor=actor, on=True)

    @to_many(
        "Disable",
        does="No calls go there any more, within a second or two. Nothing is deleted.",
        done="Disabled",
        open=lambda: Q(is_enabled=True),
    )
    def disable(self, row: Any, *, actor: Any) -> None:
        self.switch(row, actor=actor, on=False)
