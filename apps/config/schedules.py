"""Which of Weir's chores runs when: every so often, or at certain times. Each change is recorded."""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter
from typing import Any

from celery import current_app
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from apps.audit import services as audit
from apps.audit.models import Area

PERIODS = tuple(str(name) for name, _ in IntervalSchedule.PERIOD_CHOICES)
TIMES = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")  # as a crontab has them
WHEN = ("every", "period", "crontab", "timezone")
_PLAIN = frozenset({"name", "task", "enabled", "description"})


def chores() -> list[str]:
    """The tasks that the worker knows, Celery's own left out."""
    current_app.loader.import_default_modules()
    return [name for name in sorted(current_app.tasks) if not name.startswith("celery.")]


def tasks() -> QuerySet[PeriodicTask]:
    return PeriodicTask.objects.select_related("interval", "crontab")


def runs() -> list[tuple[str, datetime, float]]:
    """Of each chore that is enabled and was sent off before: when, and for how many seconds it has been due again; of
    several schedules the one that is latest. Celery's beat writes that down every three minutes. One query."""
    found: dict[str, tuple[str, datetime, float]] = {}
    for row in tasks().filter(enabled=True, last_run_at__isnull=False):
        left = row.schedule.remaining_estimate(row.last_run_at).total_seconds()
        run = (row.task, row.last_run_at, max(0.0, -left))
        found[row.task] = max(run, found.get(row.task, run), key=itemgetter(2))
    return sorted(found.values())


def when(task: PeriodicTask) -> dict[str, Any]:
    """`every` and `period`, or `crontab` and `timezone`; None: it is not of that kind."""
    found: dict[str, Any] = dict.fromkeys(WHEN)
    if task.interval is not None:
        found |= {"every": task.interval.every, "period": task.interval.period}
    if task.crontab is not None:
        words = " ".join(getattr(task.crontab, name) for name in TIMES)
        found |= {"crontab": words, "timezone": str(task.crontab.timezone)}
    return found


def create(*, actor: Any, **fields: Any) -> PeriodicTask:
    """`name`, `task`, `enabled`, `description`, and when. Raises ValidationError, as all that follow."""
    with transaction.atomic():
        task = PeriodicTask(**{name: value for name, value in fields.items() if name not in WHEN})
        _check_task(task.task)
        given = {name: value for name, value in fields.items() if name in WHEN}
        task.interval, task.crontab = _schedules(**dict.fromkeys(WHEN) | given)
        audit.add(task, actor=actor, action="periodictask.created", area=Area.USAGE)
    return task


def update(row: PeriodicTask, /, *, actor: Any, **changes: Any) -> PeriodicTask:
    """Times in place of an interval, or the other way round, take its place."""
    given = {name: changes.pop(name) for name in WHEN if name in changes}
    with transaction.atomic():
        if "task" in changes:
            _check_task(changes["task"])
        if given:
            before = when(row)
            if given.get("crontab") is not None:
                before |= {"every": None, "period": None}
            elif given.get("every") is not None:
                before |= {"crontab": None, "timezone": None}
            changes["interval"], changes["crontab"] = _schedules(**before | given)
        allowed = _PLAIN | {"interval", "crontab"}
        audit.amend(row, actor=actor, action="periodictask.updated", area=Area.USAGE, changes=changes, allowed=allowed)
    return row


def remove(task: PeriodicTask, *, actor: Any) -> None:
    audit.remove(task, actor=actor, action="periodictask.deleted", area=Area.USAGE)


def run(task: PeriodicTask, *, actor: Any) -> None:
    """Sends it to the worker at once, beside its schedule."""
    with transaction.atomic():
        audit.record(actor=actor, action="periodictask.sent", target=task, area=Area.USAGE)
    current_app.send_task(task.task)


def _check_task(name: str) -> None:
    if name not in chores():
        raise ValidationError({"task": "The worker knows no such task."})


def _schedules(
    *, every: int | None, period: str | None, crontab: str | None, timezone: str | None
) -> tuple[IntervalSchedule | None, CrontabSchedule | None]:
    """Rows that others may share."""
    if (every is None) == (crontab is None):
        raise ValidationError({"every": "Say how often, or give a crontab: one of the two."})
    if crontab is None:
        if timezone is not None:
            raise ValidationError({"timezone": "An interval has none."})
        return _kept(IntervalSchedule, {"every": every, "period": period or ""}), None
    if period is not None:
        raise ValidationError({"period": "A crontab has none."})
    words = crontab.split()
    if len(words) != len(TIMES):
        raise ValidationError({"crontab": "Give minute, hour, day of the month, month and day of the week."})
    try:
        return None, _kept(CrontabSchedule, {**dict(zip(TIMES, words, strict=True)), "timezone": timezone or "UTC"})
    except ValidationError as error:
        where = "crontab" if hasattr(error, "error_dict") else "timezone"  # which is refused as it is set
        raise ValidationError({where: error.messages}) from None


def _kept(kind: Any, values: dict[str, Any]) -> Any:
    made = kind(**values)
    made.full_clean()
    found = kind.objects.filter(**values).first()
    if found is None:
        made.save()
    return found or made
