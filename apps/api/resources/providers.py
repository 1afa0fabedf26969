from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Body, Query, Strict, truth, word
from apps.api.fields import Choice, Integer, Moment, Text, Truth, Words, shown
from apps.api.problems import Problem
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.catalog import connection, health, inventory, removal, services
from apps.catalog.questions import gives_embeddings

MEASURED = (
    *("is_healthy", "last_checked_at", "last_check_ms", "last_check_message", "consecutive_failures"),
    "answering_since",
)


class ProviderBody(Body):
    of = inventory.providers
    columns = (
        *("name", "vendor", "protocol", "base_url", "is_enabled", "on_disconnect", "tags", "region", "quirks"),
        *("connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout"),
        *("check_kind", "check_model", "check_interval_seconds", "max_failures", "recovery_seconds"),
        *MEASURED,
        "created_at",
    )
    volatile = (*MEASURED, "health")
    id = shown(Integer)
    options = serializers.DictField(
        child=Text(max_length=200), required=False, help_text="What the vendor must be told besides."
    )
    health = shown(Text, help_text="unknown, healthy, failing, recovering or unhealthy.")


class ProviderQuery(Query):
    vendor = word()
    is_enabled = truth()

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        if (enabled := given.pop("is_enabled", None)) is not None:
            rows = rows.filter(is_enabled=enabled == "true")
        return rows.filter(**given)


class Test(Strict):
    credential = Integer(required=False, min_value=1, help_text="The id of one that is anybody's; else the first.")
    model = Text(required=False, max_length=200, help_text="As the provider calls it; else one that is deployed.")
    steps = serializers.ListField(
        child=Choice(choices=connection.STEPS), required=False, max_length=3, help_text="Usually all three."
    )


class Step(serializers.Serializer[Any]):
    step = Choice(choices=connection.STEPS)
    ok = Truth(allow_null=True, help_text="Null: it was not made.")
    milliseconds = Integer(allow_null=True)
    message = Text()
    words = Text(help_text="The provider's own, of a failure.")


class Tested(serializers.Serializer[Any]):
    steps = Step(many=True)
    model = Text()
    listed = Words(help_text="Models that the provider lists.")


class Checked(serializers.Serializer[Any]):
    ok = Truth()
    milliseconds = Integer()
    message = Text()
    at = Moment()


class Providers(Listing, Reading, Making, Changing, Removing, Resource):
    """Vendors' services, each at one address."""

    place = "providers"
    noun = "provider"
    model = "catalog.provider"
    body = ProviderBody
    query = ProviderQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.providers()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.create_provider(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.update_provider(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        removal.remove_provider(row, actor=self.request.user)

    @action(detail=True, methods=["post"], given=Test, gives=Tested, is_repeated=False)
    def test(self, request: Request, pk: str) -> Response:
        """Asks it for its models, then for a token, then for a token in a stream. Costs two tokens at most, of nobody's
        budget."""
        self.asked()
        provider = self.row()
        self.allow("change", provider)
        given = self.read(Test)
        credential = self._credential(provider, given.get("credential"))
        model, listed, rows = given.get("model", ""), (), []
        for step in given.get("steps", connection.STEPS):
            if step == "list":
                found = connection.ask_list(provider, credential=credential)
                listed = found.models
                rows.append(_row(step, found))
            else:
                model = model or connection.suggested(provider, listed=listed)
                rows.append(self._tried(step, provider, credential=credential, model=model))
        return Response({"steps": rows, "model": model, "listed": list(listed)[:1_000]})

    @action(detail=True, methods=["post"], gives=Checked, is_repeated=False)
    def check(self, request: Request, pk: str) -> Response:
        """Checks its health now, as it is checked at intervals."""
        self.asked()
        provider = self.row()
        self.allow("change", provider)
        result = health.check_now(provider, actor=request.user).result
        provider.refresh_from_db()
        told = {"ok": result.ok, "milliseconds": result.milliseconds, "message": result.message}
        return Response({**told, "at": provider.last_checked_at})

    def _credential(self, provider: Any, pk: int | None) -> Any:
        found = connection.credentials_of(provider)
        if pk is None:
            return found[0] if found else None
        chosen = next((row for row in found if row.pk == pk), None)
        if chosen is None:
            raise Problem(422, errors={"credential": ["It is none that tests of this provider are made with."]})
        return chosen

    def _tried(self, step: str, provider: Any, *, credential: Any, model: str) -> dict[str, Any]:
        if not model or not model.isprintable():
            return _untried(step, "Name a model to call.")
        if step == "stream" and gives_embeddings(provider, model=model):
            return _untried(step, "Embeddings come whole: there is nothing to try.")
        actor, stream = self.request.user, step == "stream"
        found = connection.try_model(provider, actor=actor, credential=credential, model=model, stream=stream)
        return _row(step, found)


def _row(step: str, found: Any) -> dict[str, Any]:
    told = {"step": step, "ok": found.ok, "milliseconds": found.milliseconds}
    return {**told, "message": found.message, "words": found.words}


def _untried(step: str, why: str) -> dict[str, Any]:
    return {"step": step, "ok": None, "milliseconds": None, "message": why, "words": ""}
