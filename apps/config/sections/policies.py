"""Data policies with their rules and those who are under them, cache policies of models, and managed settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from apps.config.fields import Json, Number, Words, count, flag, text
from apps.config.kinds import Kind, Values
from apps.config.sections.people import project, tenant
from apps.config.sections.routing import model
from apps.policies import services
from apps.policies.models import Assignment, CachePolicy, DataPolicy, ManagedSettings, Rule


class Rules(Kind):
    title, noun, key, above = "rules", "rule", ("kind",), "policy"
    fields = {"kind": text(), "on_request": text(), "on_response": text()}

    def all_rows(self) -> QuerySet[Rule]:
        return Rule.objects.select_related("policy").order_by("kind")

    def create(self, parent: DataPolicy, values: Values, *, actor: Any) -> Rule:
        return services.add_rule(Rule(policy=parent, **values), actor=actor)

    def update(self, row: Rule, changes: Values, *, actor: Any) -> None:
        services.change_rule(row, actor=actor, **changes)

    def prune(self, row: Rule, *, actor: Any) -> str:
        services.remove_rule(row, actor=actor)
        return "removed"


class Assignments(Kind):
    """Those of keys are not written: a key is known by its secret alone."""

    title, noun, key, above = "under_it", "assignment", ("tenant", "project", "everyone"), "policy"
    fields = {"tenant": tenant(optional=True), "project": project(optional=True), "everyone": flag()}

    def __init__(self) -> None:
        self.fields["everyone"].optional = True
        super().__init__()

    def all_rows(self) -> QuerySet[Assignment]:
        return Assignment.objects.filter(key=None).select_related("policy", "tenant", "project__tenant")

    def in_order(self, rows: QuerySet[Assignment]) -> Iterable[Assignment]:
        return sorted(rows, key=lambda row: tuple(str(part or "") for part in self.identity(row)))

    def identity(self, row: Assignment) -> tuple[Any, ...]:
        found = super().identity(row)
        return (*found[:2], found[2] or None)

    def written(self, row: Assignment) -> dict[str, Any]:
        return {name: part for name, part in zip(self.key, self.identity(row), strict=True) if part is not None}

    def create(self, parent: DataPolicy, values: Values, *, actor: Any) -> Assignment:
        given = {name: value for name, value in values.items() if value is not None}
        return services.assign(parent, actor=actor, **given)

    def update(self, row: Assignment, changes: Values, *, actor: Any) -> None:
        """Nothing of it can be another and it the same."""

    def prune(self, row: Assignment, *, actor: Any) -> str:
        services.unassign(row, actor=actor)
        return "removed"


class Policies(Kind):
    title, noun, key = "policies", "data policy", ("name",)
    fields = {
        **{"name": text(), "is_enabled": flag(), "note": text()},
        **{"required_tags": Words(), "forbidden_tags": Words(), "regions": Words(optional=True)},
        "route_tag": text(),
    }
    children = (Rules(), Assignments())

    def rows(self, parent: Any) -> Iterable[DataPolicy]:
        return DataPolicy.objects.order_by("name")

    def create(self, parent: Any, values: Values, *, actor: Any) -> DataPolicy:
        return services.create_policy(actor=actor, **values)

    def update(self, row: DataPolicy, changes: Values, *, actor: Any) -> None:
        services.change_policy(row, actor=actor, **changes)

    def finish(self, row: DataPolicy) -> None:
        services.check(row)

    def prune(self, row: DataPolicy, *, actor: Any) -> str:
        if not row.is_enabled:
            return ""
        services.update_policy(row, actor=actor, is_enabled=False)
        return "disabled"


class Caches(Kind):
    title, noun, key = "caches", "cache policy", ("model",)
    fields = {
        **{"model": model(), "is_enabled": flag(), "ttl_seconds": count(), "max_bytes": count()},
        **{"is_always": flag(), "is_forced": flag()},
        **{"semantic_model": model(optional=True), "semantic_threshold": Number(optional=True)},
    }

    def rows(self, parent: Any) -> Iterable[CachePolicy]:
        found = CachePolicy.objects.filter(key=None).select_related("model", "semantic_model")
        return found.order_by("model__name")

    def create(self, parent: Any, values: Values, *, actor: Any) -> CachePolicy:
        return services.create_cache(actor=actor, **values)

    def update(self, row: CachePolicy, changes: Values, *, actor: Any) -> None:
        services.update_cache(row, actor=actor, **changes)

    def prune(self, row: CachePolicy, *, actor: Any) -> str:
        services.remove_cache(row, actor=actor)
        return "removed"


class Settings(Kind):
    """What coding agents keep to, by group."""

    title, noun, key = "managed_settings", "managed settings", ("name",)
    fields = {
        **{"name": text(), "is_enabled": flag(), "note": text(), "tenant": tenant(optional=True)},
        **{"project": project(optional=True), "role": text(), "priority": count(), "settings": Json()},
    }

    def rows(self, parent: Any) -> Iterable[ManagedSettings]:
        return ManagedSettings.objects.select_related("tenant", "project__tenant").order_by("name")

    def create(self, parent: Any, values: Values, *, actor: Any) -> ManagedSettings:
        return services.settle(actor=actor, **values)

    def update(self, row: ManagedSettings, changes: Values, *, actor: Any) -> None:
        services.resettle(row, actor=actor, **changes)

    def prune(self, row: ManagedSettings, *, actor: Any) -> str:
        services.unsettle(row, actor=actor)
        return "removed"
