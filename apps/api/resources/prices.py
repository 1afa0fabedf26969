from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Moment, Nano, Ref, Truth, shown
from apps.api.resource import Listing, Making, Reading, Removing, Resource
from apps.catalog import inventory, services

A_MILLION = "Whole billionths of a US dollar, for a million tokens."


def _price(column: str, *, required: bool = False) -> Any:
    told = A_MILLION if required else f"{A_MILLION} Left out: as input."
    return Nano(source=column, required=required, help_text=told)


class PriceBody(Body):
    of = inventory.prices
    columns = ("created_at",)
    id = shown(Integer)
    deployment = Ref("deployments")
    effective_from = Moment(required=False, help_text="Left out: now.")
    input_nano_usd = _price("input", required=True)
    output_nano_usd = _price("output", required=True)
    cache_read_nano_usd = _price("cache_read")
    cache_write_5m_nano_usd = _price("cache_write_5m")
    cache_write_1h_nano_usd = _price("cache_write_1h")
    is_correction = Truth(write_only=True, required=False, help_text="It stands in the place of one that was wrong.")


class PriceQuery(Query):
    deployment = number()


class Prices(Listing, Reading, Making, Removing, Resource):
    """What models cost, from a moment on. A price that has been in force stays; one to come can be removed."""

    place = "prices"
    noun = "price"
    model = "catalog.price"
    body = PriceBody
    query = PriceQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.prices()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.set_price(values.pop("deployment"), actor=self.request.user, **values))

    def remove(self, row: Any) -> None:
        services.withdraw_price(row, actor=self.request.user)
