"""Which of Weir's chores runs when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django_celery_beat.models import PeriodicTask

from apps.config import schedules
from apps.config.fields import Field, flag, text
from apps.config.kinds import Kind, Values


class _When(Field):
    def get(self, row: PeriodicTask) -> Any:
        return schedules.when(row)[self.name]


class Schedules(Kind):
    """Every so often, or as a crontab says."""

    title, noun, key = "schedules", "schedule", ("name",)
    fields = {
        **{"name": text(), "task": text(), "enabled": flag(), "description": text()},
        **{"every": _When(int, optional=True), "period": _When(str, optional=True)},
        **{"crontab": _When(str, optional=True), "timezone": _When(str, optional=True)},
    }

    def rows(self, parent: Any) -> Iterable[PeriodicTask]:
        """Those of Weir: Celery has one of its own that it makes itself."""
        return schedules.tasks().exclude(task__startswith="celery.").order_by("name")

    def written(self, row: PeriodicTask) -> dict[str, Any]:
        """As it is said when it runs, and no other way."""
        found = super().written(row)
        return {name: value for name, value in found.items() if name not in schedules.WHEN or value is not None}

    def create(self, parent: Any, values: Values, *, actor: Any) -> PeriodicTask:
        return schedules.create(actor=actor, **values)

    def update(self, row: PeriodicTask, changes: Values, *, actor: Any) -> None:
        schedules.update(row, actor=actor, **changes)

    def prune(self, row: PeriodicTask, *, actor: Any) -> str:
        if not row.enabled:
            return ""
        schedules.update(row, actor=actor, enabled=False)
        return "disabled"
