"""Real processes that seal or roll up, killed with SIGKILL at every point that they pass; the next one finishes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from django.conf import settings
from django.db import DatabaseError, connection

from apps.usage import ledger, rollups, sealing
from apps.usage.books import verify
from apps.usage.models import Entry, HourlyRollup, SealedMonth
from tests.control.ledgers import Books, settle
from tests.control.test_sealing import LAST_BUT_ONE, OLD, sums

pytestmark = pytest.mark.django_db(transaction=True)

SEAL = "retention.seal_due(timezone.now(), months=1)"
ROLL_UP = "tasks.roll_up()"
# Imports once, and forks for each order: the point at which the child is to die, and what it does.
NURSERY = """
import os, sys, traceback
import django
django.setup()
from django.utils import timezone
from apps.runtime import failpoints
from apps.usage import retention, tasks
for line in sys.stdin:
    point, order = line.rstrip().split(" ", 1)
    if pid := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        continue
    failpoints.arm(point.strip("-"))
    try:
        exec(order)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
"""


@pytest.fixture
def books(transactional_db) -> Books:
    made = Books(at=OLD)
    made.fill()
    ledger.post([made.resolved(doubt) for doubt in made.doubts])
    settle()
    return made


Process = Callable[..., int]


@pytest.fixture(scope="module")
def process(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Process]:
    """Runs an order in a process of its own on the test's database, to a failpoint if one is given. Returns its exit
    status."""
    with django_db_blocker.unblock():
        place = {key: value for key, value in connection.settings_dict.items() if isinstance(value, str | int)}
    url = f"sqlite:///{place['NAME']}"
    if connection.vendor == "postgresql":
        url = f"postgres://{place['USER']}:{place['PASSWORD']}@{place['HOST']}:{place['PORT']}/{place['NAME']}"
    environment = os.environ | {"WEIR_VAR": str(tmp_path_factory.mktemp("var")), "DATABASE_URL": url}
    environment["DJANGO_SETTINGS_MODULE"] = "gateway_site.settings"
    command = [sys.executable, "-c", NURSERY]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, **pipes) as nursery:
        orders, statuses = nursery.stdin, nursery.stdout

        def run(order: str, *, failpoint: str = "-") -> int:
            orders.write(f"{failpoint} {order}\n")
            orders.flush()
            return int(statuses.readline())

        yield run
        orders.close()


def true() -> bool:
    found = [finding for finding in verify.run().findings if finding.violations]
    assert found == []
    return True


POINTS = {
    "sqlite": [
        "seal.between_hours:kill",
        "seal.between_hours:kill:2",
        "rollup.before_commit:kill:2",
        "seal.before_finish:kill",
    ],
    "postgresql": ["seal.before_commit:kill", "rollup.before_commit:kill:2", "seal.before_finish:kill"],
}


@pytest.mark.parametrize("point", sorted({point for points in POINTS.values() for point in points}))
def test_a_seal_whose_process_is_killed_is_finished_by_the_next(books, process, point):
    if point not in POINTS[connection.vendor]:
        pytest.skip("the other database's")
    before, spent, rows = sums(), books.settled(), Entry.objects.count()
    assert process(SEAL, failpoint=point) == -signal.SIGKILL
    assert true()
    assert process(SEAL) == 0
    assert true()
    assert not Entry.objects.exists()
    assert (sums(), books.settled()) == (before, spent)
    (sealed,) = SealedMonth.objects.all()
    assert (sealed.month, sealed.rows) == (LAST_BUT_ONE, rows)
    assert sealed.finished_at is not None


@pytest.mark.parametrize(
    "point",
    [
        *("rollup.before_commit", "rollup.between_hours", "rollup.before_mark"),
        *("rollup.day_before_commit", "rollup.between_days", "rollup.zone_adopted"),
    ],
)
def test_rollups_whose_process_is_killed_equal_the_ledger_in_the_end(books, process, point):
    HourlyRollup.objects.all().delete()
    rollups.Watermark.objects.update(at=None)
    assert process(ROLL_UP, failpoint=f"{point}:kill") == -signal.SIGKILL
    assert process(ROLL_UP) == 0
    assert process(ROLL_UP) == 0
    assert HourlyRollup.objects.exists()
    assert true()


@pytest.mark.postgresql
def test_a_row_that_comes_while_the_others_are_summed_up_is_sealed_with_them(books, monkeypatch):
    """And who brings it is not kept waiting."""
    drop, late = sealing._drop, [books.call(), books.call()]

    def slowly(month: datetime, *, rows: int) -> None:
        if late:
            with ThreadPoolExecutor(max_workers=1) as forwarder:
                assert forwarder.submit(forward).result(timeout=10) == 1
        drop(month, rows=rows)

    def forward() -> int:
        try:
            return len(ledger.post([late.pop()]))
        finally:
            connection.close()

    monkeypatch.setattr(sealing, "_drop", slowly)
    sealed = sealing.seal(LAST_BUT_ONE)
    assert (sealed.number, sealed.rows, sealed.cost_nano) == (1, 20, sums("cost_nano")["cost_nano"])
    assert not Entry.objects.exists()
    assert true()


@pytest.mark.postgresql
def test_a_month_that_rows_keep_coming_to_is_left_for_later(books, monkeypatch):
    drop = sealing._drop

    def slowly(month: datetime, *, rows: int) -> None:
        with ThreadPoolExecutor(max_workers=1) as forwarder:
            forwarder.submit(forward).result(timeout=10)
        drop(month, rows=rows)

    def forward() -> None:
        try:
            ledger.post([books.call()])
        finally:
            connection.close()

    monkeypatch.setattr(sealing, "_drop", slowly)
    with pytest.raises(sealing.Refused, match="still coming"):
        sealing.seal(LAST_BUT_ONE)
    assert not SealedMonth.objects.exists()
    settle()
    assert true()


@pytest.mark.postgresql
def test_a_row_that_comes_in_the_moment_of_the_drop_is_recorded_after_it(books, monkeypatch):
    """By the forwarder, which tries again whatever goes wrong."""
    late, found = books.call(), []

    def forward() -> None:
        try:
            found.append(len(ledger.post([late])))
        except DatabaseError as error:
            found.append(error)
        finally:
            connection.close()

    forwarder = threading.Thread(target=forward)

    def at_the_end(name: str) -> None:
        if name == "seal.before_commit":
            forwarder.start()
            wait_for_a_lock()

    monkeypatch.setattr(sealing, "failpoint", at_the_end)
    sealing.seal(LAST_BUT_ONE)
    forwarder.join(30)
    if found != [1]:
        assert isinstance(found[0], DatabaseError)
        assert len(ledger.post([late])) == 1
    assert Entry.objects.count() == 1
    settle()
    assert true()


def wait_for_a_lock() -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
                " WHERE NOT granted AND datname = current_database()"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")
