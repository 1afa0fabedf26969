"""What rules watch, each kind a question that is bounded however many rows there are: windows of budgets, rollups'
neighbours at the ledger's end, the figures of the last minute. No answer reads the ledger from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, F, Q, QuerySet

from apps.alerts.kinds import Kind
from apps.alerts.models import AlertRule
from apps.catalog.models import Deployment, Provider
from apps.domain import ids, money
from apps.keys.models import Key
from apps.quotas import selectors as quotas
from apps.quotas.models import BudgetWindow
from apps.quotas.selfservice import home_of
from apps.runtime import standings
from apps.usage import figures
from apps.usage import models as ledger
from apps.usage.models import Entry, Figure

MOST = 500  # of one rule at a time
MOST_CALLS = 20_000  # newest ones that a rate is taken of
LEAST_ELAPSED = 0.1  # of a period, before which its pace says nothing
MOST_NAMED = 20
_SUBJECTS = ("tenant", "project__tenant", "key__tenant", "user", "model", "endpoint")


class Finding(NamedTuple):
    """One thing that is as the rule says. `subject` and `period` make it the same one the next time; `people` are told
    beside the rule's destinations, by e-mail."""

    subject: str
    title: str
    text: str
    period: str = ""
    level: int = 0
    tenant_id: int | None = None
    people: tuple[str, ...] = ()


def findings(rule: AlertRule, now: datetime) -> list[Finding]:
    """What is so now, MOST at most. A handful of queries."""
    found: list[Finding] = []
    for finding in _QUESTIONS[Kind(rule.kind)](rule, now):
        found.append(finding)
        if len(found) >= MOST:
            break
    return found


