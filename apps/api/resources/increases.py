from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Body, Query, Strict, number, word
from apps.api.fields import Integer, Moment, Nano, Ref, Text, shown
from apps.api.reach import Reach
from apps.api.resource import Listing, Making, Reading, Resource
from apps.quotas import increases, inventory
from apps.tenants import inventory as tenants
from apps.tenants.rights import Right


class IncreaseBody(Body):
    of = inventory.increases
    columns = ("requested_by", "state", "decided_by", "decided_at", "created_at")
    is_told = True
    id = shown(Integer)
    budget = Ref("budgets")
    amount_nano_usd = Nano(source="amount", min_value=1, help_text="So much more, in whole billionths of a US dollar.")
    until = Moment(help_text="Within a year.")
    reason = Text(max_length=1000)
    note = shown(Text, help_text="Of whoever decided.")


class IncreaseQuery(Query):
    budget = number()
    state = word(*increases.State.values)


class Decision(Strict):
    note = Text(required=False, allow_blank=True, max_length=1000, help_text="Whoever has asked reads it.")


class Increases(Listing, Reading, Making, Resource):
    """More of a budget until a moment: asked for by who stands under it, decided by who may set it."""

    place = "increases"
    noun = "increase"
    model = "quotas.increase"
    body = IncreaseBody
    query = IncreaseQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.increases()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        found = rows.none()
        for tenant in tenants.tenants().filter(pk__in=list(reach.roles)):
            theirs = increases.increases_of(reach.user, tenant)
            found = found | rows.filter(pk__in=theirs.order_by().values("pk"))
        return found

    def allow_making(self) -> None:
        """Whoever sees a budget may ask more of it."""

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(increases.request(values.pop("budget"), actor=self.request.user, **values))

    @action(detail=True, methods=["post"], given=Decision)
    def approve(self, request: Request, pk: str) -> Response:
        """In force within a second, until it is over."""
        return self._decide(increases.approve)

    @action(detail=True, methods=["post"], given=Decision)
    def decline(self, request: Request, pk: str) -> Response:
        """Whoever has asked is told."""
        return self._decide(increases.decline)

    @action(detail=True, methods=["post"], given=Decision)
    def end(self, request: Request, pk: str) -> Response:
        """Takes back what nobody has decided, by whoever asked; or ends what was approved, by who may decide."""
        return self._decide(increases.withdraw)

    def _decide(self, do: Callable[..., Any]) -> Response:
        self.asked()
        increase = self.row()
        own = do is increases.withdraw and increase.requested_by_id == self.request.user.pk
        if not self.manages("change") and not own:
            self._check_decider(increase)

        def done() -> Response:
            do(increase, actor=self.request.user, note=self.read(Decision).get("note", ""))
            return self.told(self.row())

        return self.once(done)

    def _check_decider(self, increase: Any) -> None:
        """Narrowed by the token; the service looks again. Raises PermissionDenied."""
        home = increases.home_of(increase.budget)
        if home is None or not self.reach.may(home.pk, Right.MANAGE_BUDGETS):
            raise PermissionDenied("Whoever may set this budget decides.")
