from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Ref, Text, shown
from apps.api.resource import Changing, Listing, Making, Reading, Resource
from apps.audit.services import serialise
from apps.catalog import inventory, services


class EndpointBody(Body):
    of = inventory.endpoints
    columns = ("name", "is_enabled", "hosts", "port", "address", "networks", "cors_origins", "created_at")
    id = shown(Integer)
    model = Ref("models")
    path = shown(Text)


class EndpointQuery(Query):
    model = number()


class Endpoints(Listing, Reading, Making, Changing, Resource):
    """Pinned endpoints: they answer with one model, whatever their callers ask for. They are disabled, not removed."""

    place = "endpoints"
    noun = "pinned endpoint"
    model = "catalog.pinnedendpoint"
    body = EndpointBody
    query = EndpointQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.endpoints()

    def lock(self, row: Any) -> None:
        serialise("catalog")
        super().lock(row)

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.create_endpoint(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.update_endpoint(row, actor=self.request.user, **changes)