def _budgets(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    percents, forecast = sorted(rule.settings["percents"]), rule.settings["forecast"]
    least = min(percents[0], 100 * LEAST_ELAPSED) if forecast else percents[0]
    windows = BudgetWindow.objects.filter(starts__lte=now, ends__gt=now, budget__is_enabled=True, settled__gt=0)
    windows = windows.filter(settled__gte=F("limit") / 100 * int(least))
    if rule.project is not None:
        windows = windows.filter(Q(budget__project=rule.project) | Q(budget__key__project=rule.project))
    elif rule.tenant is not None:
        windows = windows.filter(budget__in=quotas.budgets_of(rule.tenant.pk).values("pk"))
    for window in windows.select_related(*(f"budget__{name}" for name in _SUBJECTS)).order_by("pk")[: MOST * 2]:
        yield from _of_window(window, percents, forecast=forecast, now=now)


def _of_window(window: BudgetWindow, percents: list[int], *, forecast: bool, now: datetime) -> Iterator[Finding]:
    budget = window.budget
    home = home_of(budget) or budget.tenant
    told = {"tenant_id": None if home is None else home.pk, "subject": f"budget:{budget.pk}"}
    name = f"{budget.get_period_display().lower()} budget of the {budget.scope} {_name(budget)}"
    sums = f"{money.text(window.settled)} of {money.text(window.limit)} are spent; the period ends {_at(window.ends)}."
    percent = 100 * window.settled // window.limit if window.limit else 100
    if reached := [each for each in percents if percent >= each]:
        verb = "is spent" if percent >= 100 else f"is spent to {percent} %"
        yield Finding(title=f"The {name} {verb}", text=sums, period=f"{window.pk}", level=reached[-1], **told)
    elapsed = (now - window.starts) / (window.ends - window.starts)
    if forecast and percent < 100 and elapsed >= LEAST_ELAPSED and window.settled / elapsed >= window.limit:
        text = f"{sums} At the pace so far all of it is spent by then."
        yield Finding(
            title=f"The {name} will not last at this pace", text=text, period=f"{window.pk} forecast", level=1, **told
        )


def _errors(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    """Of the newest calls in the window, along the ledger's primary key, or the tenant's or project's index."""
    minutes, least, percent = (rule.settings[name] for name in ("minutes", "calls", "percent"))
    since = ids.floor(int((now - timedelta(minutes=minutes)).timestamp() * 1000))
    whose: dict[str, Any] = {}
    if rule.project_id is not None:
        whose = {"project_id": rule.project_id}
    elif rule.tenant_id is not None:
        whose = {"tenant_id": rule.tenant_id}
    calls = Entry.objects.filter(id__gte=since, kind__lt=ledger.Kind.CORRECTION, **whose).order_by("-id")
    newest = calls.values("status")[:MOST_CALLS]
    sums = newest.aggregate(all=Count("status"), good=Count("status", filter=Q(status__in=ledger.NOT_ERRORS)))
    failed = sums["all"] - sums["good"]
    if sums["all"] >= least and 100 * failed >= percent * sums["all"]:
        share = 100 * failed // sums["all"]
        text = f"{failed:,} of {sums['all']:,} calls failed within {minutes} minutes."
        yield Finding("calls", f"{share} % of calls fail", text, tenant_id=rule.tenant_id)


def _breakers(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    """As the gateways tell each other through Redis, or else with their heartbeats."""
    opened = {pk: row for pk, row in standings.by_deployment().items() if row.breaker == "open"}
    for deployment in Deployment.objects.filter(pk__in=opened).select_related("model", "provider").order_by("pk"):
        title = f"The breaker of {deployment} is open"
        yield Finding(f"deployment:{deployment.pk}", title, "It gets no calls but a few that try whether it is back.")


def _providers(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    """As their health checks have found; one that is recovering is not up yet."""
    for provider in Provider.objects.filter(is_enabled=True, is_healthy=False).order_by("pk"):
        text = f"{provider.consecutive_failures} checks in a row have failed."
        yield Finding(f"provider:{provider.pk}", f"{provider} is down", text)


def _unconfirmed(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    """By the figures that are counted once a minute."""
    rows = Figure.objects.filter(name__in=(figures.UNCONFIRMED, figures.UNCONFIRMED_NANO))
    if rule.tenant_id is not None:
        rows = rows.filter(tenant_id=rule.tenant_id)
    sums: dict[str, int] = {}
    for name, value in rows.values_list("name", "value"):
        sums[name] = sums.get(name, 0) + value
    count, cost = sums.get(figures.UNCONFIRMED, 0), sums.get(figures.UNCONFIRMED_NANO, 0)
    if count and (count >= rule.settings["calls"] or cost >= rule.settings["dollars"] * money.NANO):
        text = f"{count:,} attempts whose cost nobody knows; they may have cost up to {money.text(cost)}."
        yield Finding("unconfirmed", f"{count:,} attempts are unconfirmed", text, tenant_id=rule.tenant_id)


def _expiring(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    """Its owner is told as well."""
    until = now + timedelta(days=rule.settings["days"])
    ending = _keys(rule).filter(expires_at__gt=now, expires_at__lte=until, expiry_recorded_at=None)
    for key in ending.select_related("user", "tenant").order_by("expires_at")[:MOST]:
        owner = key.user
        people = (owner.email,) if owner is not None and owner.is_active and owner.email else ()
        yield Finding(
            f"key:{key.pk}", f"The key {key.name} expires {_at(key.expires_at)}",
            f"{key.prefix} of {key.tenant}. Programs that call with it are refused from then on: issue another.",
            period=f"{key.expires_at:%Y-%m-%d %H:%M}", tenant_id=key.tenant_id, people=people,
        )  # fmt: skip


def _unused(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    """One for all of them: a key that nobody needs is a secret that somebody may find."""
    before = now - timedelta(days=rule.settings["days"])
    idle = Q(last_used_at__lt=before) | Q(last_used_at=None, created_at__lt=before)
    lasting = Q(expires_at=None) | Q(expires_at__gt=now)
    named = [key.name for key in _keys(rule).filter(idle & lasting).order_by("pk")[: MOST_NAMED + 1]]
    if named:
        more = " and others" if len(named) > MOST_NAMED else ""
        title = f"Keys have not been used for {rule.settings['days']} days"
        yield Finding("keys", title, f"{', '.join(named[:MOST_NAMED])}{more}.", tenant_id=rule.tenant_id)


def _keys(rule: AlertRule) -> QuerySet[Key]:
    found = Key.objects.filter(revoked_at=None)
    if rule.project_id is not None:
        return found.filter(project=rule.project_id)
    return found if rule.tenant_id is None else found.filter(tenant=rule.tenant_id)


def _name(budget: Any) -> str:
    return str(budget.key.name if budget.scope == "key" else budget.subject)


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


_QUESTIONS: dict[Kind, Callable[[AlertRule, datetime], Iterable[Finding]]] = {
    Kind.BUDGET: _budgets,
    Kind.ERRORS: _errors,
    Kind.BREAKER: _breakers,
    Kind.PROVIDER: _providers,
    Kind.UNCONFIRMED: _unconfirmed,
    Kind.KEY_EXPIRY: _expiring,
    Kind.KEY_UNUSED: _unused,
}
SLOW = {Kind.KEY_UNUSED: timedelta(hours=1)}  # asked no oftener: it looks at many rows
