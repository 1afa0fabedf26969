from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Body, Query, number, truth
from apps.api.fields import Integer, shown
from apps.api.reach import Reach
from apps.api.resource import Listing, Reading, Resource
from apps.keys import grants, inventory
from apps.tenants.rights import Right


class ProgramBody(Body):
    of = inventory.grants
    is_told = True
    columns = (
        *("tenant", "project", "user", "public_id", "client", "address", "created_at", "refreshed_at"),
        *("ended_at", "ended_why"),
    )
    id = shown(Integer)


class ProgramQuery(Query):
    tenant = number()
    project = number()
    user = number()
    ended = truth()

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        if (ended := given.pop("ended", None)) is not None:
            rows = rows.filter(ended_at__isnull=ended == "false")
        return rows.filter(**given)


class Programs(Listing, Reading, Resource):
    """Programs that people have signed in, such as Claude Code: one's own, or everybody's for who manages keys."""

    place = "programs"
    noun = "signed-in program"
    model = "keys.grant"
    body = ProgramBody
    query = ProgramQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.grants()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return rows.filter(reach.theirs(Right.MANAGE_KEYS))

    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """Its tokens are refused within two seconds, for good. Twice is once."""
        self.asked()
        grant = self.row()
        if not self.seen_by_members(grant):
            self.must("change")

        def do() -> Response:
            why = "ended by " + ("its person" if grant.user == request.user else "an admin")
            grants.end(grant, actor=request.user, why=why)
            return self.told(self.row())

        return self.once(do)

    def seen_by_members(self, grant: Any) -> bool:
        """Who sees it as a member may end it, as in the portal."""
        return self.for_members(self.rows(), self.reach).filter(pk=grant.pk).exists()
