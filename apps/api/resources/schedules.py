from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Body
from apps.api.fields import Choice, Integer, Moment, Text, Truth, shown
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.config import schedules


class _When:
    """A part of when it runs."""

    field_name: str

    def get_attribute(self, task: Any) -> Any:
        return schedules.when(task)[self.field_name]


class Every(_When, Integer):
    pass


class Period(_When, Choice):
    pass


class Times(_When, Text):
    pass


class ScheduleBody(Body):
    of = schedules.tasks
    columns = ("name", "task")
    volatile = ("last_run_at", "total_run_count")
    id = shown(Integer)
    enabled = Truth(required=False)
    description = Text(required=False, allow_blank=True, max_length=1000)
    every = Every(required=False, allow_null=True, min_value=1, help_text="So many periods; or give a crontab.")
    period = Period(choices=schedules.PERIODS, required=False, allow_null=True)
    crontab = Times(
        required=False,
        allow_null=True,
        max_length=400,
        help_text="Minute, hour, day of the month, month, day of the week.",
    )
    timezone = Times(required=False, allow_null=True, max_length=63, help_text="Of the crontab; usually UTC.")
    last_run_at = shown(Moment, allow_null=True)
    total_run_count = shown(Integer)


class Schedules(Listing, Reading, Making, Changing, Removing, Resource):
    """Which of Weir's chores runs when."""

    place = "schedules"
    noun = "schedule"
    model = "django_celery_beat.periodictask"
    body = ScheduleBody

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return schedules.tasks()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(schedules.create(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        schedules.update(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        schedules.remove(row, actor=self.request.user)

    @action(detail=True, methods=["post"])
    def run(self, request: Request, pk: str) -> Response:
        """Sends it to the worker at once, beside its schedule."""
        self.asked()
        task = self.row()
        self.allow("change", task)

        def do() -> Response:
            schedules.run(task, actor=request.user)
            return self.told(self.row())

        return self.once(do)
