"""A database that says nothing any more is given up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from django.db import OperationalError, connection

from apps.gateway.configuration import Configuration
from apps.runtime import database
from apps.runtime.database import DatabaseThread, Patience

pytestmark = pytest.mark.postgresql  # SQLite is no network away


def _nothing_said() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SELECT pg_sleep(60)")


def _something() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 42")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_a_question_ends_when_patience_does_and_the_next_one_is_answered():
    async def ask() -> tuple[float, int]:
        thread = DatabaseThread("test", patience_seconds=0.3)
        try:
            begin = time.monotonic()
            with pytest.raises(OperationalError):
                await thread.ask(_nothing_said)
            return time.monotonic() - begin, await thread.ask(_something)
        finally:
            await thread.close()

    took, answer = asyncio.run(ask())
    assert 0.3 <= took < 20
    assert answer == 42


@pytest.mark.django_db(transaction=True)
def test_what_is_answered_in_time_is_cut_by_nobody(monkeypatch):
    timers: list[threading.Timer] = []

    class Noted(threading.Timer):
        def start(self) -> None:
            timers.append(self)
            super().start()

    async def ask() -> list[int]:
        thread = DatabaseThread("test", patience_seconds=600)
        try:
            return [await thread.ask(_something) for _ in range(5)]
        finally:
            await thread.close()

    monkeypatch.setattr(threading, "Timer", Noted)
    assert asyncio.run(ask()) == [42] * 5
    assert [timer.finished.is_set() for timer in timers] == [True] * 5, "they are cancelled"


@pytest.mark.django_db(transaction=True)
def test_a_timer_that_comes_too_late_does_not_cut_the_next_question(monkeypatch):
    timers: list[Callable[[], None]] = []

    class Late(threading.Timer):
        """Goes off when the test says so: as if its thread had had to wait for its turn."""

        def start(self) -> None:
            timers.append(lambda: self.function(*self.args))

    monkeypatch.setattr(threading, "Timer", Late)
    patience = Patience(0.0)
    with patience.asking():
        assert _something() == 42
    with patience.asking():
        timers[0]()
        assert _something() == 42


@pytest.mark.django_db(transaction=True)
def test_what_takes_long_altogether_is_cut_unless_each_statement_has_its_time():
    def long() -> None:
        for _ in range(5):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.2)")

    with Patience(0.5, each=True).asking():
        long()
    with pytest.raises(OperationalError), Patience(0.5).asking():
        long()
    connection.close()
    with pytest.raises(OperationalError), Patience(0.3, each=True).asking():
        _nothing_said()
    connection.close()


def _nothing_said_twice() -> None:
    with pytest.raises(OperationalError):
        _nothing_said()
    connection.close()
    _nothing_said()


@pytest.mark.django_db(transaction=True)
def test_who_closes_waits_for_no_long_patience_not_even_when_it_is_asked_anew(monkeypatch):
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.3)

    async def ask() -> None:
        thread = DatabaseThread("test", patience_seconds=600)
        asking = asyncio.create_task(thread.ask(_nothing_said_twice))
        await asyncio.sleep(0)  # it is asked before the end comes
        await thread.close()
        with pytest.raises(OperationalError):
            await asking

    _in_less_than_half_a_minute(ask())


@pytest.mark.django_db(transaction=True)
def test_what_is_asked_behind_the_end_is_answered_and_leaves_no_connection_open():
    async def ask() -> tuple[Any, Any]:
        thread = DatabaseThread("test")
        asking = asyncio.create_task(_asks_twice(thread, _driver))
        await asyncio.sleep(0)
        await thread.close()
        return await asking

    first, second = asyncio.run(ask())
    assert first is not second
    assert (first.closed, second.closed) == (True, True)


@pytest.mark.django_db(transaction=True)
def test_what_is_asked_behind_the_end_has_no_more_patience_than_what_was_asked_before(monkeypatch):
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.3)

    async def ask() -> None:
        thread = DatabaseThread("test", patience_seconds=600)
        asking = asyncio.create_task(_asks_twice(thread, _nothing_said))
        await asyncio.sleep(0)
        await thread.close()
        with pytest.raises(OperationalError):
            await asking

    _in_less_than_half_a_minute(ask())


def _driver() -> Any:
    _something()
    return connection.connection


async def _asks_twice(thread: DatabaseThread, second: Callable[[], Any]) -> tuple[Any, Any]:
    return await thread.ask(_driver), await thread.ask(second)


@pytest.mark.django_db(transaction=True)
def test_a_configuration_closes_though_nobody_takes_what_it_has_noted(monkeypatch):
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.3)

    async def close() -> None:
        configuration = Configuration(on_change=lambda: None)
        monkeypatch.setattr(configuration.uses, "flush", _nothing_said)
        with pytest.raises(OperationalError):
            await configuration.close()

    _in_less_than_half_a_minute(close())


def _in_less_than_half_a_minute(work: Coroutine[None, None, None]) -> None:
    """The statement itself would take a minute."""
    begin = time.monotonic()
    asyncio.run(work)
    assert time.monotonic() - begin < 30
