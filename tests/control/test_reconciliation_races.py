"""Workers at the same adjustment. What they write is committed."""

from __future__ import annotations

import threading

from django.db import connection
from django.db.models import Sum

from apps.domain import money
from apps.reconciliation import posting, services
from apps.reconciliation.models import AdjustedDay, Adjustment
from apps.usage.models import Entry, Kind
from tests.control.reports import Office, billed


def test_workers_that_race_post_once_and_take_back_once(transactional_db):
    office = Office()
    office.calls()
    report = office.upload(billed(5 * office.cost + money.NANO))
    made = services.post(report, actor=office.actor, version=1, statuses=services.USUAL)
    assert _at_once(posting.post, made) == []
    rows = Entry.objects.filter(kind=Kind.ADJUSTMENT)
    assert rows.aggregate(total=Sum("cost_nano"))["total"] == office.cost + money.NANO
    assert made.items.get().state == AdjustedDay.State.POSTED
    count = rows.count()
    services.take_back(made, actor=office.actor)
    assert _at_once(posting.take_back, made) == []
    assert (rows.count(), rows.aggregate(total=Sum("cost_nano"))["total"]) == (2 * count, 0)


def _at_once(do, made):
    """By four threads. Returns what went wrong."""
    start, failures = threading.Barrier(4), []

    def run():
        try:
            start.wait(30)
            do(Adjustment.objects.get(pk=made.pk))
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return failures
