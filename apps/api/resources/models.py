from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body, Query, truth, word
from apps.api.fields import Integer, Refs, shown
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.audit.services import serialise
from apps.catalog import inventory, removal, services


class ModelBody(Body):
    of = inventory.models
    columns = (
        *("name", "display_name", "aliases", "is_enabled", "max_output_tokens", "context_tokens", "capabilities"),
        *("networks", "strategy", "is_sticky", "created_at"),
    )
    id = shown(Integer)
    tenants = Refs("tenants", required=False, help_text="Empty: every tenant may use it.")


class ModelQuery(Query):
    name = word()
    is_enabled = truth()

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        if (enabled := given.pop("is_enabled", None)) is not None:
            rows = rows.filter(is_enabled=enabled == "true")
        return rows.filter(**given)


class Models(Listing, Reading, Making, Changing, Removing, Resource):
    """Names that callers ask for."""

    place = "models"
    noun = "model"
    model = "catalog.model"
    body = ModelBody
    query = ModelQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.models()

    def lock(self, row: Any) -> None:
        serialise("catalog")
        super().lock(row)

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.create_model(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        tenants = changes.pop("tenants", None)
        if changes:
            services.update_model(row, actor=self.request.user, **changes)
        if tenants is not None:
            services.set_tenants(row, actor=self.request.user, tenants=tenants)

    def remove(self, row: Any) -> None:
        removal.remove_model(row, actor=self.request.user)
