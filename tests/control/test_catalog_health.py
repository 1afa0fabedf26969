"""The health check asks a real server; only a change of health is a change of the catalog."""

from __future__ import annotations

import datetime
import importlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.apps import apps
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from apps.audit import selectors as audit
from apps.audit.models import Record
from apps.catalog import health, services, tasks
from apps.catalog.models import Health, Provider
from apps.catalog.questions import Found
from apps.outbound.probe import ProbeResult
from tests import factories

pytestmark = pytest.mark.django_db


class Vendor:
    """Answers with `status`, and remembers the credentials it saw. `refused` are credentials it answers 401 to."""

    def __init__(self):
        self.status = 200
        self.refused = set()
        self.seen = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                secret = self.headers.get("authorization", "").removeprefix("Bearer ")
                vendor.seen.append(secret)
                self.send_response(401 if secret in vendor.refused else vendor.status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def vendor():
    vendor = Vendor()
    thread = threading.Thread(target=vendor.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield vendor
    vendor.server.shutdown()
    vendor.server.server_close()
    thread.join()


@pytest.fixture
def provider(vendor):
    services.allow_network(actor=None, cidr="127.0.0.1/32")
    return factories.provider(
        vendor="openai_compatible",
        protocol="openai_chat",
        base_url=vendor.url,
        max_failures=2,
        recovery_seconds=0,
        name="Local",
    )


def test_a_provider_that_answers_is_well(provider, vendor):
    factories.credential(provider, secret="the-secret-of-local")
    result = health.check_now(provider, actor=None).result
    assert result.ok
    assert vendor.seen == ["the-secret-of-local"]
    stored = Provider.objects.get()
    assert (stored.is_healthy, stored.consecutive_failures) == (True, 0)
    assert stored.last_check_ms == result.milliseconds
    assert stored.last_check_message == result.message == provider.last_check_message
    assert stored.last_checked_at is not None


def test_a_provider_falls_ill_after_its_failures_in_a_row_and_recovers_at_once(provider, vendor):
    told = []

    def check(status):
        vendor.status = status
        health.check_now(provider, actor=None)
        told.append((Provider.objects.get().is_healthy, audit.revisions()["catalog"]))

    check(200)
    told.clear()
    before = audit.revisions()["catalog"]
    for status in (500, 200, 500, 503, 500, 200, 200):
        check(status)
    assert told == [
        (True, before),
        (True, before),
        (True, before),
        (False, before + 1),
        (False, before + 1),
        (True, before + 2),
        (True, before + 2),
    ]
    actions = Record.objects.filter(action__in=["provider.failed", "provider.recovered"]).order_by("id")
    assert list(actions.values_list("action", "actor_name")) == [
        ("provider.failed", "system"),
        ("provider.recovered", "system"),
    ]


def test_what_was_asked_of_an_old_address_says_nothing_of_the_new_one(provider, vendor):
    asked = Provider.objects.get()
    services.update_provider(provider, actor=None, base_url=vendor.url.replace("127.0.0.1", "localhost"))
    failed = ProbeResult(ok=False, status=0, milliseconds=3, message="The provider refused the connection.")
    health.remember(asked, found=Found("models", failed), began=timezone.now())
    stored = Provider.objects.get()
    assert (stored.is_healthy, stored.health) == (True, Health.UNKNOWN)


def test_one_that_never_answered_is_ill_at_its_first_failure(provider, vendor):
    assert provider.health == Health.UNKNOWN
    vendor.status = 500
    health.check_now(provider, actor=None)
    assert Provider.objects.get().health == provider.health == Health.DOWN
    vendor.status = 200
    health.check_now(provider, actor=None)
    assert Provider.objects.get().health == Health.UP


def test_the_scheduled_check_is_no_kinder_to_one_that_never_answered(provider, vendor):
    vendor.status = 500
    assert tasks.check_providers() == 1
    assert Provider.objects.get().health == Health.DOWN


def test_one_that_answered_before_is_failing_until_it_is_down(provider, vendor):
    health.check_now(provider, actor=None)
    vendor.status, found = 500, []
    for _ in range(2):
        health.check_now(provider, actor=None)
        found.append(Provider.objects.get().health)
    assert found == [Health.FAILING, Health.DOWN]


def test_at_another_address_nothing_is_known_of_a_provider(provider, vendor):
    vendor.status = 500
    health.check_now(provider, actor=None)
    services.update_provider(provider, actor=None, base_url="https://api.example.com/v1")
    stored = Provider.objects.get()
    assert (stored.health, stored.last_checked_at, stored.last_check_message) == (Health.UNKNOWN, None, "")


def test_a_provider_that_nobody_runs_is_a_failure(provider, vendor):
    vendor.server.shutdown()
    vendor.server.server_close()
    result = health.check_now(provider, actor=None).result
    assert (result.ok, result.status) == (False, 0)
    assert Provider.objects.get().consecutive_failures == 1


def test_a_private_provider_is_not_asked_once_its_network_is_closed(provider, vendor):
    services.forbid_network(services.AllowedNetwork.objects.get(), actor=None)
    assert not health.check_now(provider, actor=None).result.ok
    assert vendor.seen == []


def test_one_refused_credential_does_not_make_a_provider_ill(provider, vendor):
    factories.credential(provider, alias="a", secret="a-revoked-secret")
    factories.credential(provider, alias="b", secret="a-working-secret")
    vendor.refused = {"a-revoked-secret"}
    assert health.check_now(provider, actor=None).result.ok
    assert vendor.seen == ["a-revoked-secret", "a-working-secret"]
    vendor.refused.add("a-working-secret")
    assert not health.check_now(provider, actor=None).result.ok


def test_without_a_credential_a_refusal_is_an_answer(provider, vendor):
    vendor.refused = {""}
    assert health.check_now(provider, actor=None).result.ok


def test_a_tenants_own_credential_is_not_spent_on_checks(provider, vendor, acme):
    factories.credential(provider, secret="the-secret-of-acme", tenant=acme)
    health.check_now(provider, actor=None)
    assert vendor.seen == [""]


def test_the_task_checks_those_that_are_due(provider, vendor):
    services.update_provider(provider, actor=None, check_interval_seconds=60)
    off = factories.provider(vendor="openai_compatible", protocol="openai_chat", base_url=vendor.url)
    services.update_provider(off, actor=None, is_enabled=False)
    assert tasks.check_providers() == 1
    assert tasks.check_providers() == 0
    Provider.objects.update(last_checked_at=timezone.now() - datetime.timedelta(seconds=61))
    assert tasks.check_providers() == 1
    assert len(vendor.seen) == 2


def test_of_two_workers_with_the_same_list_one_asks(provider):
    now = timezone.now()
    first, second = health.due(now), health.due(now)
    assert [health._claim(row, now=now) for row in (*first, *second)] == [True, False]


def test_the_check_is_scheduled_once_and_then_the_operators_to_edit():
    schedule = importlib.import_module("apps.catalog.migrations.0002_schedule").schedule
    PeriodicTask.objects.all().delete()
    schedule(apps, None)
    task = PeriodicTask.objects.get()
    assert (task.task, task.enabled, str(task.interval)) == (tasks.check_providers.name, True, "every 30 seconds")
    PeriodicTask.objects.update(enabled=False)
    schedule(apps, None)
    assert not PeriodicTask.objects.get().enabled
