from __future__ import annotations

import functools
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from apps.api.bodies import Body, Query, number, word
from apps.api.fields import Integer, shown
from apps.api.reach import Reach
from apps.api.resource import Listing, Reading, Resource
from apps.audit import inventory
from apps.tenants import inventory as tenants
from apps.tenants.rights import Right


class RecordBody(Body):
    of = inventory.records
    is_told = True
    columns = (
        *("at", "actor_id", "actor_name", "action", "target_type", "target_id", "target_label", "tenant_id", "area"),
        *("revision", "address", "token"),
    )
    id = shown(Integer)
    before = shown(serializers.JSONField, help_text="Without secrets.")
    after = shown(serializers.JSONField)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Where those sit who run the installation, and with what, is no business of its tenants."""
        told = super().to_representation(instance)
        return told if self.context["view"].is_open(instance) else told | {"address": None, "token": None}


class RecordQuery(Query):
    tenant = number()
    actor = number()
    action = word()
    target_type = word(help_text="Such as keys.key; with target_id.")
    target_id = word()

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        called = {"tenant": "tenant_id", "actor": "actor_id"}
        return rows.filter(**{called.get(name, name): value for name, value in given.items()})


class Records(Listing, Reading, Resource):
    """Who changed what, and when. Records are never changed."""

    place = "audit"
    noun = "record"
    model = "audit.record"
    body = RecordBody
    query = RecordQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.records()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return rows.filter(tenant_id__in=reach.tenants_with(Right.SEE_AUDIT))

    def is_open(self, record: Any) -> bool:
        """Whether where it came from is told: all to those who run the installation, to members what members did."""
        return self.sees_inside or (record.tenant_id, record.actor_id) in self._members

    @functools.cached_property
    def _members(self) -> frozenset[tuple[int, int]]:
        rows = tenants.memberships().filter(tenant__in=self.reach.tenants_with(Right.SEE_AUDIT))
        return frozenset(rows.order_by().values_list("tenant_id", "user_id"))
