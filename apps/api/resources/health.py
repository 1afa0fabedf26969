from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.fields import Integer, Moment, Text, Truth
from apps.api.resource import Signed
from apps.api.resources.providers import Providers
from apps.catalog import selectors as catalog
from apps.usage import figures

SHOWN = ("name", "vendor", "enabled", "health", "last_checked_at", "last_check_ms", "last_check_message", "overdue")


class ProviderHealth(serializers.Serializer[Any]):
    name = Text()
    vendor = Text()
    enabled = Truth()
    health = Text()
    last_checked_at = Moment(allow_null=True)
    last_check_ms = Integer(allow_null=True)
    last_check_message = Text()
    overdue = Truth(help_text="No check for so long that the worker must be away.")


class CheckOfBooks(serializers.Serializer[Any]):
    is_quick = Truth()
    at = Moment()
    violations = Integer()


class Fares(serializers.Serializer[Any]):
    providers = ProviderHealth(many=True)
    books = CheckOfBooks(many=True, help_text="The last quick and the last full check of the books.")


class Health(Signed):
    """How providers and books fare."""

    place = "health"
    gives = Fares

    def list(self, request: Request) -> Response:
        """All of it. Whether Weir itself is ready, `/health/ready` says."""
        self.asked()
        if not self.reach.has_perm(Providers.permission("view")):
            raise PermissionDenied
        rows = [{name: row[name] for name in SHOWN} for row in catalog.providers_overview()]
        return Response({"providers": rows, "books": [check._asdict() for check in figures.last_checks()]})
