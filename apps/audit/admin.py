"""The audit log in the admin, and the base of every other admin page: changes are recorded as they are made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from apps.audit import services
from apps.audit.models import Record

# A list is paged this far and no further: beyond it, filter. Counting a million rows costs more than it tells.
MOST_ROWS = 10_000


class CappedPaginator(Paginator):
    """Counts no further than MOST_ROWS."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, models.QuerySet):
            return rows.order_by()[:MOST_ROWS].values("pk").count()
        return len(rows)


class AuditedAdmin(ModelAdmin):
    """Saves through `audit.services`, so that a change and its record stand or fall together.

    Models whose services do more than write (issue a key, seal a secret) override `save_model`.
    """

    area: str
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    compressed_fields = True
    warn_unsaved_form = True

    @property
    def noun(self) -> str:
        return str(self.opts.model_name)

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        if not change:
            services.add(obj, actor=request.user, action=f"{self.noun}.created", area=self.area)
        elif changes := self.changes(obj, form.changed_data):
            services.amend(obj, actor=request.user, action=f"{self.noun}.updated", area=self.area, changes=changes)

    def changes(self, obj: models.Model, names: Iterable[str]) -> dict[str, Any]:
        """The new values of those fields that are columns."""
        columns = {field.name for field in obj._meta.concrete_fields}
        return {name: getattr(obj, name) for name in names if name in columns}

    def save_formset(self, request: HttpRequest, form: Any, formset: BaseModelFormSet, change: bool) -> None:
        formset.save(commit=False)
        noun = formset.model._meta.model_name
        for row in formset.new_objects:
            services.add(row, actor=request.user, action=f"{noun}.created", area=self.area)
        for row, names in formset.changed_objects:
            if changes := self.changes(row, names):
                services.amend(row, actor=request.user, action=f"{noun}.updated", area=self.area, changes=changes)
        for row in formset.deleted_objects:
            services.remove(row, actor=request.user, action=f"{noun}.deleted", area=self.area)
        formset.save_m2m()

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        services.remove(obj, actor=request.user, action=f"{self.noun}.deleted", area=self.area)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        for row in queryset:
            self.delete_model(request, row)


class Inline(TabularInline):
    """Rows of another table on the page of the one they belong to."""

    extra = 0
    tab = True


class ReadOnlyAdmin(ModelAdmin):
    """Rows that the admin shows and nobody edits."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Record)
class RecordAdmin(ReadOnlyAdmin):
    list_display = ["at", "shown_action", "target_label", "actor_name", "address", "tenant_id"]
    list_filter = ["area", "action"]
    search_fields = ["=target_id", "target_label__startswith", "actor_name__startswith"]
    search_help_text = "Beginning of the target's or the actor's name, or the target's id"
    fields = ["at", "action", "target_label", "actor_name", "address", "area", "revision", "before_text", "after_text"]
    readonly_fields = ["before_text", "after_text"]

    @display(description="Action", ordering="action", label=True)
    def shown_action(self, record: Record) -> str:
        return record.action

    @display(description="Before")
    def before_text(self, record: Record) -> SafeString:
        return _values(record.before)

    @display(description="After")
    def after_text(self, record: Record) -> SafeString:
        return _values(record.after)


def _values(values: dict[str, Any] | None) -> SafeString:
    text = "—" if values is None else json.dumps(values, indent=2, ensure_ascii=False)
    return format_html('<pre class="whitespace-pre-wrap text-xs">{}</pre>', text)
