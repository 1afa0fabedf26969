"""Pages that tell what a price or a budget would do, before anybody sets it. Nothing is changed by them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from apps.audit.fields import DollarsField
from apps.audit.panels import Panel, panel_of
from apps.audit.rows import is_id
from apps.catalog.models import PRICES, Deployment
from apps.domain import money
from apps.domain.snapshot import PriceCard
from apps.quotas.models import Budget
from apps.usage import what_if

LABELS = {
    "input": "Input, $",
    "output": "Output, $",
    "cache_read": "Cache read, $",
    "cache_write_5m": "Cache write, 5 minutes, $",
    "cache_write_1h": "Cache write, 1 hour, $",
}


class PriceQuestion(forms.Form):
    """Dollars per million tokens; what is left out costs as input."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in PRICES:
            self.fields[name] = DollarsField(label=LABELS[name], required=name in ("input", "output"))

    def card(self) -> PriceCard:
        given = self.cleaned_data
        amounts = {name: given["input"] if given[name] is None else given[name] for name in PRICES}
        return PriceCard(version=0, effective_from=0, **amounts)


class BudgetQuestion(forms.Form):
    amount = DollarsField(label="Were it of, $")


@never_cache
def price(request: HttpRequest, deployment_id: str) -> HttpResponse:
    if not (request.user.has_perm("catalog.view_price") and request.user.has_perm("usage.view_hourlyrollup")):
        raise PermissionDenied
    deployment = _wanted(Deployment.objects.select_related("model", "provider"), deployment_id)
    now = timezone.now()
    present = deployment.prices.filter(effective_from__lte=now).order_by("-effective_from", "-pk").first()
    initial = {name: getattr(present, name) for name in PRICES} if present is not None else None
    form = PriceQuestion(request.GET if "input" in request.GET else None, initial=initial)
    told = what_if.priced(deployment, form.card(), now=now) if form.is_bound and form.is_valid() else None
    more: dict[str, Any] = {"told": told, "days": what_if.DAYS}
    if told is not None:
        more |= {"booked": money.text(told.booked), "would_be": money.text(told.would_be)}
        more["change"] = _change(told.booked, told.would_be)
    return _page(request, "price", deployment, form=form, **more)


@never_cache
def budget(request: HttpRequest, budget_id: str) -> HttpResponse:
    if not (request.user.has_perm("quotas.view_budget") and request.user.has_perm("usage.view_hourlyrollup")):
        raise PermissionDenied
    found = _wanted(Budget.objects.select_related("tenant", "project", "user", "key", "model", "endpoint"), budget_id)
    form = BudgetQuestion(request.GET if "amount" in request.GET else None, initial={"amount": found.amount})
    more: dict[str, Any] = {"can_see_keys": request.user.has_perm("keys.view_key")}
    if form.is_bound and form.is_valid():
        told = what_if.stopped(found, form.cleaned_data["amount"], now=timezone.now())
        more |= {"told": told, "settled": money.text(told.settled), "held": money.text(told.held)}
        more["callers"] = [(caller, money.text(caller.cost)) for caller in told.callers]
    return _page(request, "budget", found, form=form, **more)


def _wanted(rows: models.QuerySet[Any], word: str) -> Any:
    found = rows.filter(pk=word).first() if is_id(rows.model, word) else None
    if found is None:
        raise Http404
    return found


def _change(before: int, after: int) -> str:
    return f"{100 * (after - before) / before:+.1f} %" if before else ""


def _page(request: HttpRequest, name: str, row: Any, **told: Any) -> HttpResponse:
    opts = row._meta
    context = {
        **admin.site.each_context(request),
        **told,
        "title": f"What if: {row}",
        "row": row,
        "opts": opts,
        "back": reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[row.pk]),
    }
    return TemplateResponse(request, f"admin/what_if/{name}.html", context)


@panel_of(Deployment)
def _price_panel(request: HttpRequest, row: Any) -> Panel | None:
    if not (request.user.has_perm("catalog.view_price") and request.user.has_perm("usage.view_hourlyrollup")):
        return None
    return Panel(
        "What if", "Try a price", f"on the last {what_if.DAYS} days", reverse("admin:what_if_price", args=[row.pk])
    )


@panel_of(Budget)
def _budget_panel(request: HttpRequest, row: Any) -> Panel | None:
    if not request.user.has_perm("usage.view_hourlyrollup"):
        return None
    return Panel("What if", "Try an amount", "who would be stopped now", reverse("admin:what_if_budget", args=[row.pk]))
