from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Ref, Text, shown
from apps.api.reach import Reach
from apps.api.resource import Changing, Listing, Making, Reading, Resource
from apps.tenants import inventory, services
from apps.tenants.rights import Right


class ProjectBody(Body):
    of = inventory.projects
    columns = ("name", "is_active", "created_at")
    lasting = ("tenant",)
    id = shown(Integer)
    tenant = Ref("tenants")
    slug = Text(required=False, max_length=60, help_text="Left out: made of the name.")


class ProjectQuery(Query):
    tenant = number()


class Projects(Listing, Reading, Making, Changing, Resource):
    """Parts of a tenant that keys are issued for and money is counted by."""

    place = "projects"
    noun = "project"
    model = "tenants.project"
    body = ProjectBody
    query = ProjectQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.projects()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return rows.filter(tenant__in=list(reach.roles))

    def allow(self, verb: str, row: Any) -> None:
        if not self.manages(verb) and not self.reach.may(row.tenant_id, Right.MANAGE_PROJECTS):
            raise PermissionDenied

    def allow_making(self) -> None:
        if not self.manages("add") and not self.reach.tenants_with(Right.MANAGE_PROJECTS):
            raise PermissionDenied

    def make(self, values: dict[str, Any]) -> Any:
        tenant = values.pop("tenant")
        if not self.manages("add") and not self.reach.may(tenant.pk, Right.MANAGE_PROJECTS):
            raise PermissionDenied
        is_active = values.pop("is_active", True)
        project = services.create_project(tenant, actor=self.request.user, **values)
        if not is_active:
            services.deactivate_project(project, actor=self.request.user)
        return self.made(project)

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.update_project(row, actor=self.request.user, **changes)
