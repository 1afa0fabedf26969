"""What there is to read of the books beside the ledger."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from apps.api.bodies import Body, Query, truth
from apps.api.fields import Integer, shown
from apps.api.resource import Listing, Reading, Resource
from apps.quotas import inventory as quotas
from apps.usage import inventory


class VerificationBody(Body):
    of = inventory.verifications
    is_told = True
    columns = ("began_at", "seconds", "is_quick", "checked", "violations", "failure")
    id = shown(Integer)
    findings = shown(serializers.ListField, child=serializers.JSONField())


class Verifications(Listing, Reading, Resource):
    """Checks of the books, and what they found."""

    place = "usage/verifications"
    noun = "check of the books"
    model = "usage.verification"
    body = VerificationBody

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.verifications()


class GapBody(Body):
    of = quotas.gaps
    is_told = True
    columns = ("replica", "noticed_at", "closed_at")
    id = shown(Integer)
    amount_nano_usd = shown(Integer, source="amount", help_text="Whole billionths of a US dollar, at most.")


class GapQuery(Query):
    open = truth()

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        return rows.filter(closed_at__isnull=given["open"] == "true")


class Gaps(Listing, Reading, Resource):
    """What may have been spent beside all that is recorded, where a process was lost with its disk."""

    place = "usage/gaps"
    noun = "gap"
    model = "quotas.gap"
    body = GapBody
    query = GapQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return quotas.gaps()


class ReplicaBody(Body):
    of = quotas.replicas
    is_told = True
    columns = ("name", "epoch", "heartbeat", "fenced_at")
    id = shown(Integer)


class Replicas(Listing, Reading, Resource):
    """Processes that were given pieces of budgets: who lives, and who was given up."""

    place = "replicas"
    noun = "gateway process"
    model = "quotas.replica"
    body = ReplicaBody

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return quotas.replicas()


class SealedMonthBody(Body):
    of = inventory.sealed_months
    is_told = True
    columns = (
        *("month", "number", "rows", "calls", "errors", "in_fresh", "in_cache_read", "in_cache_write_5m"),
        *("in_cache_write_1h", "out_total", "out_reasoning", "cost_nano", "low_nano", "high_nano", "digest"),
        *("began_at", "finished_at"),
    )
    id = shown(Integer)


class SealedMonths(Listing, Reading, Resource):
    """What months came to whose rows were dropped."""

    place = "usage/sealed-months"
    noun = "sealed month"
    model = "usage.sealedmonth"
    body = SealedMonthBody

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.sealed_months()
