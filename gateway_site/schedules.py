"""Celery's schedule in the admin, in Unfold's clothes (the recipe of Unfold's documentation)."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django_celery_beat.admin import ClockedScheduleAdmin as PlainClockedAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as PlainCrontabAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as PlainTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The registered tasks, as Unfold draws a choice."""


class TaskForm(PeriodicTaskForm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class TaskAdmin(PlainTaskAdmin, ModelAdmin):
    form = TaskForm
    list_display = ["name", "shown_state", "task", "scheduler", "last_run_at", "total_run_count"]
    list_filter = ["enabled"]

    @display(description="State", ordering="enabled", label={"enabled": "success", "disabled": "danger"})
    def shown_state(self, task: PeriodicTask) -> str:
        return "enabled" if task.enabled else "disabled"


@admin.register(IntervalSchedule)
class IntervalAdmin(ModelAdmin):
    pass


@admin.register(CrontabSchedule)
class CrontabAdmin(PlainCrontabAdmin, ModelAdmin):
    pass


@admin.register(ClockedSchedule)
class ClockedAdmin(PlainClockedAdmin, ModelAdmin):
    pass


@admin.register(SolarSchedule)
class SolarAdmin(ModelAdmin):
    pass
