"""Limits and budgets of whoever has a name. Those of keys are not written: a key is known by its secret alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from apps.config.fields import Day, Dollars, Field, count, flag, text
from apps.config.kinds import Identity, Kind, Values
from apps.config.sections.people import project, tenant, user
from apps.config.sections.routing import endpoint, model
from apps.quotas import services
from apps.quotas.models import NARROW, Budget, Limit

SUBJECTS = ("tenant", *(name for name in NARROW if name != "key"))


def subjects() -> dict[str, Field]:
    return {
        "tenant": tenant(optional=True),
        "project": project(optional=True),
        "user": user(optional=True),
        "model": model(optional=True),
        "endpoint": endpoint(optional=True),
    }


class _Rules(Kind):
    """Of one subject there may be several, which nothing but their order tells apart."""

    repeats = True

    def ordered(self, found: QuerySet[Any]) -> Iterable[Any]:
        rows = found.filter(key=None).select_related("tenant", "project__tenant", "user", "model", "endpoint")
        return sorted(rows.order_by("pk"), key=lambda row: tuple(part or "" for part in self.identity(row)))

    def label(self, identity: Identity) -> str:
        return " ".join(f"{name} {part}" for name, part in zip(self.key, identity, strict=False) if part)

    def written(self, row: Any) -> dict[str, Any]:
        """Without the subjects that it has not."""
        found = super().written(row)
        return {name: value for name, value in found.items() if name not in SUBJECTS or value is not None}


class Limits(_Rules):
    title, noun, key = "limits", "limit", SUBJECTS

    def __init__(self) -> None:
        counts = ("requests_per_minute", "tokens_per_minute", "concurrency")
        self.fields = {**subjects(), **{name: count(optional=True) for name in counts}, "is_enabled": flag()}
        super().__init__()

    def rows(self, parent: Any) -> Iterable[Limit]:
        return self.ordered(Limit.objects.all())

    def create(self, parent: Any, values: Values, *, actor: Any) -> Limit:
        return services.create_limit(actor=actor, **values)

    def update(self, row: Limit, changes: Values, *, actor: Any) -> None:
        services.update_limit(row, actor=actor, **changes)

    def prune(self, row: Limit, *, actor: Any) -> str:
        services.remove(row, actor=actor)
        return "removed"


class Budgets(_Rules):
    """In dollars. What is spent is no configuration, and periods that were stay."""

    title, noun, key = "budgets", "budget", (*SUBJECTS, "period")

    def __init__(self) -> None:
        self.fields = {
            **{**subjects(), "period": text(), "amount": Dollars(), "overdraft": Dollars()},
            **{"starts_on": Day(), "ends_on": Day(), "timezone": text(), "is_enabled": flag()},
        }
        super().__init__()

    def rows(self, parent: Any) -> Iterable[Budget]:
        return self.ordered(Budget.objects.all())

    def create(self, parent: Any, values: Values, *, actor: Any) -> Budget:
        return services.create_budget(actor=actor, **values)

    def update(self, row: Budget, changes: Values, *, actor: Any) -> None:
        services.update_budget(row, actor=actor, **changes)

    def prune(self, row: Budget, *, actor: Any) -> str:
        if not row.is_enabled:
            return ""
        services.disable(row, actor=actor)
        return "disabled"
