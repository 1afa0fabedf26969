"""What models cost, from a moment on. A price that is set stays as it is; one to come can be withdrawn."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.messages import WARNING
from django.db.models import OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display

from apps.audit import cells
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin, Inline
from apps.audit.rows import RowFilter
from apps.catalog import services
from apps.catalog.forms import PriceForm
from apps.catalog.models import Price
from apps.domain import money

AMOUNTS = ["shown_input", "shown_output", "shown_read", "shown_write", "shown_write_1h"]
CORRECTED = ["deployment", "effective_from", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h"]
PER_MILLION = "US dollars per million tokens."


def _column(name: str, description: str) -> Any:
    @display(description=description, ordering=name)
    def shown(self: Any, price: Price) -> str:
        return cells.amount(money.exact(getattr(price, name)))

    return shown


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 19 else None


class Priced:
    """A price's amounts as dollars."""

    shown_input = _column("input", "Input $")
    shown_output = _column("output", "Output $")
    shown_read = _column("cache_read", "Cache read $")
    shown_write = _column("cache_write_5m", "Cache write $")
    shown_write_1h = _column("cache_write_1h", "Cache write 1 h $")

    @display(description="From (UTC)", ordering="effective_from")
    def shown_from(self, price: Price) -> str:
        return cells.stamp(price.effective_from)


class PriceInline(Priced, Inline):
    """Prices in force are history; a new one is a new row."""

    model = Price
    fields = ["shown_from", *AMOUNTS]
    readonly_fields = fields
    ordering = ["-effective_from", "-id"]
    show_change_link = True
    per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        rows: QuerySet[Price] = super().get_queryset(request)
        return rows.select_related("deployment__model", "deployment__provider")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Price)
class PriceAdmin(Priced, AuditedAdmin):
    area = Area.CATALOG
    form = PriceForm
    transfer = "prices"
    list_display = ["deployment", "shown_from", "in_force", "shown_input", "shown_output", "shown_read", "shown_write"]
    list_filter = [("deployment", RowFilter)]
    list_select_related = ["deployment__model", "deployment__provider"]
    search_fields = ["deployment__model__name__icontains"]
    search_help_text = "Part of the model's name"
    autocomplete_fields = ["deployment"]
    actions_detail = ["correct"]
    nothing_yet = "Without a price, calls are counted in tokens only, and none to which a budget applies is made."
    fieldsets = [
        (None, {"fields": ["deployment", "effective_from", "is_correction"]}),
        (
            "Prices",
            {
                "fields": ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"],
                "description": PER_MILLION,
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        rows: QuerySet[Price] = super().get_queryset(request)
        siblings = Price.objects.filter(deployment=OuterRef("deployment"), effective_from__lte=timezone.now())
        return rows.annotate(newest=Subquery(siblings.order_by("-effective_from", "-pk").values("pk")[:1]))

    def get_fieldsets(self, request: HttpRequest, obj: Price | None = None) -> Any:
        if obj is None:
            return self.fieldsets
        return [
            (None, {"fields": ["deployment", "shown_from", "in_force", "version"]}),
            ("Prices", {"fields": AMOUNTS, "description": PER_MILLION}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        return ["shown_from", "in_force", "version", *AMOUNTS] if obj is not None else []

    @display(description="State")
    def in_force(self, price: Any) -> str:
        if price.effective_from > timezone.now():
            return cells.badge("to come", "info")
        return cells.badge("in force", "good") if price.pk == price.newest else cells.badge("past")

    @display(description="Price version")
    def version(self, price: Price) -> int:
        """What ledger entries carry."""
        return int(price.pk)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        given = super().get_changeform_initial_data(request)
        corrected = Price.objects.filter(pk=number).first() if (number := _number(given.pop("corrects", ""))) else None
        if corrected is None:
            return {"effective_from": timezone.now(), **given}
        return {name: getattr(corrected, name) for name in CORRECTED} | {"is_correction": True}

    @action(description="Correct", icon="edit", permissions=["correct"])
    def correct(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return HttpResponseRedirect(f"{reverse('admin:catalog_price_add')}?corrects={object_id}")

    def has_correct_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_add_permission(request)

    def save_model(self, request: HttpRequest, obj: Price, form: ModelForm, change: bool) -> None:
        price = services.set_price(
            obj.deployment,
            actor=request.user,
            effective_from=obj.effective_from,
            input=obj.input,
            output=obj.output,
            cache_read=obj.cache_read,
            cache_write_5m=obj.cache_write_5m,
            cache_write_1h=obj.cache_write_1h,
            is_correction=form.cleaned_data["is_correction"],
        )
        obj.pk, obj._state.adding = price.pk, False
        if form.cleaned_data["is_correction"]:
            told = f"manage.py reprice --deployment {obj.deployment_id} --since {price.effective_from:%Y-%m-%dT%H:%M}"
            self.message_user(request, f"Calls keep what they were booked at until this is run: {told}", WARNING)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A price that is set stays as it is."""
        return not isinstance(obj, Price) and super().has_change_permission(request)

    def kept(self, obj: Price) -> str:
        if obj.effective_from <= timezone.now():
            return "A price that has been in force stays; set a new one."
        return ""

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        services.withdraw_price(obj, actor=request.user)
