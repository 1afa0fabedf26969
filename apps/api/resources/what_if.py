"""What a price or a budget would do, before anybody sets it. Nothing is changed by asking."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Strict
from apps.api.fields import Integer, Moment, Nano, Ref, Text, Truth
from apps.api.resource import Signed
from apps.domain.snapshot import PriceCard
from apps.usage import what_if

MOST_A_MINUTE = 60


class Asking(Signed):
    """Whose permissions these are, is told."""

    is_asking = True
    needed: tuple[str, ...] = ()

    def question(self) -> Any:
        """Raises PermissionDenied and Problem."""
        self.asked()
        if not self.reach.has_perm(*self.needed):
            raise PermissionDenied
        self.pace("asked what if", most=MOST_A_MINUTE)
        assert self.given is not None
        return self.read(self.given)


class PriceQuestion(Strict):
    """For a million tokens; what is left out costs as input."""

    deployment = Ref("deployments")
    input_nano_usd = Nano()
    output_nano_usd = Nano()
    cache_read_nano_usd = Nano(required=False)
    cache_write_5m_nano_usd = Nano(required=False)
    cache_write_1h_nano_usd = Nano(required=False)


class Priced(serializers.Serializer[Any]):
    since = Moment()
    calls = Integer()
    booked_nano_usd = Nano(source="booked", min_value=None)
    would_be_nano_usd = Nano(source="would_be", min_value=None)
    shared = Integer(help_text="How many deployments of the model its provider has, whose tokens nothing tells apart.")


class PriceWhatIf(Asking):
    """What the calls of the last seven days would have cost."""

    place = "what-if/price"
    given = PriceQuestion
    gives = Priced
    needed = ("catalog.view_price", "usage.view_hourlyrollup")

    def create(self, request: Request) -> Response:
        """Asks."""
        given = self.question()
        amounts = {
            name: given.get(f"{name}_nano_usd", given["input_nano_usd"])
            for name in ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
        }
        card = PriceCard(version=0, effective_from=0, **amounts)
        return Response(Priced(what_if.priced(given["deployment"], card, now=timezone.now())).data)


class BudgetQuestion(Strict):
    budget = Ref("budgets")
    amount_nano_usd = Nano()


class Caller(serializers.Serializer[Any]):
    key = Integer(source="key_id", allow_null=True)
    name = Text()
    calls = Integer()
    cost_nano_usd = Nano(source="cost", min_value=None)


class Stopped(serializers.Serializer[Any]):
    spent_nano_usd = Nano(source="settled")
    held_nano_usd = Nano(source="held")
    ends = Moment(allow_null=True)
    is_spent = Truth(help_text="Calls would be refused until it ends.")
    callers = Caller(many=True, help_text="Whose calls of the last day those are, the dearest first.")


class BudgetWhatIf(Asking):
    """How the present period of a budget would stand, and who would be stopped."""

    place = "what-if/budget"
    given = BudgetQuestion
    gives = Stopped
    needed = ("quotas.view_budget", "usage.view_hourlyrollup")

    def create(self, request: Request) -> Response:
        """Asks."""
        given = self.question()
        told = Stopped(what_if.stopped(given["budget"], given["amount_nano_usd"], now=timezone.now())).data
        if not self.reach.has_perm("keys.view_key"):
            told["callers"] = [{**caller, "key": None, "name": "a key"} for caller in told["callers"]]
        return Response(told)
