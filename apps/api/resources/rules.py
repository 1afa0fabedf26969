"""What limits and budgets share: whom they restrain, and who may see and set them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Person, Ref, shown
from apps.api.problems import Problem
from apps.api.reach import Reach
from apps.api.resource import Changing, Listing, Making, Reading, Resource
from apps.quotas import inventory, selfservice
from apps.tenants import inventory as tenants
from apps.tenants.rights import Right

SUBJECTS = ("tenant", "project", "user", "key", "model", "endpoint")


def _subject(to: str) -> Any:
    return Ref(to, required=False, allow_null=True)


class RuleBody(Body):
    """One subject; a user or a model can be narrowed to a tenant."""

    lasting: tuple[str, ...] = SUBJECTS
    id = shown(Integer)
    tenant = _subject("tenants")
    project = _subject("projects")
    user = Person(required=False, allow_null=True)
    key = _subject("keys")
    model = _subject("models")
    endpoint = _subject("endpoints")


class RuleQuery(Query):
    tenant = number(help_text="With those of its projects, keys and members.")
    project = number()
    user = number()
    key = number()
    model = number()
    endpoint = number()

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        return inventory.of_subject(rows, **given)


class Rules(Listing, Reading, Making, Changing, Resource):
    query = RuleQuery

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        found = rows.none()
        for tenant in tenants.tenants().filter(pk__in=list(reach.roles)):
            theirs = selfservice.rules_of(rows.model, reach.user, tenant)
            found = found | rows.filter(pk__in=theirs.order_by().values("pk"))
        return found

    def allow(self, verb: str, row: Any) -> None:
        if self.manages(verb):
            return
        home = selfservice.home_of(row)
        if home is None or home.pk not in self.reach.roles or not selfservice.may_change(row, self.request.user):
            raise PermissionDenied

    def allow_making(self) -> None:
        if not self.manages("add") and not self.reach.tenants_with(Right.CALL):
            raise PermissionDenied

    def subject(self, values: dict[str, Any]) -> Any:
        """What a member sets a rule for, taken out of the values. Raises PermissionDenied."""
        named = {name: row for name in SUBJECTS if (row := values.pop(name, None)) is not None}
        if not named:
            raise Problem(422, "Choose exactly one of tenant, project, user, key, model or endpoint.")
        match sorted(named):
            case ["key"] | ["project"]:
                return next(iter(named.values()))
            case ["tenant", "user"] if named["tenant"].pk in self.reach.roles:
                member = tenants.memberships().filter(tenant=named["tenant"], user=named["user"]).first()
                if member is not None:
                    return member
        raise PermissionDenied("Members set this for a key, for a project, or for a user within their tenant.")
