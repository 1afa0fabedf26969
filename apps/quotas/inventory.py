"""All limits, budgets with their periods and increases, gaps and gateways, for whoever manages them."""

from __future__ import annotations

from typing import Any

from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from apps.quotas.models import NARROW, Budget, BudgetWindow, Gap, Increase, Limit, Replica

_SUBJECTS = ("tenant", "project__tenant", "key__tenant", *NARROW)


def limits() -> QuerySet[Limit]:
    return Limit.objects.select_related(*_SUBJECTS)


def budgets() -> QuerySet[Budget]:
    """Each with what is `settled` and `held` of its present period; None where nothing was asked for yet."""
    now = timezone.now()
    current = BudgetWindow.objects.filter(budget=OuterRef("pk"), starts__lte=now, ends__gt=now)
    held = current.annotate(both=F("held") + F("credit")).values("both")
    found = Budget.objects.annotate(settled=Subquery(current.values("settled")[:1]), held=Subquery(held[:1]))
    return found.select_related(*_SUBJECTS)


def gaps() -> QuerySet[Gap]:
    return Gap.objects.all()


def periods() -> QuerySet[BudgetWindow]:
    return BudgetWindow.objects.select_related("budget")


def increases() -> QuerySet[Increase]:
    subjects = ("tenant", "project__tenant", "key__tenant", "user", "model", "endpoint")
    return Increase.objects.select_related(*(f"budget__{name}" for name in subjects), "requested_by")


def replicas() -> QuerySet[Replica]:
    return Replica.objects.all()


def of_subject(rows: QuerySet[Any], **subject: int) -> QuerySet[Any]:
    """Rules that restrain it. `tenant`: with those of what is its own."""
    if (tenant := subject.pop("tenant", None)) is not None:
        rows = rows.filter(Q(tenant=tenant) | Q(project__tenant=tenant) | Q(key__tenant=tenant))
    return rows.filter(**subject)
