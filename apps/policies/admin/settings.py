"""What coding agents keep to, by group: Claude Code's managed settings."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from apps.audit import cells
from apps.audit.bulk import to_many
from apps.audit.fields import JsonField
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.rows import RowFilter
from apps.policies import services
from apps.policies.models import ManagedSettings


class SettingsForm(forms.ModelForm):
    settings = JsonField(
        label="Settings",
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 18, "spellcheck": "false", "class": "weir-code"}),
        help_text="As in Claude Code's managed-settings.json. {}: settled, and nothing in it.",
    )

    class Meta:
        model = ManagedSettings
        fields = ["name", "is_enabled", "note", "tenant", "project", "role", "priority", "settings"]
        help_texts = {
            "tenant": "Whose people. Empty: everybody's.",
            "project": "For calls of this project only.",
            "role": "For people of this role in their tenant only.",
            "priority": "Of those that fit, one holds: the highest; of equal ones the narrower.",
            "note": "For whoever reads this page.",
        }

    def clean_settings(self) -> Any:
        found = self.cleaned_data["settings"]
        return {} if found is None else found


@admin.register(ManagedSettings)
class ManagedSettingsAdmin(AuditedAdmin):
    area = Area.POLICIES
    form = SettingsForm
    list_display = ["name", "shown_whose", "priority", "shown_state", "note"]
    list_filter = [*((name, RowFilter) for name in ("tenant", "project")), ("is_enabled", BooleanRadioFilter)]
    list_select_related = ["tenant", "project"]
    search_fields = ["name__istartswith"]
    search_help_text = "Beginning of the name"
    autocomplete_fields = ["tenant", "project"]
    actions = ["enable", "disable"]
    nothing_yet = "Claude Code asks what its person has to keep to: permissions, environment, models."
    fieldsets = [
        (None, {"fields": ["name", "is_enabled", "note"]}),
        ("For whom", {"fields": ["tenant", "project", "role", "priority"]}),
        ("Settings", {"fields": ["settings"]}),
    ]

    @display(description="For")
    def shown_whose(self, settled: ManagedSettings) -> str:
        where = settled.project or settled.tenant or "everyone"
        return f"{settled.get_role_display()}s of {where}" if settled.role else str(where)

    @display(description="State", ordering="is_enabled")
    def shown_state(self, settled: ManagedSettings) -> str:
        return cells.badge("enabled", "good") if settled.is_enabled else cells.badge("disabled", "bad")

    def save_model(self, request: HttpRequest, obj: ManagedSettings, form: Any, change: bool) -> None:
        if change:
            services.resettle(obj, actor=request.user, **self.changes(obj, form.changed_data))
        else:
            super().save_model(request, obj, form, change)

    @to_many(
        "Enable", does="Programs keep to them when they ask next.", done="Enabled", open=lambda: Q(is_enabled=False)
    )
    def enable(self, row: ManagedSettings, *, actor: Any) -> None:
        services.resettle(row, actor=actor, is_enabled=True)

    @to_many("Disable", does="Programs keep to the next that fit.", done="Disabled", open=lambda: Q(is_enabled=True))
    def disable(self, row: ManagedSettings, *, actor: Any) -> None:
        services.resettle(row, actor=actor, is_enabled=False)
