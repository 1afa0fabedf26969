"""Relays that are killed with SIGKILL, writers that race, sinks side by side: nothing is lost, and the events of a
tenant keep their order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.db import connection, connections

from apps.events import relay
from apps.events.models import Event
from apps.usage import ledger
from apps.usage.models import Entry
from tests.control.events import calls, file_sink, later, sequences, told
from tests.control.test_sealing_killed import NURSERY

pytestmark = pytest.mark.django_db(transaction=True)
Worker = Callable[[str], int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("events"))


@pytest.fixture(scope="module")
def worker(folder, django_db_setup, django_db_blocker) -> Iterator[Worker]:
    """Runs a relay in a process of its own on the test's database, up to the failpoint at which it dies; what it ends
    with."""
    with django_db_blocker.unblock():
        place = {key: value for key, value in connection.settings_dict.items() if isinstance(value, str | int)}
    url = f"sqlite:///{place['NAME']}"
    if connection.vendor == "postgresql":
        url = f"postgres://{place['USER']}:{place['PASSWORD']}@{place['HOST']}:{place['PORT']}/{place['NAME']}"
    environment = os.environ | {"DATABASE_URL": url, "WEIR_VAR": str(configured.VAR_DIR), "WEIR_EVENT_FOLDERS": folder}
    environment["DJANGO_SETTINGS_MODULE"] = "gateway_site.settings"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], cwd=configured.BASE_DIR, env=environment, **pipes
    ) as nursery:
        orders, statuses = nursery.stdin, nursery.stdout
        assert orders is not None
        assert statuses is not None

        def run(point: str) -> int:
            orders.write(f"{point} from apps.events import relay; relay.run()\n")
            orders.flush()
            return int(statuses.readline())

        yield run
        orders.close()


@pytest.mark.parametrize(("point", "copies"), [("event.placed", 1), ("event.sent", 2)])
def test_a_killed_relay_loses_nothing_and_sends_at_most_its_batch_twice(folder, settings, worker, point, copies):
    settings.WEIR_EVENT_FOLDERS = [folder]
    file_sink(point)
    ledger.post([*calls(1, of=4)])
    assert worker(f"{point}:kill") == -signal.SIGKILL
    ledger.post([*calls(1)])
    later()
    relay.run()
    found = told(Path(folder), point)
    assert len(found) == 5 + 4 * (copies - 1)
    assert sequences({event["id"]: event for event in found}.values()) == [1, 2, 3, 4, 5]


def test_events_of_writers_that_race_come_in_one_order_to_sinks_side_by_side(settings, tmp_path):
    settings.WEIR_EVENT_FOLDERS = [str(tmp_path)]
    file_sink("one")
    file_sink("other")
    start, faults, orders = threading.Barrier(3), [], {}

    def write(tenant: int) -> None:
        try:
            start.wait()
            orders[tenant] = [str(entry) for _ in range(15) for entry in ledger.post([*calls(tenant)])]
        except BaseException as error:
            faults.append(error)
        finally:
            connections.close_all()

    writers = [threading.Thread(target=write, args=[tenant]) for tenant in (1, 2)]
    for writer in writers:
        writer.start()
    start.wait()
    while any(writer.is_alive() for writer in writers):
        relay.run()
    for writer in writers:
        writer.join()
    relay.run()
    assert faults == []
    one, other = told(tmp_path, "one"), told(tmp_path, "other")
    assert one == other
    assert sequences(one) == list(range(1, 31))
    assert [event.position for event in Event.objects.order_by("position")] == sequences(one)
    for tenant, order in orders.items():
        assert [event["id"] for event in one if event["data"]["tenant"]["id"] == tenant] == order
    assert Entry.objects.count() == 30
