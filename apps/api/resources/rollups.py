from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body, Query, moment, number
from apps.api.fields import Integer, shown
from apps.api.reach import Reach
from apps.api.resource import Listing, Resource
from apps.api.resources.entries import of_members
from apps.usage import inventory


class RollupBody(Body):
    of = inventory.rollups
    is_told = True
    columns = (
        *("hour", "tenant", "project", "user", "key", "model", "provider", "pinned", "calls", "errors"),
        *("unconfirmed", "unpriced", "in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h"),
        *("out_total", "out_reasoning", "cost_nano", "low_nano", "high_nano", "latency_ms", "hits"),
        *("saved_nano", "saved_tokens"),
    )
    inner = ("provider",)
    id = shown(Integer)


class HourQuery(Query):
    """Of rows by the hour: whose, and from when to when."""

    tenant = number()
    project = number()
    user = number()
    key = number()
    since = moment()
    until = moment()

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        since, until = given.pop("since", None), given.pop("until", None)
        rows = rows if since is None else rows.filter(hour__gte=since)
        return (rows if until is None else rows.filter(hour__lt=until)).filter(**given)


class RollupQuery(HourQuery):
    pinned = number()


class Rollups(Listing, Resource):
    """Usage hour by hour; what is newer than the last rollup is in the ledger only."""

    place = "usage/rollups"
    noun = "hour"
    model = "usage.hourlyrollup"
    body = RollupBody
    query = RollupQuery
    ordering = ("-hour", "-id")

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.rollups()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return of_members(rows, reach)
