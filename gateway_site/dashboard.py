"""What the admin's first page shows: today's money, calls and errors, the last day by the hour, what needs care."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.timesince import timesince

from apps.catalog import selectors as catalog
from apps.domain import money
from apps.quotas import selectors as quotas
from apps.runtime.state import state
from apps.usage import selectors as usage

CHART_HEIGHT = 160
BAR_WIDTH = 100 / 24
LATEST = 10
MOST_USED = 6


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK. Bounded queries, whatever the size of the ledger."""
    now = datetime.now(UTC)
    overview = usage.overview(now)
    ledger = reverse("admin:usage_entry_changelist")
    today = overview.today
    rate = 100 * today.errors / today.calls if today.calls else 0.0
    providers = catalog.providers_overview()
    down = [provider for provider in providers if provider["enabled"] and not provider["healthy"]]
    context["cards"] = [
        _card("Spend today", money.text(today.cost), "UTC day, estimates included", f"{ledger}?since=24h"),
        _card("Calls today", f"{today.calls:,}", f"{state.in_flight} in flight now", f"{ledger}?since=24h"),
        _card(
            "Errors today",
            f"{today.errors:,}",
            f"{rate:.1f} % of calls",
            f"{ledger}?since=24h&status__exact=upstream_error",
            bad=rate >= 5,
        ),
        _card(
            "Providers",
            f"{len(providers) - len(down)} of {len(providers)} up",
            ", ".join(provider["name"] for provider in down) or "all answer their health checks",
            reverse("admin:catalog_provider_changelist"),
            bad=bool(down),
        ),
        _card(
            "Unconfirmed",
            f"{today.unconfirmed:,}",
            f"up to {money.text(today.high - today.low)} uncertain",
            f"{ledger}?since=24h&state__exact=unconfirmed",
            bad=today.unconfirmed > 0,
        ),
    ]
    context["bars"] = _bars(overview.hours)
    context["chart_total"] = money.text(sum(hour.totals.cost for hour in overview.hours))
    context["chart_height"] = CHART_HEIGHT
    context["calls"] = [_call(entry) for entry in usage.latest(LATEST)]
    context["budgets"] = [_budget(window, subject) for window, subject in quotas.most_used(now, MOST_USED)]
    context["is_empty"] = not any(hour.totals.calls for hour in overview.hours)
    return context


def _card(title: str, figure: str, note: str, link: str, *, bad: bool = False) -> dict[str, Any]:
    return {"title": title, "figure": figure, "note": note, "link": link, "bad": bad}


def _bars(hours: list[usage.Hour]) -> list[dict[str, Any]]:
    """One bar an hour, as percentages and pixels of the drawing."""
    most = max((hour.totals.cost for hour in hours), default=0) or 1
    bars = []
    for index, hour in enumerate(hours):
        height = round(CHART_HEIGHT * hour.totals.cost / most)
        bars.append(
            {
                "x": f"{index * BAR_WIDTH:.3f}",
                "y": CHART_HEIGHT - height,
                "height": height,
                "label": f"{hour.starts:%H}",
                "title": f"{hour.starts:%Y-%m-%d %H:00} UTC: {money.text(hour.totals.cost)}, "
                f"{hour.totals.calls:,} calls, {hour.totals.errors:,} errors",
                "failed": bool(hour.totals.errors),
            }
        )
    return bars


def _call(entry: Any) -> dict[str, Any]:
    return {
        "link": reverse("admin:usage_entry_change", args=[entry.pk]),
        "ago": timesince(entry.started_at, depth=1),
        "status": entry.get_status_display(),
        "bad": entry.status not in ("ok", "client_gone"),
        "model": entry.model_name,
        "tenant": entry.tenant.name,
        "tokens": f"{entry.in_fresh + entry.in_cache_read + entry.out_total:,}",
        "cost": "unpriced" if entry.is_unpriced else money.text(entry.cost_nano),
    }


def _budget(window: Any, subject: str) -> dict[str, Any]:
    percent = 100 * window.settled // window.limit if window.limit else 100
    return {
        "link": reverse("admin:quotas_budget_change", args=[window.budget_id]),
        "subject": subject,
        "percent": percent,
        "width": min(100, percent),
        "settled": money.text(window.settled),
        "limit": money.text(window.limit),
        "period": window.budget.get_period_display().lower(),
    }
