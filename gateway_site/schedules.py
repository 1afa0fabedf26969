"""Celery's schedule in the admin: which of Weir's chores runs how often. Intervals and crontabs are all it offers."""

from __future__ import annotations

from typing import Any

from celery import current_app
from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from apps.audit import cells
from apps.audit.pages import Page

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


def chores() -> list[tuple[str, str]]:
    """The tasks that the worker knows, Celery's own left out."""
    current_app.loader.import_default_modules()
    return [(name, name) for name in sorted(current_app.tasks) if not name.startswith("celery.")]


class TaskForm(forms.ModelForm):
    task = forms.ChoiceField(choices=chores, widget=UnfoldAdminSelectWidget, help_text="What is done.")

    class Meta:
        model = PeriodicTask
        fields = ["name", "task", "enabled", "interval", "crontab", "description"]
        widgets = {"description": UnfoldAdminTextareaWidget(attrs={"rows": 2})}
        help_texts = {
            "name": "",
            "enabled": "",
            "interval": "Every so often. Choose this or a crontab.",
            "crontab": "At certain times. Choose this or an interval.",
            "description": "",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "task" in self.fields and self.instance.task and self.instance.task not in dict(chores()):
            self.fields["task"].choices = [(self.instance.task, self.instance.task), *chores()]


@admin.register(PeriodicTask)
class TaskAdmin(Page):
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

    def switch(self, queryset: QuerySet[PeriodicTask], *, on: bool) -> None:
        """Row by row: saving is what tells the scheduler."""
        for task in queryset:
            task.enabled = on
            task.save()

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self.switch(queryset, on=True)
        messages.success(request, f"Enabled: {len(queryset)}.")

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self.switch(queryset, on=False)
        messages.success(request, f"Disabled: {len(queryset)}.")

    @admin.action(description="Run now", permissions=["change"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        for task in queryset:
            current_app.send_task(task.task)
        messages.success(request, f"Sent to the worker: {len(queryset)}.")


@admin.register(IntervalSchedule)
class IntervalAdmin(Page):
    list_display = ["__str__", "every", "period"]


@admin.register(CrontabSchedule)
class CrontabAdmin(Page):
    list_display = ["__str__", "human_readable", "timezone"]
    fields = ["minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone", "human_readable"]
    readonly_fields = ["human_readable"]
