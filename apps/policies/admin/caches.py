"""Cache policies: of whom answers are kept, how long, and who compares questions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.timesince import timesince
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.bulk import to_many
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.rows import RowFilter
from apps.policies import services
from apps.policies.admin.questions import Questions
from apps.policies.forms import CacheForm
from apps.policies.models import CachePolicy


def lasting(seconds: int) -> str:
    """`2 hours, 5 minutes`."""
    if seconds < 60:
        return f"{seconds} s"
    now = timezone.now()
    return timesince(now - timedelta(seconds=seconds), now)


@admin.register(CachePolicy)
class CachePolicyAdmin(Questions, AuditedAdmin):
    area = Area.POLICIES
    updated_by = staticmethod(services.update_cache)
    form = CacheForm
    list_display = ["shown_subject", "shown_scope", "shown_state", "shown_ttl", "shown_when", "shown_semantic"]
    list_filter = [
        *((name, RowFilter) for name in ("model", "key")),
        ("is_enabled", BooleanRadioFilter),
    ]
    list_select_related = ["model", "key", "semantic_model"]
    search_fields = ["model__name__icontains", "key__name__startswith"]
    search_help_text = "Part of the model's name, or beginning of the key's"
    autocomplete_fields = ["model", "key", "semantic_model"]
    conditional_fields = {"model": "$data.model || !$data.key", "key": "$data.key || !$data.model"}
    actions = ["enable", "disable", "forget"]
    nothing_yet = "A cache policy keeps the answers of a model, or to a key, and gives them again to equal questions."
    kept_how = ("Answers", {"fields": ["ttl_seconds", "max_bytes", "is_always", "is_forced", "is_enabled"]})
    semantic = (
        "Questions that mean the same",
        {"fields": ["semantic_model", "semantic_threshold"], "classes": ["collapse"]},
    )

    def get_fieldsets(self, request: HttpRequest, obj: CachePolicy | None = None) -> Any:
        """Of one that is there, the one subject that it has."""
        if obj is not None:
            return [(None, {"fields": [obj.scope]}), self.kept_how, self.semantic]
        whose = {"fields": ["model", "key"], "description": "Choose one."}
        return [("Of a model or a key", whose), self.kept_how, self.semantic]

    def get_readonly_fields(self, request: HttpRequest, obj: CachePolicy | None = None) -> Any:
        """Another model or key is another policy."""
        return ["model", "key"] if obj is not None else []

    @display(description="Of")
    def shown_scope(self, cache: CachePolicy) -> str:
        return cells.badge(cache.scope)

    @display(description="Subject")
    def shown_subject(self, cache: CachePolicy) -> str:
        return (
            cells.lines([cache.key.name, cells.code(cache.key.prefix)]) if cache.key is not None else str(cache.model)
        )

    @display(description="State", ordering="is_enabled")
    def shown_state(self, cache: CachePolicy) -> str:
        return cells.badge("enabled", "good") if cache.is_enabled else cells.badge("disabled", "bad")

    @display(description="Kept for", ordering="ttl_seconds")
    def shown_ttl(self, cache: CachePolicy) -> str:
        return lasting(cache.ttl_seconds)

    @display(description="Used")
    def shown_when(self, cache: CachePolicy) -> str:
        when = "for every call" if cache.is_always else "when asked for"
        return cells.lines([when, *(["chance or not"] if cache.is_forced else [])])

    @display(description="Compared by")
    def shown_semantic(self, cache: CachePolicy) -> str:
        if cache.semantic_model is None:
            return "equal requests only"
        return cells.lines([str(cache.semantic_model), f"alike at {cache.semantic_threshold:g}"])

    def save_model(self, request: HttpRequest, obj: CachePolicy, form: Any, change: bool) -> None:
        if change:
            services.update_cache(obj, actor=request.user, **self.changes(obj, form.changed_data))
        else:
            super().save_model(request, obj, form, change)

    @to_many("Enable", does="Answers are kept, and given again.", done="Enabled", open=lambda: Q(is_enabled=False))
    def enable(self, row: CachePolicy, *, actor: Any) -> None:
        services.update_cache(row, actor=actor, is_enabled=True)

    @to_many(
        "Throw away what is kept under",
        does="No answer that is kept now is given again.",
        done="Thrown away",
        is_danger=True,
    )
    def forget(self, row: CachePolicy, *, actor: Any) -> None:
        services.forget_answers(row, actor=actor)

    @to_many("Disable", does="Answers are not kept any more.", done="Disabled", open=lambda: Q(is_enabled=True))
    def disable(self, row: CachePolicy, *, actor: Any) -> None:
        services.update_cache(row, actor=actor, is_enabled=False)
