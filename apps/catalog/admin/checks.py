"""How providers fare, in their list and on their page, and asking them now."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince
from unfold.contrib.filters.admin import RadioFilter
from unfold.decorators import action, display

from apps.audit import cells
from apps.catalog import health, history
from apps.catalog.admin import pictures
from apps.catalog.models import Health, Provider
from apps.domain import money

CHOSEN = "providers_to_check"  # in the session: the page of these begins by itself
_LATEST = 20
_MOST = 100  # as many as one page asks


class HealthFilter(RadioFilter):
    """By what `Provider.health` says."""

    title = "health"
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in Health]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Provider]) -> QuerySet[Provider]:
        checked = queryset.filter(is_healthy=True, last_check_ms__isnull=False)
        match self.value():
            case Health.UNKNOWN:
                return queryset.filter(is_healthy=True, last_check_ms=None)
            case Health.UP:
                return checked.filter(consecutive_failures=0)
            case Health.FAILING:
                return checked.exclude(consecutive_failures=0)
            case Health.RECOVERING:
                return queryset.filter(is_healthy=False, answering_since__isnull=False)
            case Health.DOWN:
                return queryset.filter(is_healthy=False, answering_since=None)
        return queryset


def badge(provider: Provider) -> str:
    """Of a failure no milliseconds: how soon nobody answered tells nothing."""
    match provider.health:
        case Health.UP:
            return cells.badge(f"up · {provider.last_check_ms:,} ms", "good")
        case Health.FAILING:
            return cells.badge(f"failing {provider.consecutive_failures} of {provider.max_failures}", "warn")
        case Health.RECOVERING:
            return cells.badge(f"recovering {_answering(provider)} of {provider.recovery_seconds} s", "warn")
        case Health.DOWN:
            return cells.badge("down", "bad")
    return cells.badge("not checked yet")


def _answering(provider: Provider) -> int:
    if provider.answering_since is None:
        return 0
    passed = int((timezone.now() - provider.answering_since).total_seconds())
    return max(0, min(passed, provider.recovery_seconds))


class Checks:
    """The part of the providers' pages that tells of their health, and asks for it."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[Any]:
        check = self.admin_site.admin_view(self.check_page)
        return [path("check/", check, name="catalog_provider_check"), *super().get_urls()]  # type: ignore[misc]

    # --- what is shown ---------------------------------------------------------------------------------------------

    @display(description="Health", ordering="is_healthy")
    def shown_health(self, provider: Provider) -> str:
        now = timezone.now()
        if not provider.is_overdue(now):
            return badge(provider)
        since = timesince(provider.last_checked_at or provider.created_at, now, depth=1)
        return format_html("{} {}", badge(provider), cells.badge(f"no check for {since}", "warn"))

    @display(description="24 hours")
    def shown_day(self, provider: Any) -> str:
        return pictures.strip(provider.day)

    @display(description="Last check")
    def shown_checked(self, provider: Provider) -> str:
        told = cells.ago(provider.last_checked_at, never="never")
        if not provider.is_overdue(timezone.now()):
            return told
        return format_html("{} {}", told, cells.badge("overdue: does the worker run?", "warn"))

    @display(description="Last 24 hours")
    def shown_history(self, provider: Provider) -> str:
        slots = history.day([provider.pk], now=timezone.now())[provider.pk]
        latest = history.latest(provider, most=_LATEST)
        return format_html("{}{}", pictures.chart(slots), pictures.table(latest) if latest else "")

    @display(description="Calls made by checks")
    def shown_calls(self, provider: Provider) -> str:
        """Ever; the history is forgotten sooner."""
        if not provider.check_calls:
            return "none"
        return f"{provider.check_calls:,} · {money.text(provider.check_cost_nano)}, beside the ledger"

    # --- asking ----------------------------------------------------------------------------------------------------

    @admin.action(description="Check now", permissions=["change"])
    def check_chosen(self, request: HttpRequest, queryset: QuerySet[Provider]) -> HttpResponse:
        request.session[CHOSEN] = list(queryset.values_list("pk", flat=True)[:_MOST])
        return HttpResponseRedirect(reverse("admin:catalog_provider_check"))

    @action(description="Check now", icon="monitor_heart", permissions=["change"])
    def check_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(f"{reverse('admin:catalog_provider_check')}?provider={int(object_id)}")

    def check_page(self, request: HttpRequest) -> HttpResponse:
        """Asks on POST: the one that is named, for the script, or all of the page. A plain visit asks nobody, but for
        those that were chosen in the list."""
        if not self.has_change_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        if request.method == "POST" and (one := request.POST.get("one")):
            return self._check_one(request, one)
        begins = request.method == "GET" and request.session.pop(CHOSEN, None)
        wanted = begins or request.POST.getlist("provider") or request.GET.getlist("provider")
        numbers = {int(pk) for pk in map(str, wanted) if pk.isdecimal() and len(pk) < 19}
        rows = list(Provider.objects.filter(pk__in=numbers)[:_MOST])
        if request.method == "POST":
            health.check_each(rows, actor=request.user)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Check providers",
            "rows": [(row, badge(row)) for row in rows],
            "is_checked": request.method == "POST",
            "begins": bool(begins),
        }
        return TemplateResponse(request, "admin/catalog/check.html", context)

    def _check_one(self, request: HttpRequest, pk: str) -> HttpResponse:
        row = Provider.objects.filter(pk=pk).first() if pk.isdecimal() and len(pk) < 19 else None
        if row is None:
            return JsonResponse({"gone": True}, status=404)
        found = health.check_now(row, actor=request.user)
        told = {"row": row, "badge": badge(row), "is_checked": True}
        text = render_to_string("admin/catalog/check_row.html", told, request=request)
        return JsonResponse({"ok": found.result.ok, "row": text})
