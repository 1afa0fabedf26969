from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Ref, shown
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.catalog import inventory, services


class FallbackBody(Body):
    of = inventory.fallbacks
    columns = ("position",)
    lasting = ("model", "target")
    id = shown(Integer)
    model = Ref("models")
    target = Ref("models", help_text="The model that answers in its place.")


class FallbackQuery(Query):
    model = number()
    target = number()


class Fallbacks(Listing, Reading, Making, Changing, Removing, Resource):
    """Models that answer in another's place, the lower position first."""

    place = "fallbacks"
    noun = "fallback"
    model = "catalog.fallback"
    body = FallbackBody
    query = FallbackQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.fallbacks()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.add_fallback(values.pop("model"), actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        if "position" in changes:
            services.move_fallback(row, actor=self.request.user, position=changes["position"])

    def remove(self, row: Any) -> None:
        services.remove_fallback(row, actor=self.request.user)
