from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Ref, shown
from apps.api.resource import Listing, Making, Reading, Removing, Resource
from apps.policies import inventory, services


class AssignmentBody(Body):
    of = inventory.assignments
    columns = ("everyone", "created_at")
    id = shown(Integer)
    policy = Ref("data-policies")
    tenant = Ref("tenants", required=False, allow_null=True)
    project = Ref("projects", required=False, allow_null=True)
    key = Ref("keys", required=False, allow_null=True)


class AssignmentQuery(Query):
    policy = number()
    tenant = number()
    project = number()
    key = number()


class PolicyAssignments(Listing, Reading, Making, Removing, Resource):
    """Who is under a data policy: one tenant, project or key, or everyone."""

    place = "policy-assignments"
    noun = "assignment"
    model = "policies.assignment"
    body = AssignmentBody
    query = AssignmentQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.assignments()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.assign(values.pop("policy"), actor=self.request.user, **values))

    def remove(self, row: Any) -> None:
        services.unassign(row, actor=self.request.user)
