"""Workers that are killed with SIGKILL while they decide or send, and workers that race: a receiver hears of an alert
at least once, always under the same id, and it is recorded once."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.db import connection, connections
from django.utils import timezone

from apps.alerts import evaluation, outbox, services
from apps.alerts.models import Alert, Delivery
from apps.catalog.models import AllowedNetwork, Provider
from tests import factories
from tests.control import receivers
from tests.control.test_sealing_killed import NURSERY

pytestmark = pytest.mark.django_db(transaction=True)
LATER = outbox.CLAIMED + datetime.timedelta(seconds=1)
# A worker's minute. What is put down now is due a moment later, by the database's own rows.
MINUTE = (
    "from apps.alerts import evaluation, outbox; from datetime import datetime, timedelta as t; "
    "now = datetime.fromisoformat('{now}'); evaluation.evaluate(now); outbox.send_due(now + t(seconds=30))"
)
Worker = Callable[[str, datetime.datetime], int]


@pytest.fixture(scope="module")
def worker(django_db_setup, django_db_blocker) -> Iterator[Worker]:
    """Runs a worker's minute in a process of its own on the test's database, up to the failpoint at which it dies; what
    it ends with."""
    with django_db_blocker.unblock():
        place = {key: value for key, value in connection.settings_dict.items() if isinstance(value, str | int)}
    url = f"sqlite:///{place['NAME']}"
    if connection.vendor == "postgresql":
        url = f"postgres://{place['USER']}:{place['PASSWORD']}@{place['HOST']}:{place['PORT']}/{place['NAME']}"
    environment = os.environ | {"DATABASE_URL": url, "WEIR_VAR": str(settings.VAR_DIR)}
    environment["DJANGO_SETTINGS_MODULE"] = "gateway_site.settings"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", NURSERY]
    with subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, **pipes) as nursery:
        orders, statuses = nursery.stdin, nursery.stdout

        def run(point: str, now: datetime.datetime) -> int:
            orders.write(f"{point} {MINUTE.format(now=now.isoformat())}\n")
            orders.flush()
            return int(statuses.readline())

        yield run
        orders.close()


@pytest.fixture
def hook(transactional_db) -> Iterator[receivers.Receiver]:
    """Told of providers that are down, of which there is one."""
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")
    with receivers.receiver() as found:
        made = services.create_destination(actor=None, tenant=None, name="us", kind="webhook", target=found.url)
        services.create_rule(actor=None, tenant=None, kind="provider", name="Down", destinations=[made.destination])
        Provider.objects.filter(pk=factories.provider("Far away").pk).update(is_healthy=False)
        yield found


def minute(now: datetime.datetime) -> None:
    evaluation.evaluate(now)
    outbox.send_due(now + datetime.timedelta(seconds=30))


@pytest.mark.parametrize(("point", "heard"), [("alert.before_commit", 1), ("alert.claimed", 1), ("alert.sent", 2)])
def test_a_killed_worker_loses_no_alert_and_records_it_once(hook, worker, point, heard):
    now = timezone.now()
    assert worker(f"{point}:kill", now) == -signal.SIGKILL
    minute(now + datetime.timedelta(minutes=1))
    minute(now + LATER + datetime.timedelta(minutes=1))
    minute(now + 2 * LATER + datetime.timedelta(minutes=1))
    alert, delivery = Alert.objects.get(), Delivery.objects.get()
    assert alert.subject.startswith("provider:")
    assert (delivery.state, delivery.alert_id) == ("sent", alert.pk)
    assert [told.headers["webhook-id"] for told in hook.heard] == [str(delivery.pk)] * heard


def test_workers_that_race_decide_once_and_send_once(hook):
    now = timezone.now()
    start, faults = threading.Barrier(4), []

    def work() -> None:
        try:
            start.wait()
            minute(now)
        except BaseException as error:
            faults.append(error)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert faults == []
    outbox.send_due(
        now + datetime.timedelta(seconds=30)
    )  # whoever decided may have been the last to look at what is due
    assert Alert.objects.count() == Delivery.objects.count() == 1
    assert [told.headers["webhook-id"] for told in hook.heard] == [str(Delivery.objects.get().pk)]
