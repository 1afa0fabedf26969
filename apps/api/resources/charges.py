from __future__ import annotations

import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Query, number
from apps.api.fields import Day
from apps.api.problems import Problem
from apps.api.resource import Signed
from apps.api.resources.rollups import Rollups
from apps.audit import services as audit
from apps.tenants.rights import Right
from apps.usage.focus import charges, columns


class ChargeQuery(Query):
    tenant = number(help_text="Whose charges.")
    day = Day(help_text="Of UTC.")


class Charges(serializers.Serializer[Any]):
    day = Day()
    items = serializers.ListField(child=serializers.DictField(), help_text="Columns of FOCUS 1.0; null: not known.")


class Focus(Signed):
    """What calls cost, as the columns of FOCUS, day by day: for those who charge it back. Written down as read."""

    place = "usage/charges"
    query = ChargeQuery
    gives = Charges

    def list(self, request: Request) -> Response:
        """One day of one tenant."""
        given = self.asked()
        if missing := [name for name in ("tenant", "day") if name not in given]:
            raise Problem(400, code="bad_query", errors={name: ["Say which."] for name in missing})
        tenant = self.found("tenants", given["tenant"])
        if tenant is None:
            raise Problem(400, code="bad_query", errors={"tenant": ["There is no such tenant."]})
        if not self.reach.has_perm(Rollups.permission("view")) and not self.reach.may(tenant.pk, Right.SEE_ALL_USAGE):
            raise PermissionDenied
        day = given["day"]
        first = datetime.datetime.combine(day, datetime.time.min, tzinfo=datetime.UTC)
        told = {"first": f"{day}", "last": f"{day}", "kind": "api"}
        audit.note_read(actor=request.user, action="charges.exported", target=tenant, tenant_id=tenant.pk, after=told)
        rows = [columns.row(charge) for charge in charges.charges(first, first, tenant=tenant)]
        return Response({"day": day, "items": [{name: row.get(name) for name in columns.COLUMNS} for row in rows]})
