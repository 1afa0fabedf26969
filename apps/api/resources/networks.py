from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body
from apps.api.fields import Integer, shown
from apps.api.resource import Listing, Making, Reading, Removing, Resource
from apps.catalog import inventory, services


class NetworkBody(Body):
    of = inventory.networks
    columns = ("cidr", "note", "created_at")
    id = shown(Integer)


class Networks(Listing, Reading, Making, Removing, Resource):
    """Private ranges that providers may lie in."""

    place = "networks"
    noun = "network"
    model = "catalog.allowednetwork"
    body = NetworkBody

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.networks()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.allow_network(actor=self.request.user, **values))

    def remove(self, row: Any) -> None:
        services.forbid_network(row, actor=self.request.user)
