from __future__ import annotations

import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Body, Query, Strict, number, word
from apps.api.fields import Integer, Person, Ref, Text, Words, shown
from apps.api.problems import Problem
from apps.api.reach import Reach
from apps.api.resource import Changing, Listing, Making, Reading, Resource
from apps.keys import inventory, selectors, selfservice, services
from apps.tenants.rights import Right

MOST_OVERLAP = int(services.MAXIMUM_OVERLAP.total_seconds())


class State(Text):
    def to_representation(self, value: Any) -> str:
        return selectors.state(value, now=timezone.now())


class KeyBody(Body):
    of = inventory.keys
    columns = (
        *("name", "models", "networks", "priority", "expires_at", "public_id", "last_four", "revoked_at"),
        *("created_by", "created_at", "last_used_at", "last_used_ip", "last_used_client"),
    )
    lasting = ("tenant", "user")
    volatile = ("last_used_at", "last_used_ip", "last_used_client", "state")
    id = shown(Integer)
    tenant = Ref("tenants")
    project = Ref("projects")
    user = Person(
        required=False, allow_null=True, help_text="The member whose key it is; null: nobody's, such as a machine's."
    )
    endpoints = Words(required=False, allow_null=True, help_text="Null: not confined. A pinned one is `e/<name>`.")
    state = State(read_only=True, source="*", help_text="active, expires soon, unused, expired or revoked.")
    secret = shown(Text, help_text="The key itself: told once, when it is issued or rotated.")


class KeyQuery(Query):
    tenant = number()
    project = number()
    user = number()
    state = word("active", "soon", "unused", "expired", "revoked")

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        if (state := given.pop("state", None)) is not None:
            rows = selectors.in_state(rows, state, now=timezone.now())
        return rows.filter(**given)


class Rotation(Strict):
    overlap_seconds = Integer(
        required=False, min_value=0, max_value=MOST_OVERLAP, help_text="For which the old secret works on; usually 0."
    )


class Keys(Listing, Reading, Making, Changing, Resource):
    """What programs call models with. Members have their own; whoever manages keys has everybody's."""

    place = "keys"
    noun = "key"
    model = "keys.key"
    body = KeyBody
    query = KeyQuery
    secrets = ("secret",)

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.keys()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return rows.filter(reach.theirs(Right.MANAGE_KEYS))

    def allow(self, verb: str, row: Any) -> None:
        if not self.manages(verb):
            selfservice.check_theirs(row, actor=self.request.user)
        if row.revoked_at is not None and verb == "change":
            raise Problem(409, "A key that was revoked stays as it was.")

    def allow_making(self) -> None:
        if not self.manages("add") and not self.reach.tenants_with(Right.CALL):
            raise PermissionDenied

    def make(self, values: dict[str, Any]) -> Any:
        issue = services.issue if self.manages("add") else selfservice.issue
        issued = issue(actor=self.request.user, **values)
        return self.made(issued.key, beside={"secret": issued.plaintext})

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        update = services.update if self.manages("change") else selfservice.update
        update(row, actor=self.request.user, **changes)

    @action(detail=True, methods=["post"], given=Rotation)
    def rotate(self, request: Request, pk: str) -> Response:
        """Another secret for the same key; limits, budgets and usage go on."""
        self.asked()
        key = self.row()
        self.allow("change", key)

        def do() -> Response:
            overlap = datetime.timedelta(seconds=self.read(Rotation).get("overlap_seconds", 0))
            rotate = services.rotate if self.manages("change") else selfservice.rotate
            issued = rotate(key, actor=request.user, overlap=overlap)
            return self.told(self.row(), beside={"secret": issued.plaintext})

        return self.once(do)

    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Ends it for good: calls with it are refused within seconds. Twice is once."""
        self.asked()
        key = self.row()

        def do() -> Response:
            revoke = services.revoke if self.manages("change") else selfservice.revoke
            revoke(key, actor=request.user)
            return self.told(self.row())

        return self.once(do)
