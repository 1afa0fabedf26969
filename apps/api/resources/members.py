from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet

from apps.accounts.inventory import users
from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Ref, Text, shown
from apps.api.reach import Reach
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.tenants import inventory, services
from apps.tenants.rights import Right, may_give


class MemberBody(Body):
    of = inventory.memberships
    columns = ("user", "role", "created_at")
    lasting = ("tenant", "username")
    id = shown(Integer)
    tenant = Ref("tenants")
    username = Text(max_length=150, source="user.username")


class MemberQuery(Query):
    tenant = number()
    user = number()


class Members(Listing, Reading, Making, Changing, Removing, Resource):
    """Who belongs to which tenant, and as what. Nobody gives another more than they have themselves."""

    place = "members"
    noun = "member"
    model = "tenants.membership"
    body = MemberBody
    query = MemberQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.memberships()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return rows.filter(reach.theirs(Right.MANAGE_MEMBERS))

    def lock(self, row: Any) -> None:
        super().lock(row.tenant)
        super().lock(row)

    def allow(self, verb: str, row: Any) -> None:
        if not self.manages(verb):
            self._may_give(row.tenant_id, row.role)

    def allow_making(self) -> None:
        if not self.manages("add") and not self.reach.tenants_with(Right.MANAGE_MEMBERS):
            raise PermissionDenied

    def make(self, values: dict[str, Any]) -> Any:
        tenant, role = values["tenant"], values.get("role", "developer")
        if not self.manages("add"):
            self._may_give(tenant.pk, role)
        user = users().filter(username=values["user"]["username"], is_active=True).first()
        if user is None:
            raise ValidationError({"username": "There is no such user."})
        return self.made(services.add_member(tenant, actor=self.request.user, user=user, role=role))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        if "role" in changes:
            if not self.manages("change"):
                self._may_give(row.tenant_id, changes["role"])
            services.change_role(row, actor=self.request.user, role=changes["role"])

    def remove(self, row: Any) -> None:
        services.remove_member(row, actor=self.request.user)

    def _may_give(self, tenant_id: int, role: Any) -> None:
        if not may_give(self.reach.roles.get(tenant_id), role):
            raise PermissionDenied
