from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet

from apps.api.bodies import Body
from apps.api.fields import Integer, Text, shown
from apps.api.problems import Problem
from apps.api.reach import Reach
from apps.api.resource import Changing, Listing, Making, Reading, Resource
from apps.tenants import inventory, services
from apps.tenants.rights import Right

OPERATORS = ("slug", "is_active")


class TenantBody(Body):
    of = inventory.tenants
    columns = ("name", "timezone", "is_active", "on_outage", "created_at")
    id = shown(Integer)
    slug = Text(required=False, max_length=60, help_text="Left out: made of the name.")


class Tenants(Listing, Reading, Making, Changing, Resource):
    """Customers: whose keys, budgets and usage are nobody else's."""

    place = "tenants"
    noun = "tenant"
    model = "tenants.tenant"
    body = TenantBody

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.tenants()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return rows.filter(pk__in=reach.roles)

    def allow(self, verb: str, row: Any) -> None:
        if not self.manages(verb) and not self.reach.may(row.pk, Right.MANAGE_SETTINGS):
            raise PermissionDenied

    def make(self, values: dict[str, Any]) -> Any:
        made = {name: values.pop(name) for name in ("name", "slug", "timezone") if name in values}
        tenant = services.create_tenant(actor=self.request.user, **made)
        if values:
            services.update_tenant(tenant, actor=self.request.user, **values)
        return self.made(tenant)

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        if not self.manages("change") and (others := sorted(changes.keys() & set(OPERATORS))):
            raise Problem(422, errors={name: ["This is an operator's to change."] for name in others})
        services.update_tenant(row, actor=self.request.user, **changes)
