from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Body, Query, Strict, number
from apps.api.fields import Choice, Integer, Nano, Text, shown
from apps.api.problems import Problem
from apps.api.resource import Listing, Reading, Resource
from apps.api.resources.entries import UUID, RequestId
from apps.domain.tokens import TokenUsage
from apps.usage import inventory, services


class UnconfirmedBody(Body):
    of = inventory.unconfirmed
    is_told = True
    columns = (
        *("attempt", "tenant", "project", "user", "key", "model", "provider", "model_name", "status"),
        *("low_nano", "cost_nano", "high_nano", "reserved_nano", "price_version", "provider_request_id", "started_at"),
    )
    id = shown(serializers.UUIDField)
    request_id = RequestId(read_only=True)


class UnconfirmedQuery(Query):
    tenant = number()
    project = number()
    key = number()


class Counters(Strict):
    """Of tokens; those that are left out are 0."""

    in_fresh = Integer(required=False, min_value=0)
    in_cache_read = Integer(required=False, min_value=0)
    in_cache_write_5m = Integer(required=False, min_value=0)
    in_cache_write_1h = Integer(required=False, min_value=0)
    out_total = Integer(required=False, min_value=0)
    out_reasoning = Integer(required=False, min_value=0)


class Resolution(Strict):
    """Exactly one of `cost_nano_usd`, `usage` and `said`."""

    cost_nano_usd = Nano(required=False)
    usage = Counters(required=False, help_text="At the price that was frozen when the call began.")
    said = Choice(
        choices=tuple(services.SAID), required=False, help_text="It cost nothing, what was estimated, or all."
    )
    note = Text(required=False, max_length=200, allow_blank=True, help_text="How it is known.")


class Resolved(serializers.Serializer[Any]):
    cost_nano_usd = Nano(help_text="What the attempt cost in all.")
    correction = serializers.UUIDField(help_text="The ledger entry that says so.")


class Unconfirmed(Listing, Reading, Resource):
    """Attempts whose cost nobody knows yet."""

    place = "usage/unconfirmed"
    noun = "unconfirmed attempt"
    model = "usage.unconfirmed"
    body = UnconfirmedBody
    query = UnconfirmedQuery
    lookup_value_regex = UUID

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.unconfirmed()

    @action(detail=True, methods=["post"], given=Resolution, gives=Resolved)
    def resolve(self, request: Request, pk: str) -> Response:
        """Says what it did cost. Budgets get the difference; it can be said only once."""
        self.asked()
        self.must("change")

        def do() -> Response:
            entry = inventory.entries().filter(pk=self.row().pk).get()
            given = self.read(Resolution)
            note = given.pop("note", "")
            if len(given) != 1:
                raise Problem(422, "Give exactly one of cost_nano_usd, usage and said.")
            correction = services.resolve(entry, actor=request.user, note=note, **_truth(given))
            return Response({"cost_nano_usd": entry.cost_nano + correction.cost_nano, "correction": correction.pk})

        return self.once(do)


def _truth(given: dict[str, Any]) -> dict[str, Any]:
    if "usage" in given:
        return {"usage": TokenUsage(**given["usage"])}
    return {"cost": given.get("cost_nano_usd", given.get("said"))}
