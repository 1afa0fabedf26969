"""How far a budget's period is spent, published once for each mark that it passes: budget.threshold.

A window remembers the marks that it has passed. Who books what was spent looks at those that all budgets have, and who
evaluates alert rules at those that the rules ask for.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from apps.domain import money
from apps.events import outbox
from apps.quotas.models import Budget, BudgetWindow
from apps.tenants.models import Tenant

MARKS = (50, 80, 100)  # percent
KIND = "budget.threshold"
_SUBJECTS = ("tenant", "project__tenant", "key__tenant", "user", "model", "endpoint")


def percent(window: BudgetWindow) -> int:
    """Of a budget of nothing all is spent."""
    return 100 * window.settled // window.limit if window.limit else 100


def passed(window: BudgetWindow, *, marks: Iterable[int] = MARKS) -> None:
    """In the transaction that holds the window's lock, with what is settled by now. Nothing is asked of the database
    where no mark is new."""
    reached, known = percent(window), {int(word) for word in window.marks.split()}
    if not window.settled or not (new := sorted({mark for mark in marks if mark <= reached} - known)):
        return
    window.marks = " ".join(map(str, sorted(known.union(new))))
    BudgetWindow.objects.filter(pk=window.pk).update(marks=window.marks)
    if not outbox.is_wanted(outbox.wanted(), KIND):
        return
    row = BudgetWindow.objects.select_related(*(f"budget__{name}" for name in _SUBJECTS)).get(pk=window.pk)
    owner = _owner(row.budget)
    for mark in new:
        outbox.emit(
            KIND,
            tenant_id=None if owner is None else owner.pk,
            subject=f"budget/{row.budget_id}",
            data=_data(row, mark=mark, reached=reached),
        )


@transaction.atomic
def look(window_id: int, *, marks: Iterable[int]) -> None:
    """As `passed`, for who does not hold the lock."""
    window = BudgetWindow.objects.select_for_update().filter(pk=window_id).first()
    if window is not None:
        passed(window, marks=marks)


def _owner(budget: Budget) -> Tenant | None:
    """None: it restrains everybody's calls of a model, by an endpoint, or of a user."""
    holder = budget.key or budget.project
    return holder.tenant if holder is not None else budget.tenant


def _data(window: BudgetWindow, *, mark: int, reached: int) -> dict[str, Any]:
    budget, owner = window.budget, _owner(window.budget)
    return {
        "budget": {"id": window.budget_id, "scope": budget.scope, "period": budget.period},
        "restrains": {"id": budget.subject.pk, "name": str(budget.key.name if budget.key else budget.subject)},
        "tenant": None if owner is None else {"id": owner.pk, "slug": owner.slug, "name": owner.name},
        "period_starts": _moment(window.starts),
        "period_ends": _moment(window.ends),
        "threshold_percent": mark,
        "spent_percent": reached,
        "spent_nano": window.settled,
        "spent_usd": f"{money.dollars(window.settled):f}",
        "limit_nano": window.limit,
        "limit_usd": f"{money.dollars(window.limit):f}",
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
