from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from apps.api.bodies import Body, Query, moment, number, truth, word
from apps.api.fields import Choice, Text, shown
from apps.api.problems import Problem
from apps.api.reach import Reach
from apps.api.resource import Listing, Reading, Resource
from apps.domain.ids import EntryKind
from apps.tenants.rights import Right
from apps.usage import inventory

UUID = "[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"
KINDS = {kind.name.lower(): kind.value for kind in EntryKind}
_WORDS = {value: name for name, value in KINDS.items()}


class KindField(Choice):
    def to_representation(self, value: Any) -> str:
        return _WORDS[value]


class RequestId(Text):
    """`req_…`, as callers know it."""

    def to_representation(self, value: Any) -> str:
        return f"req_{value.hex}"


class RequestIdQuery(serializers.CharField):
    def to_internal_value(self, data: Any) -> uuid.UUID:
        try:
            return uuid.UUID(str(super().to_internal_value(data)).removeprefix("req_"))
        except ValueError:
            raise serializers.ValidationError("It is not like req_0199….") from None


class EntryBody(Body):
    of = inventory.entries
    is_told = True
    columns = (
        *("attempt", "state", "tenant", "project", "user", "key", "model", "provider", "deployment", "credential"),
        *("model_name", "upstream_model", "client_protocol", "upstream_protocol", "endpoint", "pinned", "stream"),
        *("in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total", "out_reasoning"),
        *("cost_nano", "low_nano", "high_nano", "reserved_nano", "overrun_nano", "saved_nano", "saved_tokens"),
        *("price_version", "usage_source", "status", "http_status", "error_code", "stop_reason"),
        *("latency_ms", "ttft_ms", "queue_ms", "trace_id", "provider_request_id", "client_address", "user_agent"),
        *("message_id", "cached", "started_at", "settled_at"),
    )
    inner = (
        *("provider", "deployment", "credential", "upstream_model", "upstream_protocol", "provider_request_id"),
        *("message_id", "trail"),
    )
    id = shown(serializers.UUIDField)
    request_id = RequestId(read_only=True)
    kind = KindField(choices=tuple(KINDS), read_only=True)
    trail = shown(serializers.ListField, child=serializers.JSONField(), help_text="What the router did.")


class EntryQuery(Query):
    tenant = number()
    project = number()
    user = number()
    key = number()
    pinned = number()
    request_id = RequestIdQuery(required=False)
    since = moment(help_text="When their requests arrived.")
    until = moment()
    state = word("unconfirmed")
    failed = truth()

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        rows = inventory.within(rows, since=given.pop("since", None), until=given.pop("until", None))
        if (request := given.pop("request_id", None)) is not None:
            rows = inventory.of_request(rows, request)
        if (failed := given.pop("failed", None)) is not None:
            rows = inventory.failed(rows) if failed == "true" else inventory.not_failed(rows)
        return rows.filter(**given)


def of_members(rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
    """All of tenants whose usage they see, and their own in others."""
    return rows.filter(reach.theirs(Right.SEE_ALL_USAGE))


class Entries(Listing, Reading, Resource):
    """The ledger: what each attempt of each call used and cost. What a correction or a repricing holds are
    differences."""

    place = "usage/entries"
    noun = "ledger entry"
    model = "usage.entry"
    body = EntryBody
    query = EntryQuery
    lookup_value_regex = UUID

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.entries()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return of_members(rows, reach)

    def asked(self) -> dict[str, Any]:
        """Of one tenant at a time, so that every page lies along an index."""
        given = super().asked()
        if self.detail or self.manages("view") or "tenant" in given:
            return given
        if len(self.reach.roles) > 1:
            raise Problem(400, code="bad_query", errors={"tenant": ["You are in several: say which."]})
        return given | {"tenant": next(iter(self.reach.roles), 0)}
