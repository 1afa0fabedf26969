"""How the installation fares. What only its processes know of themselves this package does not: whoever puts the site
together says who tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.fields import Integer, Moment, Number, Text, Truth
from apps.api.resource import Signed
from apps.api.resources.providers import Providers
from apps.catalog import selectors as catalog
from apps.usage import figures

SHOWN = ("name", "vendor", "enabled", "health", "last_checked_at", "last_check_ms", "last_check_message", "overdue")
STATES = "`ok`, `warning` or `problem`."

_tells: Callable[[], dict[str, Any]] = dict


def tell_with(tells: Callable[[], dict[str, Any]]) -> None:
    """Said once, by the site. It gives the fields of `Installation`."""
    global _tells
    _tells = tells


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


class ProcessHealth(serializers.Serializer[Any]):
    replica = Text()
    role = Text(help_text="`all`, `gateway` for calls, or `control` for pages.")
    started_at = Moment()
    draining = Truth()
    in_flight = Integer(help_text="Its own calls.")
    snapshot_revision = Integer(allow_null=True, help_text="Of the configuration that it goes by.")
    snapshot_age_seconds = Number(allow_null=True)
    journal_lag_seconds = Number()
    loop_lag_seconds = Number()


class Need(serializers.Serializer[Any]):
    name = Text()
    state = Text(help_text=STATES)
    milliseconds = Number()
    told = Text()
    cure = Text(help_text="What to do.")


class GatewayHealth(serializers.Serializer[Any]):
    name = Text()
    state = Text(help_text="`live`, `silent`, `written off` or `departed`.")
    version = Text()
    role = Text()
    in_flight = Integer()
    silent_seconds = Number(allow_null=True, help_text="Since its last heartbeat.")
    held_nano_usd = Integer(help_text="What its pieces of budgets have left.")


class Found(serializers.Serializer[Any]):
    about = Text()
    state = Text(help_text=STATES)
    told = Text()
    cure = Text(help_text="What to do.")


class Chore(serializers.Serializer[Any]):
    task = Text()
    last_run_at = Moment()
    late_seconds = Number(help_text="For how long it has been due again.")


class SinkHealth(serializers.Serializer[Any]):
    name = Text()
    state = Text(help_text="`ok`, `problem` or `disabled`.")
    undelivered = Integer()
    dead = Integer()
    oldest_seconds = Number()
    told = Text()


class Installation(serializers.Serializer[Any]):
    status = Text(help_text="Of the process that has answered: `healthy`, `degraded`, `draining` or `unhealthy`.")
    version = Text()
    process = ProcessHealth(help_text="The one that has answered.")
    checks = Need(many=True, help_text="What that process needs.")
    gateways = GatewayHealth(many=True, help_text="By their heartbeats.")
    background = Found(many=True, help_text="Beat and worker, gateways and their versions, sinks, books.")
    chores = Chore(many=True)
    sinks = SinkHealth(many=True)


class Fares(serializers.Serializer[Any]):
    providers = ProviderHealth(many=True)
    books = CheckOfBooks(many=True, help_text="The last quick and the last full check of the books.")
    installation = Installation(allow_null=True, help_text="For operators; null for others.")


class Health(Signed):
    """How providers, books and the processes of the installation fare."""

    place = "health"
    gives = Fares

    def list(self, request: Request) -> Response:
        """All of it. Whether Weir itself is ready, `/health/ready` says."""
        self.asked()
        if not self.reach.has_perm(Providers.permission("view")):
            raise PermissionDenied
        rows = [{name: row[name] for name in SHOWN} for row in catalog.providers_overview()]
        told = {"providers": rows, "books": [check._asdict() for check in figures.last_checks()]}
        installation = Installation(_tells()).data if self.reach.is_operator else None
        return Response(told | {"installation": installation})
