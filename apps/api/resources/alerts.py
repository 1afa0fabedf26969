"""What is watched, where it is told, and what was told: of the installation for operators, of a tenant for those who
manage its alerts."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.alerts import inventory, outbox, services
from apps.api.bodies import Body, Query, number, word
from apps.api.fields import Integer, Moment, Object, Ref, Refs, Text, shown
from apps.api.reach import Reach
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.tenants.rights import Right


class Owned(Listing, Reading, Making, Changing, Removing, Resource):
    """A row with a tenant, or none where it is the installation's."""

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return rows.filter(tenant__in=reach.tenants_with(Right.MANAGE_ALERTS))

    def allow(self, verb: str, row: Any) -> None:
        if not self.manages(verb) and not self.reach.may(row.tenant_id, Right.MANAGE_ALERTS):
            raise PermissionDenied

    def allow_making(self) -> None:
        if not self.manages("add") and not self.reach.tenants_with(Right.MANAGE_ALERTS):
            raise PermissionDenied

    def check_owner(self, tenant: Any) -> None:
        """Raises PermissionDenied."""
        if not self.manages("add") and (tenant is None or not self.reach.may(tenant.pk, Right.MANAGE_ALERTS)):
            raise PermissionDenied


def _owner() -> Any:
    return Ref("tenants", required=False, allow_null=True, help_text="Null: of the installation, for operators.")


class OwnedQuery(Query):
    tenant = number()
    kind = word()


class DestinationBody(Body):
    of = inventory.destinations
    columns = ("name", "kind", "target", "is_enabled", "before_until", "created_at")
    lasting = ("tenant", "kind")
    id = shown(Integer)
    tenant = _owner()
    secret = shown(Text, help_text="Of a webhook that is signed: told once, when it is made or rotated.")

    def to_representation(self, instance: Any) -> Any:
        """Of a URL no more than where it leads: whoever has all of it can write there."""
        return {**super().to_representation(instance), "target": instance.shown}


class TestSent(serializers.Serializer[Any]):
    state = Text(help_text="sent or given_up.")
    outcome = Text()


class AlertDestinations(Owned):
    """Where notices go: e-mail addresses, a signed webhook, or a Slack-shaped webhook."""

    place = "alert-destinations"
    noun = "destination"
    model = "alerts.destination"
    body = DestinationBody
    query = OwnedQuery
    secrets = ("secret",)

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.destinations()

    def make(self, values: dict[str, Any]) -> Any:
        is_enabled = values.pop("is_enabled", True)
        values.setdefault("tenant", None)
        values.setdefault("kind", "email")
        self.check_owner(values["tenant"])
        made = services.create_destination(actor=self.request.user, **values)
        if not is_enabled:
            services.update_destination(made.destination, actor=self.request.user, is_enabled=False)
        return self.made(made.destination, beside={"secret": made.secret})

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.update_destination(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        services.remove_destination(row, actor=self.request.user)

    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Another secret, told once. For a day the one before signs beside it."""
        self.asked()
        destination = self.row()
        self.allow("change", destination)

        def do() -> Response:
            made = services.rotate_secret(destination, actor=request.user)
            return self.told(self.row(), beside={"secret": made.secret})

        return self.once(do)

    @action(detail=True, methods=["post"], gives=TestSent, is_repeated=False)
    def test(self, request: Request, pk: str) -> Response:
        """Sends one notice at once, and says what came of it."""
        self.asked()
        destination = self.row()
        self.allow("change", destination)
        delivery = outbox.send_test(destination)
        return Response({"state": delivery.state, "outcome": delivery.outcome})


class AlertRuleBody(Body):
    of = inventory.rules
    columns = ("name", "kind", "is_enabled", "evaluated_at", "created_at")
    lasting = ("tenant", "kind")
    volatile = ("evaluated_at",)
    id = shown(Integer)
    tenant = _owner()
    project = Ref("projects", required=False, allow_null=True, help_text="Of this one only.")
    settings = Object(required=False, help_text="See docs/alerts.md; those that are left out are the usual ones.")
    destinations = Refs("alert-destinations", required=False)


class AlertRules(Owned):
    """What is watched, once a minute."""

    place = "alert-rules"
    noun = "alert rule"
    model = "alerts.alertrule"
    body = AlertRuleBody
    query = OwnedQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.rules()

    def make(self, values: dict[str, Any]) -> Any:
        values.setdefault("tenant", None)
        self.check_owner(values["tenant"])
        return self.made(services.create_rule(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.update_rule(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        services.remove_rule(row, actor=self.request.user)


class DeliveryBody(serializers.Serializer[Any]):
    destination = Integer(source="destination_id", allow_null=True)
    address = Text(help_text="Of a person who is told besides.")
    event = Text()
    state = Text(help_text="pending, sent or given_up.")
    attempts = Integer()
    outcome = Text(help_text="Of the last try.")
    created_at = Moment()
    sent_at = Moment(allow_null=True)


class AlertBody(Body):
    of = inventory.alerts
    is_told = True
    columns = (
        *("rule", "tenant_id", "subject", "period", "level", "title", "state", "raised_at", "seen_at"),
        *("quiet_since", "resolved_at"),
    )
    id = shown(Integer)
    text = shown(Text)
    told = DeliveryBody(
        many=True, read_only=True, source="deliveries", help_text="Whom it was told, and how that went."
    )


class AlertQuery(Query):
    rule = number()
    tenant = number(help_text="By its own rules.")
    state = word("raised", "resolved")

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        if (tenant := given.pop("tenant", None)) is not None:
            rows = rows.filter(rule__tenant=tenant)
        return rows.filter(**given)


class Alerts(Listing, Reading, Resource):
    """What has happened that a rule tells of."""

    place = "alerts"
    noun = "alert"
    model = "alerts.alert"
    body = AlertBody
    query = AlertQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.alerts()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        return rows.filter(rule__tenant__in=reach.tenants_with(Right.MANAGE_ALERTS))
