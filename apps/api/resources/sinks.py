"""Where events go, how far each sink has come, and what it has not taken."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Body, Query, Strict, number, word
from apps.api.fields import Choice, Integer, Moment, Object, Ref, Text, Truth, Words, shown
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.api.resources.credentials import HasSecret
from apps.events import inventory, services, signing, trial
from apps.events.kinds import words
from apps.events.sinks import registry


class Standing(serializers.Serializer[Any]):
    undelivered = Integer(help_text="Events that it has not got, those among them that it does not want.")
    age = serializers.FloatField(help_text="Of the oldest of them, in seconds.")
    waiting = Integer(help_text="Set aside, since it has not taken them.")
    dead = Integer(help_text="Dead letters.")
    delivered = Integer()
    delivered_at = Moment(allow_null=True)
    failing_since = Moment(allow_null=True)
    message = Text(help_text="What it was told last, while it fails.")


class SinkBody(Body):
    of = inventory.sinks
    columns = ("name", "target", "is_enabled", "kept_until", "created_at")
    lasting = ("kind",)
    volatile = ("standing",)
    id = shown(Integer)
    kind = Choice(choices=registry.choices())
    settings = Object(required=False, help_text="See docs/events.md; those that are left out are the usual ones.")
    kinds = Words(required=False, help_text="The events that it wants, as in `usage.settled`; empty: all.")
    secret = Text(
        write_only=True, required=False, max_length=services.MOST_SECRET, trim_whitespace=False,
        help_text="It can never be read back. One of a webhook that is not given is made, and told once.",
    )  # fmt: skip
    has_secret = HasSecret(read_only=True, source="sealed")
    standing = shown(Standing)

    def to_representation(self, instance: Any) -> Any:
        if (found := self.context.get("standings")) is None or instance.pk not in found:
            found = self.context["standings"] = inventory.standings()
        instance.standing, instance.kinds = found[instance.pk], words(instance.kinds)
        return super().to_representation(instance)


class SinkQuery(Query):
    kind = word()


class TestEvent(serializers.Serializer[Any]):
    is_taken = Truth()
    told = Text()


class Since(Strict):
    since = Moment()


class Replayed(serializers.Serializer[Any]):
    events = Integer(help_text="How many go there again.")


class Sinks(Listing, Reading, Making, Changing, Removing, Resource):
    """Where events go: RabbitMQ, Google Pub/Sub, a signed webhook, or a file."""

    place = "sinks"
    noun = "sink"
    model = "events.sink"
    body = SinkBody
    query = SinkQuery
    secrets = ("secret",)

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.sinks()

    def lock(self, row: Any) -> None:
        services.hold(row)
        super().lock(row)

    def make(self, values: dict[str, Any]) -> Any:
        made = signing.create(actor=self.request.user, **values)
        return self.made(made.sink, beside={"secret": made.secret or None})

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.update_sink(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        services.remove_sink(row, actor=self.request.user)

    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Another secret of a webhook, told once. For a day the one before signs beside it."""
        self.asked()
        sink = self.row()
        self.allow("change", sink)

        def do() -> Response:
            made = signing.rotate(sink, actor=request.user)
            return self.told(self.row(), beside={"secret": made.secret})

        return self.once(do)

    @action(detail=True, methods=["post"], gives=TestEvent, is_repeated=False)
    def test(self, request: Request, pk: str) -> Response:
        """Sends one event that tells of nothing, and says what came of it."""
        self.asked()
        sink = self.row()
        self.allow("change", sink)
        return Response(trial.send(sink, actor=request.user)._asdict())

    @action(detail=True, methods=["post"], given=Since, gives=Replayed)
    def replay(self, request: Request, pk: str) -> Response:
        """What it wants of all that has happened since then goes there again, as far as it is kept."""
        self.asked()
        sink = self.row()
        self.allow("change", sink)
        since = self.read(Since)["since"]
        return self.once(lambda: Response({"events": services.replay(sink, actor=request.user, since=since)}))


class UndeliveredBody(Body):
    of = inventory.undelivered
    is_told = True
    columns = ("tenant_id", "state", "attempts", "next_at", "message", "since")
    id = shown(Integer)
    sink = Ref("sinks", read_only=True)
    event = shown(Text, source="event.uid", help_text="Its id.")
    kind = shown(Text, source="event.kind")
    at = shown(Moment, source="event.at")


class UndeliveredQuery(Query):
    sink = number()
    state = word("waiting", "held", "dead")


class UndeliveredEvents(Listing, Reading, Removing, Resource):
    """What a sink has not taken: still on its way, or a dead letter. Removing a dead letter drops it."""

    place = "undelivered-events"
    noun = "undelivered event"
    model = "events.undelivered"
    body = UndeliveredBody
    query = UndeliveredQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.undelivered()

    def allow(self, verb: str, row: Any) -> None:
        """As the admin has it: who may change sinks decides about their letters."""
        if not self.reach.has_perm("events.change_sink"):
            raise PermissionDenied

    def lock(self, row: Any) -> None:
        services.hold(row.sink)
        super().lock(row)

    def remove(self, row: Any) -> None:
        if not services.drop([row.pk], sink=row.sink, actor=self.request.user):
            raise ValidationError("It is no dead letter: it is still on its way.")

    @action(detail=True, methods=["post"], url_path="send-again")
    def send_again(self, request: Request, pk: str) -> Response:
        """A dead letter gets as many tries as a new event has."""
        self.asked()
        row = self.row()
        self.allow("change", row)

        def do() -> Response:
            if not services.send_again([row.pk], sink=row.sink, actor=request.user):
                raise ValidationError("It is no dead letter: it is still on its way.")
            return self.told(self.row())

        return self.once(do)
