"""Providers' reports: brought in or fetched, compared with the ledger, posted and taken back."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Body, Query, Strict, number, word
from apps.api.fields import Choice, Day, Integer, Ref, Text, Truth, shown
from apps.api.problems import Problem
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.api.resources.credentials import HasSecret
from apps.reconciliation import inventory, judging, services


class SourceBody(Body):
    of = inventory.sources
    columns = ("vendor", "address", "last_four", "created_at")
    lasting = ("provider",)
    id = shown(Integer)
    provider = Ref("providers")
    secret = Text(write_only=True, required=False, max_length=500, help_text="An admin key. It can never be read back.")
    has_secret = HasSecret(read_only=True, source="ciphertext")


class ReportSources(Listing, Reading, Making, Changing, Removing, Resource):
    """Where providers' reports are fetched, with the organization's admin key."""

    place = "report-sources"
    noun = "report source"
    model = "reconciliation.reportsource"
    body = SourceBody

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.sources()

    def make(self, values: dict[str, Any]) -> Any:
        values.setdefault("secret", "")
        return self.made(services.create_source(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.update_source(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        services.remove_source(row, actor=self.request.user)


class NameBody(Body):
    of = inventory.names
    columns = ("name", "upstream_model")
    lasting = ("provider",)
    id = shown(Integer)
    provider = Ref("providers")
    credential = Ref("credentials", required=False, allow_null=True, help_text="Or else an upstream_model.")


class NameQuery(Query):
    provider = number()


class ProviderNames(Listing, Reading, Making, Changing, Removing, Resource):
    """What providers' reports call models and credentials, where Weir calls them otherwise."""

    place = "provider-names"
    noun = "name at a provider"
    model = "reconciliation.providername"
    body = NameBody
    query = NameQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.names()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.create_name(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.update_name(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        services.remove_name(row, actor=self.request.user)


class ReportBody(Body):
    of = inventory.reports
    columns = (
        *("state", "is_fetched", "first_day", "last_day", "has_tokens", "has_cost", "by_model", "by_account"),
        *("failure", "pages_read", "days_compared", "version", "compared_at", "is_withdrawn", "created_at"),
    )
    id = shown(Integer)
    provider = Ref("providers")
    shape = Choice(choices=inventory.SHAPES)
    file_name = Text(required=False, allow_blank=True, max_length=200)
    content = Text(
        write_only=True, trim_whitespace=False, max_length=1024 * 1024, help_text="The report as it came: its text."
    )
    is_base64 = Truth(write_only=True, required=False, help_text="Of a report that is no text, or compressed.")
    left_out = shown(serializers.ListField, child=serializers.JSONField(), help_text="Lines that are not usage.")

    def get_fields(self) -> dict[str, Any]:
        found = super().get_fields()
        for name in self.columns:
            found[name].read_only, found[name].required = True, False
        return found


class ReportQuery(Query):
    provider = number()
    state = word("fetching", "comparing", "ready", "failed")


class Fetching(Strict):
    source = Ref("report-sources")
    shape = Choice(choices=inventory.SHAPES)
    first_day = Day(help_text="Of UTC.")
    last_day = Day()


class Posting(Strict):
    version = Integer(min_value=1, help_text="Of the comparison that was looked at.")
    statuses = serializers.ListField(
        child=Choice(choices=inventory.POSTABLE), required=False, max_length=5, help_text="Usually what is more."
    )
    project = Ref("projects", required=False, help_text="Whose it is, what nobody called through Weir.")
    note = Text(required=False, allow_blank=True, max_length=200)


class Posted(serializers.Serializer[Any]):
    adjustment = Integer()


class ProviderReports(Listing, Reading, Making, Resource):
    """What providers say was used, or cost, on some days of UTC; compared with the ledger in the background."""

    place = "provider-reports"
    noun = "provider's report"
    model = "reconciliation.report"
    body = ReportBody
    query = ReportQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.reports()

    def make(self, values: dict[str, Any]) -> Any:
        made = services.upload(
            actor=self.request.user,
            provider=values["provider"],
            shape=values["shape"],
            body=_bytes(values["content"], is_base64=values.get("is_base64", False)),
            file_name=values.get("file_name", ""),
            field="content",
        )
        return self.made(made)

    @action(detail=False, methods=["post"], given=Fetching, gives=ReportBody)
    def fetch(self, request: Request) -> Response:
        """Asks the provider's admin API for one, in the background."""
        self.asked()
        self.must("add")

        def do() -> Any:
            given = self.read(Fetching)
            first, last = given.pop("first_day"), given.pop("last_day")
            return self.made(services.fetch(actor=request.user, first=first, last=last, **given))

        return self.once(do)

    @action(detail=True, methods=["post"], gives=ReportBody)
    def compare(self, request: Request, pk: str) -> Response:
        """Compares it again: after names, prices or costs have changed."""
        return self._done(lambda row: services.compare_again(row, actor=request.user))

    @action(detail=True, methods=["post"], gives=ReportBody)
    def withdraw(self, request: Request, pk: str) -> Response:
        """Forgets its lines, so that another report of these days can be brought in. What was posted stays."""
        return self._done(lambda row: services.withdraw(row, actor=request.user))

    @action(detail=True, methods=["post"], url_path="post", given=Posting, gives=Posted)
    def post_differences(self, request: Request, pk: str) -> Response:
        """Posts the differences of a comparison to the ledger, once, in the background."""
        self.asked()
        self.must("change")
        row = self.row()

        def do() -> Response:
            given = self.read(Posting)
            statuses = given.pop("statuses", services.USUAL)
            made = services.post(row, actor=request.user, statuses=statuses, **given)
            return Response({"adjustment": made.pk}, status=201)

        return self.once(do)

    def _done(self, do: Any) -> Response:
        self.asked()
        self.must("change")
        row = self.row()

        def whole() -> Response:
            do(row)
            return self.told(self.row())

        return self.once(whole)


def _bytes(content: str, *, is_base64: bool) -> bytes:
    if not is_base64:
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(422, errors={"content": ["It is not base64."]}) from None


class DifferenceBody(Body):
    of = inventory.differences
    is_told = True
    columns = (
        *("report", "day", "model", "credential", "status", "reported_nano", "counted_nano", "difference_nano"),
        *("reported_tokens", "counted_tokens", "requests", "calls", "unconfirmed", "estimated", "doubt_nano"),
    )
    id = shown(Integer)
    kinds = shown(
        serializers.DictField,
        child=serializers.ListField(child=serializers.IntegerField()),
        help_text="Tokens: in_fresh, in_cache_read, in_cache_write_5m, in_cache_write_1h, out_total.",
    )
    difference_tokens = shown(
        Integer, allow_null=True, help_text="What the provider tells beyond Weir's; null: its report tells no tokens."
    )
    hints = shown(serializers.SerializerMethodField)

    def get_hints(self, row: Any) -> list[str]:
        """What may explain it."""
        return judging.hints(row)


class DifferenceQuery(Query):
    report = number()
    status = word(*inventory.STATUSES)


class ReportDifferences(Listing, Reading, Resource):
    """What report and ledger say of each day, model and credential."""

    place = "report-differences"
    noun = "difference"
    model = "reconciliation.difference"
    body = DifferenceBody
    query = DifferenceQuery
    ordering = ("id",)

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.differences()


class AdjustmentBody(Body):
    of = inventory.adjustments
    is_told = True
    columns = ("report", "version", "state", "project", "note", "created_by", "created_at", "done_at")
    id = shown(Integer)
    sums_nano_usd = shown(
        serializers.SerializerMethodField, help_text="By what became of each day: waiting, posted, changed or undone."
    )

    def get_sums_nano_usd(self, row: Any) -> dict[str, int]:
        return inventory.sums_of(row)


class AdjustmentQuery(Query):
    report = number()


class Adjustments(Listing, Reading, Resource):
    """Differences that were posted to the ledger."""

    place = "adjustments"
    noun = "adjustment"
    model = "reconciliation.adjustment"
    body = AdjustmentBody
    query = AdjustmentQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.adjustments()

    @action(detail=True, methods=["post"], url_path="take-back", gives=AdjustmentBody)
    def take_back(self, request: Request, pk: str) -> Response:
        """Adds the opposite of each of its rows."""
        self.asked()
        self.must("change")
        row = self.row()

        def do() -> Response:
            services.take_back(row, actor=request.user)
            return self.told(self.row())

        return self.once(do)
