from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.fields import Nano, shown
from apps.api.resources.rules import RuleBody, Rules
from apps.quotas import inventory, selfservice, services


class BudgetBody(RuleBody):
    of = inventory.budgets
    columns = ("period", "starts_on", "ends_on", "timezone", "is_enabled", "created_at")
    lasting = (*RuleBody.lasting, "period")
    volatile = ("spent_nano_usd", "held_nano_usd")
    amount_nano_usd = Nano(source="amount")
    overdraft_nano_usd = Nano(source="overdraft", required=False, help_text="How far calls in flight may go beyond it.")
    spent_nano_usd = shown(Nano, source="settled", help_text="In the present period.")
    held_nano_usd = shown(Nano, source="held", help_text="By gateways, for calls in flight: not spent yet.")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        told = super().to_representation(instance)
        return told | {name: told[name] or 0 for name in self.volatile}


class Budgets(Rules):
    """What may be spent in a period. They are disabled, not removed: their periods are history."""

    place = "budgets"
    noun = "budget"
    model = "quotas.budget"
    body = BudgetBody

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.budgets()

    def make(self, values: dict[str, Any]) -> Any:
        actor = self.request.user
        if self.manages("add"):
            return self.made(services.create_budget(actor=actor, **values))
        is_enabled = values.pop("is_enabled", True)
        budget = selfservice.set_budget(self.subject(values), actor=actor, **values)
        if not is_enabled:
            services.disable(budget, actor=actor)
        return self.made(budget)

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        change = services.update_budget if self.manages("change") else selfservice.change_budget
        change(row, actor=self.request.user, **changes)
