"""The first page: what today cost, how it went, what is down. Each part for those who may see what it shows."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from apps.audit import cells
from apps.catalog import selectors as catalog
from apps.catalog.models import Health
from apps.domain import money
from apps.quotas import selectors as quotas
from apps.runtime.state import state
from apps.usage import figures
from apps.usage import selectors as usage

CHART_HEIGHT = 160
BAR_WIDTH = 100 / 24
LATEST = 10
MOST_USED = 6
MANY_ERRORS_PERCENT = 5
PROVIDER_TROUBLES = {Health.DOWN: "down", Health.RECOVERING: "recovering", Health.FAILING: "failing"}


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK. Bounded queries, whatever the size of the ledger."""
    now = datetime.now(UTC)
    cards: list[dict[str, Any]] = []
    if request.user.has_perm("usage.view_entry"):
        overview = usage.overview(now)
        cards += [*_usage_cards(overview.today), _doubt_card(request)]
        context["chart"] = _chart(overview.hours)
        context["calls"] = [_call(entry) for entry in usage.latest(LATEST)]
    cards += [*_gap_cards(request), *_books_cards(request)]
    if request.user.has_perm("catalog.view_provider"):
        cards.insert(3, _provider_card(may_add=request.user.has_perm("catalog.add_provider")))
    if request.user.has_perm("quotas.view_budget"):
        context["budgets"] = [_budget(window, subject) for window, subject in quotas.most_used(now, MOST_USED)]
    context["cards"] = cards
    context["now"] = f"{now:%Y-%m-%d %H:%M} UTC"
    return context


def _card(title: str, figure: str, note: str, link: str, *, good: bool = False, bad: bool = False) -> dict[str, Any]:
    return {"title": title, "figure": figure, "note": note, "link": link, "good": good, "bad": bad}


def _usage_cards(today: usage.Totals) -> list[dict[str, Any]]:
    ledger = reverse("admin:usage_entry_changelist")
    rate = 100 * today.errors / today.calls if today.calls else 0.0
    return [
        _card("Spend today", money.text(today.cost), "since midnight UTC", f"{ledger}?since=24h"),
        _card("Calls today", f"{today.calls:,}", f"{state.in_flight:,} in flight now", f"{ledger}?since=24h"),
        _card(
            "Errors today",
            f"{today.errors:,}",
            f"{rate:.1f} % of calls",
            f"{ledger}?since=24h&outcome=errors",
            bad=rate >= MANY_ERRORS_PERCENT,
        ),
    ]


def _doubt_card(request: HttpRequest) -> dict[str, Any]:
    """Of all time, as its page: what nobody has resolved does not come right at midnight."""
    doubts = usage.doubts()
    count, low, high = (sum(getattr(doubt, name) for doubt in doubts) for name in ("count", "low", "high"))
    note = f"{money.text(low)} to {money.text(high)}" if count else "every cost is known"
    link = reverse("admin:usage_unconfirmed_changelist")
    if not request.user.has_perm("usage.view_unconfirmed"):
        link = f"{reverse('admin:usage_entry_changelist')}?since=all&outcome=unconfirmed"
    return _card("Unconfirmed", f"{count:,}", note, link, bad=bool(count))


def _gap_cards(request: HttpRequest) -> list[dict[str, Any]]:
    """Where a disk was lost."""
    if not request.user.has_perm("quotas.view_gap") or not (gap := figures.gap()):
        return []
    link = f"{reverse('admin:quotas_gap_changelist')}?state=open"
    return [_card("Gaps", f"up to {money.text(gap)}", "lost with a disk, beside the ledger", link, bad=True)]


def _books_cards(request: HttpRequest) -> list[dict[str, Any]]:
    return [_books_card()] if request.user.has_perm("usage.view_verification") else []


def _books_card() -> dict[str, Any]:
    """What came of the last check of the books; a full one tells more than a quick one after it."""
    link = reverse("admin:usage_verification_changelist")
    checks = sorted(figures.last_checks(), key=lambda check: check.at)
    if not checks:
        return _card("Books", "–", "not checked yet; the worker does, every hour", link)
    violations = sum(check.violations for check in checks)
    note = format_html("verified {}", cells.ago(checks[-1].at))
    if violations:
        return _card("Books", f"{violations:,} broken", note, link, bad=True)
    return _card("Books", "true", note, link, good=True)


def _provider_card(*, may_add: bool) -> dict[str, Any]:
    """Disabled ones are nobody's worry."""
    names: dict[str, list[str]] = defaultdict(list)
    late: list[str] = []
    for provider in catalog.providers_overview():
        if provider["enabled"]:
            names[provider["health"]].append(provider["name"])
            late += [provider["name"]] if provider["overdue"] else []
    count = sum(map(len, names.values()))
    parts = [f"{word}: {', '.join(names[state])}" for state, word in PROVIDER_TROUBLES.items() if state in names]
    if Health.UNKNOWN in names:
        parts.append(f"not checked yet: {len(names[Health.UNKNOWN])}")
    if late:
        parts.append(f"no check lately: {', '.join(late)}")
    note = "; ".join(parts) or ("all answer" if count else "add one" if may_add else "none yet")
    link = reverse("admin:catalog_provider_changelist" if count or not may_add else "admin:catalog_provider_add")
    return _card("Providers", f"{len(names[Health.UP])} of {count} up", note, link, bad=Health.DOWN in names)


def _chart(hours: list[usage.Hour]) -> dict[str, Any]:
    """One bar an hour, as percentages and pixels of the drawing; the same figures as a table."""
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
                "hour": f"{hour.starts:%Y-%m-%d %H:00}",
                "cost": money.text(hour.totals.cost),
                "calls": f"{hour.totals.calls:,}",
                "errors": f"{hour.totals.errors:,}",
                "failed": bool(hour.totals.errors),
            }
        )
    return {
        "bars": bars,
        "height": CHART_HEIGHT,
        "total": money.text(sum(hour.totals.cost for hour in hours)),
        "most": money.text(most) if any(hour.totals.cost for hour in hours) else "",
        "is_empty": not any(hour.totals.calls for hour in hours),
    }


def _call(entry: Any) -> dict[str, Any]:
    tokens_in = entry.in_fresh + entry.in_cache_read + entry.in_cache_write_5m + entry.in_cache_write_1h
    return {
        "link": reverse("admin:usage_entry_change", args=[entry.pk]),
        "ago": cells.ago(entry.started_at),
        "status": entry.get_status_display(),
        "bad": entry.status not in ("ok", "client_gone"),
        "model": entry.model_name,
        "tenant": entry.tenant.name,
        "tokens": f"{tokens_in + entry.out_total:,}",
        "cost": "unpriced" if entry.is_unpriced else money.text(entry.cost_nano),
    }


def _budget(window: Any, subject: str) -> dict[str, Any]:
    percent = 100 * window.settled // window.limit if window.limit else 100
    spent = f"{money.text(window.settled)} of {money.text(window.limit)}, {window.budget.get_period_display().lower()}"
    return {
        "link": reverse("admin:quotas_budget_change", args=[window.budget_id]),
        "subject": subject,
        "bar": cells.bar(percent, spent),
    }
