from __future__ import annotations

import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Query, moment, number, word
from apps.api.fields import Integer, Moment, Nano, Text
from apps.api.problems import Problem
from apps.api.resource import Signed
from apps.api.resources.rollups import RollupQuery, Rollups
from apps.usage import inventory

USUAL = datetime.timedelta(days=30)
LONGEST = datetime.timedelta(days=400)
MOST_GROUPS = 1_000


class CostQuery(Query):
    by = word(*inventory.GROUPS, help_text="What is summed together; usually project.")
    since = moment(help_text="Whole hours; usually 30 days before `until`.")
    until = moment(help_text="Usually now.")
    tenant = number()
    project = number()
    user = number()
    key = number()
    pinned = number()


class Group(serializers.Serializer[Any]):
    group = Text(allow_null=True, help_text="An id, or a moment; null: of none.")
    calls = Integer()
    errors = Integer()
    unconfirmed = Integer()
    unpriced = Integer()
    in_fresh = Integer()
    in_cache_read = Integer()
    in_cache_write_5m = Integer()
    in_cache_write_1h = Integer()
    out_total = Integer()
    out_reasoning = Integer()
    cost_nano_usd = Nano(min_value=None)
    low_nano_usd = Nano(min_value=None)
    high_nano_usd = Nano(min_value=None)
    saved_nano_usd = Nano(min_value=None)


class Summed(serializers.Serializer[Any]):
    by = Text()
    since = Moment()
    until = Moment()
    items = Group(many=True)


class Costs(Signed):
    """What was spent on what, the dearest first: of whole hours that are rolled up."""

    place = "usage/costs"
    query = CostQuery
    gives = Summed

    def list(self, request: Request) -> Response:
        """Sums of a span of time."""
        given = self.asked()
        until = given.pop("until", None) or timezone.now()
        since = given.pop("since", None) or until - USUAL
        by = given.pop("by", "project")
        if not datetime.timedelta(0) <= until - since <= LONGEST:
            told = f"It is after “until”, or more than {LONGEST.days} days before it."
            raise Problem(400, code="bad_query", errors={"since": [told]})
        sees_all = self.reach.has_perm(Rollups.permission("view"))
        if by == "provider" and not sees_all:
            raise Problem(403, "Who answers is not told to members.")
        rows = RollupQuery.apply(Rollups.seen(self.reach), given)
        groups = inventory.costs(rows, since=since, until=until, by=by, most=MOST_GROUPS)
        return Response({"by": by, "since": since, "until": until, "items": [_told(group) for group in groups]})


def _told(group: dict[str, Any]) -> dict[str, Any]:
    named = {f"{name}_usd" if name.endswith("_nano") else name: value for name, value in group.items()}
    value = group["group"]
    text = value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime.datetime) else value
    return named | {"group": None if text is None else str(text)}
