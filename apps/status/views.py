"""The telling pages. They show what is configured and how it fares, and no value that is or holds a secret."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, reverse
from rest_framework.request import Request
from rest_framework.response import Response

from apps.catalog import selectors as catalog
from apps.runtime import build, standings
from apps.runtime.redact import redact
from apps.runtime.state import state
from apps.status import checks, exposition, overview
from apps.status.doctor import background
from apps.status.operators import OperatorView
from apps.usage import processes

SERVERS = ("all", "gateway")  # roles that take calls
# Settings that may be shown as they are. Whatever is not named here stays unseen, whoever adds it.
SHOWN = (
    "DEBUG",
    "WEIR_ROLE",
    "ALLOWED_HOSTS",
    "TIME_ZONE",
    "WEIR_BASE_URL",
    "WEIR_MAX_BODY_BYTES",
    "WEIR_KEY_CACHE",
    "WEIR_CORS_ORIGINS",
    "WEIR_PRIVATE_NETWORKS",
    "WEIR_FETCH_URLS",
    "WEIR_FETCH_NETWORKS",
    "WEIR_TRUSTED_PROXIES",
    "WEIR_DRAIN_SECONDS",
    "WEIR_PRESTOP_SECONDS",
    "WEIR_REFRESH_SECONDS",
    "WEIR_DURABILITY",
    "WEIR_BALLAST_MB",
    "WEIR_FIRST_BYTE_GATE",
)


class Detailed(OperatorView):
    """Every check with its time and message, this process's gauges, the providers' health; of all gateways what they
    said with their last heartbeat, and whether their versions differ."""

    def dispatch(self, request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        """People are led to the admin's page of the same, which asks who they are."""
        is_browser = "text/html" in request.META.get("HTTP_ACCEPT", "") and "HTTP_AUTHORIZATION" not in request.META
        if is_browser and request.method == "GET" and (page := _page_for_people()):
            return HttpResponseRedirect(page)
        return super().dispatch(request, *arguments, **named)

    def get(self, request: Request) -> Response:
        report = checks.run()
        is_reached = report.passed("database")
        providers = catalog.providers_overview() if is_reached else []
        gateways = processes.listed() if is_reached else []
        told = {
            "status": report.status,
            "version": build.VERSION,
            "timestamp": datetime.now(UTC),
            "checks": [msgspec.to_builtins(check) for check in report.checks],
            "process": overview.process(),
            "providers": {row["name"]: row["health"] for row in providers},
            "in_flight": overview.in_flight(gateways),
            "gateways": [msgspec.to_builtins(one) for one in gateways],
            "versions": background.versions(gateways),
            "warnings": [f"{found.told}. {found.cure}" for found in background.side_by_side(gateways)],
        }
        return Response(told, status=200 if report.ready else 503)


class Providers(OperatorView):
    """The providers, which of their credentials this process has set aside (see `gateway.cooling`; null where it takes
    no calls, as gateways know that), and how deployments fare by the word of all processes (see `gateway.standing`)."""

    def get(self, request: Request) -> Response:
        told = {"resting": resting() if state.role in SERVERS else None, "deployments": deployments()}
        return Response({"providers": catalog.providers_overview(), **told})


class Config(OperatorView):
    """What this process was started with."""

    def get(self, request: Request) -> Response:
        return Response(
            {
                "settings": {name.lower(): getattr(settings, name, None) for name in SHOWN},
                "stores": {
                    "database": settings.DATABASES["default"]["ENGINE"].rpartition(".")[2],
                    "redis": bool(settings.REDIS_URL),
                    "broker": urlsplit(settings.CELERY_BROKER_URL).scheme,
                },
                "process": overview.process(),
            }
        )


class Settings(OperatorView):
    """How calls are routed: every model with its deployments in the order in which they are tried."""

    def get(self, request: Request) -> Response:
        return Response(
            {
                "revision": state.snapshot_revision,
                "age_seconds": state.snapshot_age,
                "private_networks": list(catalog.private_networks()),
                "models": catalog.routing_overview(),
                "endpoints": catalog.endpoints_overview(),
            }
        )


class RedisTest(OperatorView):
    """A value written, read back and removed."""

    def get(self, request: Request) -> Response:
        if not settings.REDIS_URL:
            return Response({"status": "not configured", "configured": False})
        from redis import RedisError

        key = f"weir:test:{state.replica}"
        started = time.perf_counter()
        try:
            client = standings.client(settings.REDIS_URL)
            client.set(key, "written", ex=10)
            same = client.get(key) == b"written"
            client.delete(key)
        except RedisError as error:
            told = {"status": "failed", "configured": True, "message": redact(f"{type(error).__name__}: {error}")}
            return Response(told, status=503)
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        status = "connected" if same else "failed"
        return Response(
            {"status": status, "configured": True, "milliseconds": milliseconds}, status=200 if same else 503
        )


class Metrics(OperatorView):
    def get(self, request: Request) -> HttpResponse:
        body, content_type = exposition.render(request.META.get("HTTP_ACCEPT", ""))
        return HttpResponse(body, content_type=content_type)


def _page_for_people() -> str:
    """Empty: a process for calls has none."""
    try:
        return reverse("admin:health")
    except NoReverseMatch:
        return ""


def resting() -> list[dict[str, Any]]:
    now = time.time()
    return [
        {**rest._asdict(), "model": rest.model or None, "until": datetime.fromtimestamp(rest.until, UTC)}
        for rest in state.resting
        if rest.until > now
    ]


def deployments() -> list[dict[str, Any]]:
    return [
        {**one._asdict(), "until": None if one.until is None else datetime.fromtimestamp(one.until, UTC)}
        for _, one in sorted(standings.by_deployment().items())
    ]
