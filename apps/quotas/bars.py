"""How much of a budget is gone, as pages show it."""

from __future__ import annotations

import datetime

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.utils import timezone

from apps.audit import cells
from apps.domain import money
from apps.quotas.models import Budget, BudgetWindow

REST = 20  # the twentieth part: of what is left then, hardly a call can be sure


def with_spent(budgets: QuerySet[Budget]) -> QuerySet[Budget]:
    """Each with what is `settled` and `held` of its present period; None where nothing was asked for yet."""
    now = timezone.now()
    current = BudgetWindow.objects.filter(budget=OuterRef("pk"), starts__lte=now, ends__gt=now)
    held = current.annotate(both=F("held") + F("credit")).values("both")
    return budgets.annotate(settled=Subquery(current.values("settled")[:1]), held=Subquery(held[:1]))


def nearly_spent(budgets: QuerySet[Budget], now: datetime.datetime) -> QuerySet[Budget]:
    """Those of them that refuse calls by now, or those calls that could cost more than what is left."""
    return budgets.filter(
        is_enabled=True,
        windows__starts__lte=now,
        windows__ends__gt=now,
        windows__settled__gte=F("windows__limit") - F("windows__limit") / REST,
    )


def is_nearly_spent(settled: int, amount: int) -> bool:
    return settled >= amount - amount // REST


def percent(part: int, whole: int) -> int:
    return 100 * part // whole if whole else 100


def burn_bar(settled: int, held: int, *, amount: int, overdraft: int) -> str:
    """What is spent, and paler what processes hold; with an overdraft a line stands where the amount ends."""
    mark = percent(amount, amount + overdraft) if overdraft else None
    text = f"{money.text(settled)} · {money.text(held)} held" if held else money.text(settled)
    return cells.bar(percent(settled, amount), text, held=percent(held, max(1, amount + overdraft)), mark=mark)
