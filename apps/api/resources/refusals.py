from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from apps.api.bodies import Body, word
from apps.api.fields import shown
from apps.api.reach import Reach
from apps.api.resource import Listing, Resource
from apps.api.resources.entries import of_members
from apps.api.resources.rollups import HourQuery
from apps.domain.refusals import REASONS
from apps.usage import inventory


class RefusalBody(Body):
    of = inventory.refusals
    is_told = True
    columns = (
        *("hour", "tenant", "project", "user", "key", "model_name", "reason", "status", "count"),
        *("first_at", "last_at"),
    )
    id = shown(serializers.UUIDField)


class RefusalQuery(HourQuery):
    reason = word(*REASONS)


class Refusals(Listing, Resource):
    """Calls that were refused before any provider was asked, hour by hour: they are in no ledger entry. Without a
    tenant: callers that nobody knows."""

    place = "usage/refusals"
    noun = "hour of refusals"
    model = "usage.refusal"
    body = RefusalBody
    query = RefusalQuery
    ordering = ("-hour", "-id")

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.refusals()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return of_members(rows, reach)
