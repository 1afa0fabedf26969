from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.resource import Removing
from apps.api.resources.rules import RuleBody, Rules
from apps.quotas import inventory, selfservice, services


class LimitBody(RuleBody):
    of = inventory.limits
    columns = ("requests_per_minute", "tokens_per_minute", "concurrency", "is_enabled", "created_at")


class Limits(Removing, Rules):
    """How many requests, tokens and calls at one time somebody may have."""

    place = "limits"
    noun = "limit"
    model = "quotas.limit"
    body = LimitBody

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.limits()

    def make(self, values: dict[str, Any]) -> Any:
        actor = self.request.user
        if self.manages("add"):
            return self.made(services.create_limit(actor=actor, **values))
        is_enabled = values.pop("is_enabled", True)
        limit = selfservice.set_limit(self.subject(values), actor=actor, **values)
        if not is_enabled:
            services.disable(limit, actor=actor)
        return self.made(limit)

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        change = services.update_limit if self.manages("change") else selfservice.change_limit
        change(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        remove = services.remove if self.manages("delete") else selfservice.remove
        remove(row, actor=self.request.user)
