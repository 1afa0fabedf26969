"""Prices that are carried into a month while it is sealed: its calls are repriced before, or not at all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from apps.usage import ledger, repricing, sealing
from apps.usage.books import verify
from apps.usage.models import Entry, Kind
from tests import factories
from tests.control.ledgers import Books, settle
from tests.control.test_sealing import LAST_BUT_ONE, OLD
from tests.money.books import in_thread, run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def books(transactional_db) -> Books:
    """An old month whose price was wrong."""
    made = Books(at=OLD)
    made.fill()
    ledger.post([made.resolved(doubt) for doubt in made.doubts])
    settle()
    factories.price(
        made.price.deployment, effective_from=OLD - timedelta(days=1), is_correction=True, input=1, output=1
    )
    return made


@contextmanager
def halted(place: str, *, after: Callable[[], Any]) -> Iterator[None]:
    """Of this thread's statements, the first that has the place in it."""
    todo = [after]

    def wrapper(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        found = execute(sql, parameters, many, context)
        if place in sql and todo:
            todo.pop()()
        return found

    with connection.execute_wrapper(wrapper):
        yield


def test_what_is_sealed_after_it_was_looked_at_is_not_repriced(books):
    looked, sealed = threading.Event(), threading.Event()

    def reprice() -> repricing.Report:
        with halted('"kind" >= %s', after=lambda: (looked.set(), sealed.wait(30))):
            return repricing.reprice([books.price.deployment_id], since=OLD - timedelta(days=2))

    def seal() -> int:
        assert looked.wait(30)
        month = sealing.seal(LAST_BUT_ONE)
        sealed.set()
        return month.rows

    async def scenario() -> tuple[repricing.Report, int]:
        return await asyncio.gather(in_thread(reprice), in_thread(seal))

    report, rows = run(scenario)
    assert rows > 0
    assert report.attempts > 0
    assert report.models == {}
    assert not Entry.objects.filter(kind=Kind.REPRICE).exists()
    assert verify.run().violations == 0


@pytest.mark.sqlite
def test_who_reprices_a_database_that_somebody_else_has_is_told_in_a_line_and_nothing_is_half(books):
    before = Entry.objects.count()
    taken, refused = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            taken.set()
            assert refused.wait(30)

    def reprice() -> None:
        assert taken.wait(30)
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 10")
        try:
            with pytest.raises(CommandError, match="Cut short, run it again: database is locked") as cut:
                call_command("reprice", since=OLD - timedelta(days=2), deployment=books.price.deployment_id)
            assert cut.value.returncode == 2
        finally:
            refused.set()

    async def scenario() -> None:
        await asyncio.gather(in_thread(hold), in_thread(reprice))

    run(scenario)
    assert Entry.objects.count() == before
    assert verify.run().violations == 0
