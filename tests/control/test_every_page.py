"""Every page that there is, at a thousandth of the size that `make bench-pages` measures: none asks more than 25
questions, none answers with an error, and none reads a month of the ledger from beginning to end.

The list is the benchmark's, without filters. Plans are asked for without sequential scans wherever there is another
way, as tables of this size are read whole by any planner: what is left of them has no other way.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from benchmarks import opening
from benchmarks.opening import Opened
from benchmarks.pages import MOST_QUERIES
from benchmarks.sights import Sight
from benchmarks.walking import FINE, Walk

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]
SIZES = {"tenants": 2, "keys": 1_000, "entries": 20_000, "days": 2, "seed": 1}
Found = dict[Sight, Opened]


@pytest.fixture(scope="module")
def walked(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Found]:
    """What each page asks, in a transaction around those of the tests."""
    block = transaction.atomic()
    with django_db_blocker.unblock():
        block.__enter__()
        try:
            call_command("seed_scale", **SIZES, verbosity=0)
            yield dict(Walk("owner", "developer", is_short=True).sights())
        finally:
            transaction.set_rollback(True)
            block.__exit__(None, None, None)


def test_every_page_opens(walked: Found) -> None:
    assert len(walked) > 150
    assert {sight.url: opened.status for sight, opened in walked.items() if opened.status not in FINE} == {}


def test_no_page_asks_more_than_it_may(walked: Found) -> None:
    asked = {sight.url: _questions(opened) for sight, opened in walked.items() if not sight.is_file}
    assert {url: count for url, count in asked.items() if count > MOST_QUERIES} == {}


def _questions(opened: Opened) -> int:
    return sum(not asked.sql.startswith(("SAVEPOINT", "RELEASE")) for asked in opened.asked)


def test_no_page_reads_the_ledger_whole(walked: Found) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plans: dict[str, tuple[str, str]] = {}
    for sight, opened in walked.items():
        for shape, sql in opening.shapes(opened.asked):
            plans.setdefault(shape, (sight.url, sql))
    assert len(plans) > 20
    found = {url: opening.whole_reads(sql) for url, sql in plans.values()}
    assert {url: reads for url, reads in found.items() if reads} == {}
