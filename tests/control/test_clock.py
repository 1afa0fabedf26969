"""Whose time it is when clocks differ."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import time_machine
from django.db import connection

from apps.runtime import clock

DAY = 86_400.0


@pytest.fixture(autouse=True)
def _set_right() -> Iterator[None]:
    yield
    clock._take(ours=time.time(), theirs=time.time(), asked_at=time.monotonic(), answered_at=time.monotonic())


def take(*, ahead: float, took: float = 0.0) -> None:
    asked_at = time.monotonic()
    clock._take(ours=time.time() + ahead, theirs=time.time() + took / 2, asked_at=asked_at, answered_at=asked_at + took)


@pytest.mark.parametrize("ahead", [-600.0, -5.0, 5.0, 40 * DAY])
def test_a_machine_that_is_measurably_off_goes_by_the_database(ahead):
    take(ahead=ahead)
    assert clock.now() == pytest.approx(time.time(), abs=0.2)
    assert clock.ahead() == pytest.approx(ahead, abs=0.2)


def test_what_may_be_the_way_there_and_back_is_no_difference():
    take(ahead=0.4, took=0.8)
    assert clock.ahead() == 0.0


def test_an_answer_that_was_long_on_its_way_tells_nothing():
    take(ahead=600.0)
    take(ahead=0.0, took=5.0)
    assert clock.ahead() == pytest.approx(600.0, abs=0.2)


def test_it_does_not_jump_when_the_machines_clock_is_set():
    before = clock.now()
    with time_machine.travel(time.time() - DAY, tick=True):
        assert 0 <= clock.now() - before < 5


@pytest.mark.django_db
def test_it_is_set_by_the_database_that_has_one_and_by_the_machine_where_that_has_none():
    with time_machine.travel(time.time() + DAY, tick=True):
        clock.compare()
        expected = 0.0 if connection.vendor == "postgresql" else DAY
    assert clock.now() - time.time() == pytest.approx(expected, abs=2.0)


@pytest.mark.django_db
@pytest.mark.postgresql  # SQLite has no clock of its own
def test_a_large_difference_is_told_once(caplog):
    with time_machine.travel(time.time() - 600, tick=True):
        clock.compare()
        clock.compare()
    assert caplog.text.count("clock is -600") == 1
