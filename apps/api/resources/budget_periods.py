from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Nano, shown
from apps.api.reach import Reach
from apps.api.resource import Listing, Reading, Resource
from apps.api.resources.budgets import Budgets
from apps.quotas import inventory


class PeriodBody(Body):
    of = inventory.periods
    is_told = True
    columns = ("budget", "starts", "ends")
    volatile = ("limit_nano_usd", "spent_nano_usd", "held_nano_usd", "overdraft_held_nano_usd", "overrun_nano_usd")
    id = shown(Integer)
    limit_nano_usd = shown(Nano, source="limit")
    spent_nano_usd = shown(Nano, source="settled")
    held_nano_usd = shown(Nano, source="held", help_text="By gateways, of the amount.")
    overdraft_held_nano_usd = shown(Nano, source="credit", help_text="By gateways, of the overdraft.")
    overrun_nano_usd = shown(Nano, source="overrun", help_text="Billed beyond all that was reserved.")


class PeriodQuery(Query):
    budget = number()


class BudgetPeriods(Listing, Reading, Resource):
    """Periods of budgets, each with what was spent in it."""

    place = "budget-periods"
    noun = "period"
    model = "quotas.budgetwindow"
    body = PeriodBody
    query = PeriodQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.periods()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        seen = Budgets.for_members(Budgets.rows().order_by(), reach)
        return rows.filter(budget__in=seen.values("pk"))
