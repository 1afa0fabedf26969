"""Refused calls in the database: each batch once, sums over processes, a bounded number of rows, forgotten in time."""

from __future__ import annotations

import datetime
import threading
import uuid

import pytest
from django.db import connections
from django.utils import timezone

from apps.domain.snapshot import Principal
from apps.gateway import tally as tallies
from apps.gateway.tally import Tally
from apps.usage import refusals, tasks
from apps.usage.models import Refusal, RefusalsTold, RefusedCall

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)
NOON = datetime.datetime(2026, 5, 4, 12, 30, tzinfo=datetime.UTC)
WHOSE = Principal(key_id=3, public_id="abc", tenant_id=1, project_id=2, user_id=4)


def noted(
    tally: Tally, *, whose: Principal = WHOSE, at: datetime.datetime = NOON, reason: str = "requests", model: str = "m"
) -> None:
    told = {"request_id": uuid.uuid4(), "wanted": model, "endpoint": "messages", "address": "10.0.0.1"}
    tally.note(whose, reason, status=429, at=at.timestamp(), model=model, agent=b"test/1", **told)


def written(tally: Tally, *, replica: str = "one") -> bool:
    batch = tally.take()
    assert batch is not None
    done = refusals.write(replica, batch)
    tally.done()
    return done


def test_counts_are_sums_and_a_batch_that_is_sent_again_adds_nothing():
    tally = Tally()
    for _ in range(3):
        noted(tally)
    noted(tally, at=NOON + datetime.timedelta(minutes=1), reason="budget", model="")
    batch = tally.take()
    assert batch is not None
    assert refusals.write("one", batch)
    noted(tally, at=NOON + datetime.timedelta(minutes=2))
    assert tally.take() is batch, "what nobody has confirmed"
    assert not refusals.write("one", batch)
    tally.done()
    assert written(tally)
    assert not tally
    rows = {row.reason: row for row in Refusal.objects.all()}
    assert {word: row.count for word, row in rows.items()} == {"requests": 4, "budget": 1}
    first = rows["requests"]
    assert (first.hour, first.first_at, first.last_at) == (
        NOON.replace(minute=0),
        NOON,
        NOON + datetime.timedelta(minutes=2),
    )
    assert (first.tenant_id, first.project_id, first.user_id, first.key_id, first.model_name) == (1, 2, 4, 3, "m")
    assert RefusedCall.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_processes_that_write_at_once_lose_and_add_nothing():
    keys = [Principal(key_id=pk, public_id="x", tenant_id=1, project_id=2, user_id=None) for pk in range(1, 8)]
    failures: list[BaseException] = []

    def work(name: str, order: int) -> None:
        tally = Tally()
        try:
            for turn in range(12):
                for key in keys[::order]:
                    noted(tally, whose=key, reason=("requests", "tokens")[turn % 2])
                tally.unknown("nameless", status=401, at=NOON.timestamp())
                batch = tally.take()
                assert batch is not None
                for _ in range(1 + turn % 2):  # now and then nobody hears that it was done
                    refusals.write(name, batch)
                tally.done()
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(f"process {order}", order)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert refusals.count(NOON, tenant_id=1) == 2 * 12 * len(keys)
    assert refusals.count(NOON) == 2 * 12 * len(keys) + 24
    assert Refusal.objects.count() == 2 * len(keys) + 1
    assert RefusedCall.objects.count() <= tallies.PLACES * len(keys)


def test_a_flood_is_a_few_rows_however_it_is_varied(monkeypatch):
    monkeypatch.setattr(tallies, "MOST_OF_A_CALLER", 4)
    monkeypatch.setattr(tallies, "MOST", 10)
    tally = Tally()
    for number in range(300):
        noted(tally, model=f"model-{number}")
    assert written(tally)
    assert Refusal.objects.filter(key_id=3).count() == 5, "four apart, and the rest without their models"
    assert RefusedCall.objects.count() == 5
    for key in range(100, 300):
        noted(tally, whose=Principal(key_id=key, public_id="x", tenant_id=1, project_id=2, user_id=None))
    assert written(tally)
    assert Refusal.objects.exclude(key_id=None).count() == 11
    assert refusals.count(NOON, tenant_id=1) == 500, "what is not told apart is counted all the same"
    for _ in range(30):
        noted(tally)
        assert written(tally)
    assert RefusedCall.objects.filter(key_id=3).count() == tallies.PLACES


def test_the_newest_of_each_caller_are_kept():
    tally = Tally()
    for minute in range(tallies.PLACES + 5):
        noted(tally, at=NOON + datetime.timedelta(minutes=minute))
        assert written(tally)
    found = RefusedCall.objects.filter(key_id=3).order_by("-at").values_list("at", flat=True)
    assert [at.minute for at in found] == [(30 + minute) % 60 for minute in range(tallies.PLACES + 4, 4, -1)]
    late = Tally()
    late._places[3] = tally._places[3]
    noted(late, at=NOON - DAY)
    assert written(late, replica="another")
    assert RefusedCall.objects.filter(at__gte=NOON).count() == tallies.PLACES, "nothing older takes a place"


def test_sums_are_of_whom_they_are_asked_of_only():
    tally = Tally()
    other = Principal(key_id=9, public_id="x", tenant_id=1, project_id=2, user_id=5)
    noted(tally)
    noted(tally, whose=other, reason="budget")
    noted(tally, whose=other, reason="budget")
    noted(tally, whose=Principal(key_id=8, public_id="x", tenant_id=7, project_id=2, user_id=5), reason="budget")
    noted(tally, at=NOON - 2 * DAY)
    assert written(tally)
    found = refusals.by_reason(NOON, tenant_id=1)
    assert [(group.word, group.times, group.keys) for group in found] == [("budget", 2, 1), ("requests", 1, 1)]
    assert [group.word for group in refusals.by_reason(NOON, tenant_id=1, user_id=4)] == ["requests"]
    assert refusals.count(NOON - 3 * DAY, key_id=3) == 2
    parts = refusals.by_key(NOON, most=10, tenant_id=1)
    assert [(part.times, part.model, part.status, part.key) for part in parts] == [
        (2, "m", 429, None),
        (1, "m", 429, None),
    ]
    assert set(refusals.newest_of(NOON, [1])) == {(1, 4), (1, 5)}


def test_what_is_old_is_forgotten():
    tally, now = Tally(), timezone.now()
    for at in (now, now - refusals.CALLS_KEPT - DAY, now - refusals.KEPT - DAY):
        noted(tally, at=at)
        assert written(tally)
    RefusalsTold.objects.update(at=now - 2 * DAY)
    tasks.forget_refusals()
    assert (Refusal.objects.count(), RefusedCall.objects.count(), RefusalsTold.objects.count()) == (2, 1, 0)
    tasks.forget_refusals()
    assert Refusal.objects.count() == 2
