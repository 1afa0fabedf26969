"""Limits and budgets as the data plane knows them. A handful of queries, however many rules there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now, NullIf

from apps.catalog.models import Deployment, Price
from apps.domain import pricing, snapshot
from apps.domain.limits import budget as periods
from apps.keys.models import Key
from apps.quotas.models import NARROW, Budget, BudgetWindow, Limit, Rule
from apps.runtime import clock
from apps.tenants.models import Project

ModelKey = tuple[int, int | None]
_NEAREST = ("key", "user", "project", "tenant", "model", "endpoint")


class RuleBook(NamedTuple):
    """By tenant, by project, by (model, tenant or None for everyone), and by pinned endpoint. Those of keys and users
    come with a key."""

    tenants: dict[int, snapshot.Rules]
    projects: dict[int, snapshot.Rules]
    models: dict[ModelKey, snapshot.Rules]
    endpoints: dict[int, snapshot.Rules]


def rule_book() -> RuleBook:
    """Two queries."""
    wide = Q(key=None, user=None)
    limits = list(Limit.objects.filter(wide, is_enabled=True).order_by("id"))
    budgets = list(
        _in_force()
        .filter(wide, is_enabled=True)
        .select_related("tenant", "project__tenant", "model", "endpoint")
        .order_by("id")
    )
    found = _by_subject(limits, budgets)
    return RuleBook(
        tenants={key[1]: rules for key, rules in found.items() if key[0] == "tenant"},
        projects={key[1]: rules for key, rules in found.items() if key[0] == "project"},
        models={(key[1], key[2]): rules for key, rules in found.items() if key[0] == "model"},
        endpoints={key[1]: rules for key, rules in found.items() if key[0] == "endpoint"},
    )


def rules_of(key_id: int | None, user_id: int | None, tenant_id: int) -> tuple[snapshot.Rules, snapshot.Rules]:
    """The key's own and its user's (everywhere and in this tenant). Two queries."""
    mine = Q(pk__in=[]) if key_id is None else Q(key_id=key_id)
    if user_id is not None:
        mine |= Q(user_id=user_id) & (Q(tenant=None) | Q(tenant_id=tenant_id))
    limits = list(Limit.objects.filter(mine, is_enabled=True).order_by("id"))
    budgets = list(
        _in_force().filter(mine, is_enabled=True).select_related("tenant", "key__tenant", "user").order_by("id")
    )
    return (
        _rules(limits, budgets, scope="key"),
        _rules(limits, budgets, scope="user"),
    )


def budgets_of(tenant_id: int) -> QuerySet[Budget]:
    """Those of the tenant itself, its projects, keys and members within it. Each part along an index of its own."""
    own = Budget.objects.filter(tenant=tenant_id).order_by().values("pk")
    projects = Budget.objects.filter(project__in=Project.objects.filter(tenant=tenant_id)).order_by().values("pk")
    keys = Budget.objects.filter(key__in=Key.objects.filter(tenant=tenant_id)).order_by().values("pk")
    return Budget.objects.filter(Q(pk__in=own) | Q(pk__in=projects) | Q(pk__in=keys))


def most_used(now: datetime, count: int, *, tenant_id: int | None = None) -> list[tuple[BudgetWindow, str]]:
    """Windows of the present periods that are closest to their limits, with whose they are; of all, or of a tenant. Two
    queries."""
    windows = BudgetWindow.objects.filter(starts__lte=now, ends__gt=now, budget__is_enabled=True, settled__gt=0)
    if tenant_id is not None:
        windows = windows.filter(budget__in=budgets_of(tenant_id))
    share = (F("settled") * 1.0 / NullIf(F("limit"), 0)).desc(nulls_first=True)
    fullest = list(windows.order_by(share).values_list("pk", flat=True)[:count])
    # By themselves: joined to as many names, the planner reads all keys and users before it knows which few windows.
    rows = BudgetWindow.objects.select_related(*(f"budget__{scope}" for scope in ("tenant", *NARROW))).in_bulk(fullest)
    return [(row, f"{row.budget.scope} {row.budget.subject}") for pk in fullest if (row := rows.get(pk))]


class Stand(NamedTuple):
    """How a budget stands in its present period, in nano-USD; nothing spent yet, if it has no window so far."""

    budget: Budget
    subject: str
    limit: int
    settled: int
    held: int
    ends: datetime | None


def budgets_over(key: Key, now: datetime) -> list[Stand]:
    """All that a call with the key is paid from but what its model has, the key's own first. Two queries."""
    over = Q(key=key) | Q(project=key.project_id) | Q(tenant=key.tenant_id, user=None, model=None)
    if key.user_id is not None:
        over |= Q(user=key.user_id) & (Q(tenant=None) | Q(tenant=key.tenant_id))
    budgets = Budget.objects.filter(over, is_enabled=True).select_related(*NARROW, "tenant")
    return sorted(stands(budgets, now), key=lambda stand: _NEAREST.index(stand.budget.scope))


