"""The first page: what today cost, how it went, what is down. Each part for those who may see what it shows."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from django.apps import apps
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from apps.audit import cells
from apps.catalog import selectors as catalog
from apps.catalog.models import Health
from apps.domain import money
from apps.keys.models import Key
from apps.keys.panels import ending
from apps.quotas import selectors as quotas
from apps.runtime import gateways, standings
from apps.usage import figures, pulse, refusals
from apps.usage import selectors as usage
from apps.usage.reports import forecasts

CHART_HEIGHT = 160
BAR_WIDTH = 100 / 24
LATEST = 10
MOST_USED = 6
MOST_KEYS = 1_000
MANY_ERRORS_PERCENT = 5
PROVIDER_TROUBLES = {Health.DOWN: "down", Health.RECOVERING: "recovering", Health.FAILING: "failing"}


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK. Bounded queries, whatever the size of the ledger."""
    now = datetime.now(UTC)
    cards: list[dict[str, Any]] = []
    if request.user.has_perm("usage.view_entry"):
        overview = usage.overview(now)
        cards += [_today_card(overview.today), _month_card(now), *_call_cards(overview.today, now)]
        context["chart"] = _chart(overview.hours)
        context["calls"] = [_call(entry) for entry in usage.latest(LATEST)]
        context["step"] = None if context["calls"] else next_step(request.user)
    if request.user.has_perm("usage.view_refusal"):
        cards.append(_refused_card(now))
    cards += [*_provider_cards(request), *_key_cards(request, now)]
    if request.user.has_perm("usage.view_entry"):
        cards.append(_doubt_card(request))
    cards += [*_books_cards(request), *_gap_cards(request)]
    if request.user.has_perm("quotas.view_budget"):
        context["budgets"] = [_budget(window, subject) for window, subject in quotas.most_used(now, MOST_USED)]
    context["cards"] = cards
    context["now"] = f"{now:%Y-%m-%d %H:%M} UTC"
    return context


def _card(title: str, figure: str, note: str, link: str, *, good: bool = False, bad: bool = False) -> dict[str, Any]:
    return {"title": title, "figure": figure, "note": note, "link": link, "good": good, "bad": bad}


def _today_card(today: usage.Totals) -> dict[str, Any]:
    ledger = reverse("admin:usage_entry_changelist")
    return _card("Spend today", money.brief(today.cost), "since midnight UTC", f"{ledger}?since=today")


def _month_card(now: datetime) -> dict[str, Any]:
    """Against the monthly budgets of all tenants, and what it comes to as tenants are foretold theirs."""
    month = pulse.month(now)
    ledger = f"{reverse('admin:usage_entry_changelist')}?since=month"
    notes = [f"of {money.brief(month.budgeted)} in monthly budgets"] if month.budgets else ["no tenant has a budget"]
    if month.forecast is not None:
        notes.append(f"{money.brief(month.forecast)} by its end, going by the last {forecasts.FULL_DAYS} full days")
    bad = bool(month.budgets) and max(month.spent, month.forecast or 0) > month.budgeted
    return _card("Spend this month", money.brief(month.spent), "; ".join(notes), ledger, bad=bad)


def _call_cards(today: usage.Totals, now: datetime) -> list[dict[str, Any]]:
    ledger = reverse("admin:usage_entry_changelist")
    rate = 100 * today.errors / today.calls if today.calls else 0.0
    errors = f"{ledger}?since=today&outcome=errors"
    failed = "1 error today" if today.errors == 1 else f"{today.errors:,} errors today"
    speed = pulse.speed(now)
    took = "–" if speed.p95_ms is None else f"{speed.p95_ms / 1000:,.2f} s"
    note = f"of the newest {speed.answers:,} answers within the hour" if speed.answers else "no answer within the hour"
    return [
        _card("Calls today", f"{today.calls:,}", f"{gateways.in_flight():,} in flight now", f"{ledger}?since=today"),
        _card("Error rate", f"{rate:.1f} %", failed, errors, bad=rate >= MANY_ERRORS_PERCENT),
        _card("95 % took less than", took, note, f"{ledger}?since=1h"),
    ]


def _refused_card(now: datetime) -> dict[str, Any]:
    """Of everybody, and of callers that nobody knows: they are in no ledger entry."""
    groups = refusals.by_reason(now.replace(hour=0, minute=0, second=0, microsecond=0))
    note = f"most of them: {groups[0].reason.label.lower()}" if groups else "none today"
    link = f"{reverse('admin:usage_refusal_changelist')}?since=today"
    return _card("Refused today", f"{sum(group.times for group in groups):,}", note, link)


def _provider_cards(request: HttpRequest) -> list[dict[str, Any]]:
    found = []
    if request.user.has_perm("catalog.view_provider"):
        found.append(_provider_card(may_add=request.user.has_perm("catalog.add_provider")))
    if request.user.has_perm("catalog.view_deployment"):
        found.append(_breaker_card())
    return found


def _breaker_card() -> dict[str, Any]:
    """As every gateway told of late; none of them need have been asked."""
    known = [standing.breaker for standing in standings.by_deployment().values()]
    count, half = known.count("open"), known.count("half_open")
    link = f"{reverse('admin:catalog_deployment_changelist')}{'?breaker=open' if count else ''}"
    note = (
        f"{half:,} half-open" if half else "deployments that are left alone" if count else "every deployment is asked"
    )
    return _card("Open breakers", f"{count:,}", note, link, bad=bool(count))


def _key_cards(request: HttpRequest, now: datetime) -> list[dict[str, Any]]:
    """Counted no further than a thousand."""
    if not request.user.has_perm("keys.view_key"):
        return []
    count = ending(Key.objects.order_by(), now=now)[: MOST_KEYS + 1].count()
    link = f"{reverse('admin:keys_key_changelist')}?state=month"
    figure = f"{MOST_KEYS:,}+" if count > MOST_KEYS else f"{count:,}"
    return [_card("Keys about to expire", figure, "within 30 days", link)]


def next_step(user: Any) -> dict[str, str] | None:
    """Of an installation that nobody has called yet: the first thing that is missing, for who may do it."""
    steps = (
        ("catalog.provider", "Add a provider", "A provider is where models are called. Nothing can be called yet."),
        ("catalog.model", "Add a model", "A model is a name that callers ask for, served at a provider."),
        ("catalog.price", "Set a price", "Without a price no call that a budget pays for is made."),
        ("tenants.tenant", "Add a tenant", "A tenant is a customer or a department, with projects, members and keys."),
        (
            "keys.key",
            "Issue a key",
            "A key is what a person or a program calls with. Issue one and make the first call.",
        ),
    )
    for label, title, why in steps:
        app, _, name = label.partition(".")
        if not apps.get_model(label)._base_manager.exists():
            return (
                {"title": title, "why": why, "link": reverse(f"admin:{app}_{name}_add")} if _may(user, label) else None
            )
    return None


def _may(user: Any, label: str) -> bool:
    app, _, name = label.partition(".")
    return bool(user.has_perm(f"{app}.add_{name}"))


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
    trouble = next((word for word in PROVIDER_TROUBLES if word in names), None)
    note = "; ".join(parts) or ("all answer" if count else "add one" if may_add else "none yet")
    link = reverse("admin:catalog_provider_changelist" if count or not may_add else "admin:catalog_provider_add")
    if trouble is not None:
        link += f"?health={trouble.value}"
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
