"""How the installation fares, for programs: what the admin's page of it tells people."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from apps.events import services
from apps.quotas import windows
from apps.runtime import build
from apps.runtime.state import state
from tests import factories
from tests.api import caller

pytestmark = pytest.mark.once


def test_operators_are_told_of_every_process_what_it_needs_and_what_to_do(world, monkeypatch):
    for name, version, calls in (("gateway-7", build.VERSION, 3), ("gateway-8", "0.1.9", 4)):
        about = f'{{"version": "{version}", "role": "gateway", "in_flight": {calls}}}'
        windows.beat(name, epoch=windows.register(name), about=about)
    PeriodicTask.objects.filter(pk=world.ids["schedules"]).update(enabled=True, last_run_at=timezone.now())
    services.create_sink(actor=None, name="hook-7", kind="webhook", target="https://events.example.org/in")
    monkeypatch.setattr(state, "storage_full", True)
    told = world.operator.get("/health")["installation"]
    assert (told["status"], told["version"]) == ("unhealthy", build.VERSION)
    assert told["process"]["replica"] == state.replica
    checks = {one["name"]: one for one in told["checks"]}
    assert (checks["storage"]["state"], checks["storage"]["told"]) == ("problem", "the disk is full")
    assert checks["storage"]["cure"].startswith("Make room")
    assert (checks["database"]["state"], checks["database"]["cure"]) == ("ok", "")
    gateways = {one["name"]: one for one in told["gateways"]}
    assert [gateways[name]["in_flight"] for name in ("gateway-7", "gateway-8")] == [3, 4]
    assert gateways["gateway-8"]["state"] == "live"
    assert 0 <= gateways["gateway-8"]["silent_seconds"] < 60
    (differ,) = [one for one in told["background"] if "0.1.9" in one["told"] and one["about"] == "replicas"]
    assert (differ["state"], bool(differ["cure"])) == ("warning", True)
    assert {one["name"]: one["state"] for one in told["sinks"]}["hook-7"] == "ok"
    task = PeriodicTask.objects.get(pk=world.ids["schedules"]).task
    assert [one["late_seconds"] for one in told["chores"] if one["task"] == task] == [0]


def test_it_tells_what_the_page_of_the_admin_does(world):
    windows.beat("gateway-9", epoch=windows.register("gateway-9"), about='{"version": "0.1.8", "role": "gateway"}')
    told = world.operator.get("/health")
    people = Client()
    people.force_login(world.people["operator"])
    page = people.get(reverse("admin:health")).content.decode()
    rows = [*told["installation"]["checks"], *told["installation"]["gateways"], *told["installation"]["sinks"]]
    assert [row["name"] for row in [*rows, *told["providers"]] if row["name"] not in page] == []
    assert {row["version"] for row in told["installation"]["gateways"]} >= {"0.1.8"}


def test_staff_who_see_providers_are_told_of_those_and_not_of_processes(world):
    clerk = caller.of(factories.staff("catalog.view_provider"))
    told = clerk.get("/health")
    assert told["providers"]
    assert told["installation"] is None
