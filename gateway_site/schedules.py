"""Celery's schedule in the admin: which of Weir's chores runs how often. Intervals and crontabs are all it offers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from apps.audit import cells
from apps.audit.bulk import listed, to_many
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.config import schedules

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


def chores() -> list[tuple[str, str]]:
    return [(name, name) for name in schedules.chores()]


class TaskForm(forms.ModelForm):
    task = forms.ChoiceField(choices=chores, widget=UnfoldAdminSelectWidget, help_text="What is done.")
    description = forms.CharField(
        required=False, max_length=2_000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}), help_text=""
    )

    class Meta:
        model = PeriodicTask
        fields = ["name", "task", "enabled", "interval", "crontab", "description"]
        help_texts = {
            "name": "",
            "enabled": "",
            "interval": "Every so often. Choose this or a crontab.",
            "crontab": "At certain times. Choose this or an interval.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "task" in self.fields and self.instance.task and self.instance.task not in dict(chores()):
            self.fields["task"].choices = [(self.instance.task, self.instance.task), *chores()]


@admin.register(PeriodicTask)
class TaskAdmin(AuditedAdmin):
    area = Area.USAGE
    form = TaskForm
    list_display = ["name", "shown_state", "schedule", "shown_run", "shown_count"]
    list_filter = [("enabled", BooleanRadioFilter)]
    list_select_related = ["interval", "crontab"]
    search_fields = ["name__icontains", "task__icontains"]
    search_help_text = "Part of the name"
    actions = ["enable", "disable", "run_now"]
    fieldsets = [
        (None, {"fields": ["name", "task", "enabled", "description"]}),
        ("When", {"fields": ["interval", "crontab"]}),
        ("So far", {"fields": ["shown_run", "shown_count"]}),
    ]
    readonly_fields = ["shown_run", "shown_count"]

    def get_fieldsets(self, request: HttpRequest, obj: PeriodicTask | None = None) -> Any:
        return self.fieldsets if obj is not None else self.fieldsets[:-1]

    @display(description="State", ordering="enabled")
    def shown_state(self, task: PeriodicTask) -> str:
        return cells.badge("enabled", "good") if task.enabled else cells.badge("disabled", "bad")

    @display(description="When")
    def schedule(self, task: PeriodicTask) -> str:
        return str(task.interval or task.crontab or cells.NOTHING)

    @display(description="Last run", ordering="last_run_at")
    def shown_run(self, task: PeriodicTask) -> str:
        return cells.ago(task.last_run_at, never="not yet")

    @display(description="Runs")
    def shown_count(self, task: PeriodicTask) -> str:
        return cells.number(task.total_run_count)

    @to_many(
        "Enable", does="The scheduler starts them when they are due.", done="Enabled", open=lambda: Q(enabled=False)
    )
    def enable(self, row: PeriodicTask, *, actor: Any) -> None:
        schedules.update(row, actor=actor, enabled=True)

    @to_many("Disable", does="The scheduler starts them no more.", done="Disabled", open=lambda: Q(enabled=True))
    def disable(self, row: PeriodicTask, *, actor: Any) -> None:
        schedules.update(row, actor=actor, enabled=False)

    @to_many("Run now", does="They are sent to the worker at once, beside their schedule.", done="Sent to the worker")
    def run_now(self, row: PeriodicTask, *, actor: Any) -> None:
        schedules.run(row, actor=actor)


class TimesAdmin(AuditedAdmin):
    """When tasks run. Several may run by one row, and would go with it: it stays as it is, and as long as they do."""

    area = Area.USAGE

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def kept(self, obj: Any) -> str:
        tasks = obj.periodictask_set.order_by("name").values_list("name", flat=True)
        return f"Tasks run by it: {listed(tasks)}." if tasks else ""


@admin.register(IntervalSchedule)
class IntervalAdmin(TimesAdmin):
    list_display = ["__str__", "every", "period"]


@admin.register(CrontabSchedule)
class CrontabAdmin(TimesAdmin):
    list_display = ["__str__", "human_readable", "timezone"]
    fields = ["minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone", "human_readable"]
    readonly_fields = ["human_readable"]