def limits_over(key: Key) -> list[Limit]:
    """The key's own limits. One query."""
    return list(Limit.objects.filter(key=key, is_enabled=True).order_by("pk"))


def stands(budgets: Iterable[Budget], now: datetime) -> list[Stand]:
    """One query beside that of the budgets."""
    rows = list(budgets)
    windows = BudgetWindow.objects.filter(budget__in=rows, starts__lte=now, ends__gt=now)
    present = {window.budget_id: window for window in windows}
    found = []
    for row in rows:
        window = present.get(row.pk)
        figures = (window.limit, window.settled, window.held, window.ends) if window else (row.amount, 0, 0, None)
        found.append(Stand(row, f"{row.scope} {row.subject}", *figures))
    return found


class Left(NamedTuple):
    """Of a budget's present period, in nano-USD: what is spent for sure, and what is promised to processes."""

    spent: int
    promised: int


def left(budgets: Iterable[snapshot.Budget], now: float) -> dict[int, Left]:
    """By budget; one of which nothing has been used has no entry. One query."""
    moment = datetime.fromtimestamp(now, UTC)
    windows = BudgetWindow.objects.filter(budget__in=[one.id for one in budgets], starts__lte=moment, ends__gt=moment)
    return {row.budget_id: Left(row.settled, row.held + row.credit) for row in windows}


def dearest_answer() -> tuple[str, int] | None:
    """The model whose longest answer costs most at present, and how much, in nano-USD. One query."""
    prices = Price.objects.filter(deployment=OuterRef("pk"), effective_from__lte=Now())
    current = Subquery(prices.order_by("-effective_from", "-id").values("output")[:1])
    served = Deployment.objects.filter(is_enabled=True, model__is_enabled=True).annotate(price=current)
    full = served.annotate(full=F("price") * F("model__max_output_tokens")).filter(full__gt=0)
    found = full.order_by("-full").values_list("model__name", "full").first()
    return (found[0], found[1] // pricing.MILLION) if found is not None else None


def _in_force() -> QuerySet[Budget]:
    return Budget.objects.raised_at(datetime.fromtimestamp(clock.now(), UTC))


def _by_subject(
    limits: Iterable[Limit], budgets: Iterable[Budget]
) -> dict[tuple[str, int, int | None], snapshot.Rules]:
    sorted_out: dict[tuple[str, int, int | None], tuple[list[Limit], list[Budget]]] = defaultdict(lambda: ([], []))
    for limit in limits:
        sorted_out[_subject(limit)][0].append(limit)
    for budget in budgets:
        sorted_out[_subject(budget)][1].append(budget)
    return {subject: _rules(*rows) for subject, rows in sorted_out.items()}


def _subject(rule: Rule) -> tuple[str, int, int | None]:
    """Scope, subject, and the tenant that narrows a model."""
    subject_id: int = getattr(rule, f"{rule.scope}_id")
    return rule.scope, subject_id, rule.tenant_id if rule.scope == "model" else None


def _rules(limits: Iterable[Limit], budgets: Iterable[Budget], *, scope: str | None = None) -> snapshot.Rules:
    return snapshot.Rules(
        tuple(_limit(row) for row in limits if scope in (None, row.scope)),
        tuple(_budget(row) for row in budgets if scope in (None, row.scope)),
    )


def _limit(row: Limit) -> snapshot.Limit:
    return snapshot.Limit(
        id=row.pk,
        key=f"limit:{row.pk}",
        scope=row.scope,  # type: ignore[arg-type]  # a property of the row, one of the six
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        concurrency=row.concurrency,
    )


def _budget(row: Budget) -> snapshot.Budget:
    timezone = row.timezone or _home(row)
    days = None
    if row.starts_on is not None and row.ends_on is not None:
        span = periods.days(row.starts_on, row.ends_on, timezone=timezone)
        days = (span.starts, span.ends)
    return snapshot.Budget(
        id=row.pk,
        scope=row.scope,  # type: ignore[arg-type]
        amount=row.in_force,
        period=row.period,  # type: ignore[arg-type]
        timezone=timezone,
        subject=f"{row.scope} {row.subject}",
        overdraft=row.overdraft,
        days=days,
    )


def _home(row: Budget) -> str:
    """The time zone of the tenant that the subject belongs to; what is of no one tenant counts in UTC."""
    if row.tenant is not None:
        return row.tenant.timezone
    owner = row.project if row.scope == "project" else row.key if row.scope == "key" else None
    return owner.tenant.timezone if owner is not None else "UTC"
