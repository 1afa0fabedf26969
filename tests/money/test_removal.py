"""A budget that is deleted while the ledger moves what it counts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from apps.audit.models import Record
from apps.quotas import services as quotas
from apps.quotas.models import Budget, BudgetWindow, Lease
from apps.usage import ledger
from apps.usage.books import verify
from apps.usage.models import Entry
from tests.control.ledgers import Books
from tests.money.books import in_thread, run

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@contextmanager
def stopped_before(statement: str, *, by: Callable[[], Any]) -> Iterator[None]:
    """Of this thread's connection, the first that begins so."""
    todo = [by]

    def wrapper(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if sql.startswith(statement) and todo:
            todo.pop()()
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(wrapper):
        yield


def wait_until_somebody_waits() -> None:
    """For a lock, which the caller may have."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(_WAITING)
            if cursor.fetchone() != (0,):
                return
        time.sleep(0.01)
    raise AssertionError("nobody waited")


def test_who_deletes_a_budget_waits_for_what_is_being_posted_and_neither_for_the_other():
    books = Books()
    call = books.call()
    holds_window = threading.Event()

    def post() -> int:
        with stopped_before("UPDATE quotas_lease", by=lambda: (holds_window.set(), wait_until_somebody_waits())):
            return len(ledger.post([call]))

    def remove() -> None:
        assert holds_window.wait(30)
        quotas.remove(books.budget, actor=None)

    async def scenario() -> None:
        posted, _ = await asyncio.gather(in_thread(post), in_thread(remove))
        assert posted == 1

    run(scenario)
    assert Entry.objects.count() == 1
    assert not Budget.objects.exists()
    assert not BudgetWindow.objects.exists()
    assert not Lease.objects.exists()
    assert Record.objects.filter(action="budget.removed").count() == 1
    assert verify.run().violations == 0


def test_a_budget_that_is_changed_and_deleted_at_once_is_both_in_turn():
    books = Books()
    holds_budget = threading.Event()

    def change() -> None:
        with stopped_before('UPDATE "quotas_budget"', by=lambda: (holds_budget.set(), wait_until_somebody_waits())):
            quotas.update_budget(books.budget, actor=None, amount=7)

    def remove() -> None:
        assert holds_budget.wait(30)
        quotas.remove(Budget.objects.get(pk=books.budget.pk), actor=None)

    async def scenario() -> None:
        await asyncio.gather(in_thread(change), in_thread(remove))

    run(scenario)
    assert list(
        Record.objects.filter(action__startswith="budget.").order_by("pk").values_list("action", flat=True)
    ) == [
        "budget.created",
        "budget.updated",
        "budget.removed",
    ]
    assert not Budget.objects.exists()
