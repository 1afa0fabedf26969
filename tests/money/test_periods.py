"""Windows of budgets over borders of days, in zones far apart, and of fixed periods."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from functools import partial
from zoneinfo import ZoneInfo

import pytest

from apps.domain import errors
from apps.quotas import services as quotas
from apps.quotas.leases import LeaseBook
from apps.quotas.models import BudgetWindow
from apps.usage import ledger
from tests.money.books import budget, in_thread, rule, run
from tests.money.calls import intent, outcome


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


async def spend(book: LeaseBook, rules, *, amount: int, now: float) -> None:
    hold = await book.reserve(rules, amount=amount, now=now)
    book.settle(hold, amount=amount)
    await in_thread(ledger.post, [outcome(intent(hold=hold, at=now), cost=amount)])


def windows_of(found) -> list[tuple[str, str, int]]:
    rows = BudgetWindow.objects.filter(budget=found).order_by("starts")
    return [(f"{row.starts:%d %H:%M}", f"{row.ends:%d %H:%M}", row.settled) for row in rows]


@pytest.mark.parametrize("shared", [False, True])
def test_under_load_each_call_is_charged_to_the_day_it_began_in(acme, shared):
    """Calls that began before midnight end after it, between calls of the new day."""
    found = budget(1_000, tenant=acme, period="day")
    rules = [rule(found)]
    midnight = at("2026-11-22")

    async def caller(book: LeaseBook, number: int) -> None:
        now = midnight - 5 + number
        hold = await book.reserve(rules, amount=20, now=now)
        await asyncio.sleep(0.05 if now < midnight else 0.01)
        book.settle(hold, amount=10)
        await in_thread(ledger.post, [outcome(intent(hold=hold, at=now), cost=10)])

    async def scenario(*books: LeaseBook) -> None:
        for book in books:
            await book.start()
        await asyncio.gather(*(caller(book, number) for number in range(10) for book in books))

    count = 3 if shared else 1
    run(scenario, *(LeaseBook(f"replica {n}", shared=shared) for n in range(count)))
    assert windows_of(found) == [("21 00:00", "22 00:00", 50 * count), ("22 00:00", "23 00:00", 50 * count)]
    assert not BudgetWindow.objects.exclude(held=0, credit=0, overrun=0).exists()


@pytest.mark.parametrize(
    ("zone", "borders"),
    [
        ("Pacific/Kiritimati", [("20 10:00", "21 10:00"), ("21 10:00", "22 10:00")]),  # UTC+14
        ("Etc/GMT+12", [("20 12:00", "21 12:00"), ("21 12:00", "22 12:00")]),  # UTC-12
        ("Asia/Kathmandu", [("20 18:15", "21 18:15"), ("21 18:15", "22 18:15")]),
    ],
)
def test_a_day_begins_at_local_midnight_however_far_away(acme, zone, borders):
    found = budget(100, tenant=acme, period="day", timezone=zone)
    rules = [rule(found)]
    border = at(f"2026-11-{borders[1][0]}:00".replace(" ", "T"))

    async def scenario(book: LeaseBook) -> None:
        await spend(book, rules, amount=100, now=border - 1)
        await spend(book, rules, amount=100, now=border)

    run(scenario, LeaseBook("one", shared=False))
    assert windows_of(found) == [(*found_borders, 100) for found_borders in borders]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_on_which_clocks_change_has_one_window_of_its_own_length(acme, day, hours):
    found = budget(100, tenant=acme, period="day", timezone="Europe/Berlin")
    rules = [rule(found)]
    begins = at(day, "Europe/Berlin")

    async def scenario(book: LeaseBook) -> None:
        for hour in range(hours):
            await spend(book, rules, amount=1, now=begins + hour * 3600)
        await spend(book, rules, amount=1, now=begins + hours * 3600)

    run(scenario, LeaseBook("one", shared=False))
    first, second = BudgetWindow.objects.filter(budget=found).order_by("starts")
    assert (first.settled, second.settled) == (hours, 1)
    assert first.ends == second.starts
    assert (first.ends - first.starts).total_seconds() == hours * 3600


def test_a_moved_time_zone_leaves_neither_a_gap_nor_money_twice(acme):
    """New York's day ends at 05:00 UTC; from then on Tokyo's, which began before, goes on from there."""
    found = budget(100, tenant=acme, period="day", timezone="America/New_York")

    async def scenario(book: LeaseBook) -> None:
        before = await in_thread(rule, found)
        await spend(book, [before], amount=60, now=at("2026-11-21T23:00"))
        await in_thread(quotas.update_budget, found, actor=None, timezone="Asia/Tokyo")
        after = await in_thread(rule, found)
        await spend(book, [after], amount=40, now=at("2026-11-22T04:59"))
        with pytest.raises(errors.BudgetExhausted):
            await book.reserve([after], amount=1, now=at("2026-11-22T04:59"))
        await spend(book, [after], amount=100, now=at("2026-11-22T05:00"))
        await spend(book, [after], amount=100, now=at("2026-11-22T15:00"))

    run(scenario, LeaseBook("one", shared=False))
    assert windows_of(found) == [
        ("21 05:00", "22 05:00", 100),
        ("22 05:00", "22 15:00", 100),
        ("22 15:00", "23 15:00", 100),
    ]


def fixed(acme, first: date, last: date, **fields):
    return budget(100, tenant=acme, period="fixed", starts_on=first, ends_on=last, timezone="Europe/Berlin", **fields)


def test_a_fixed_period_is_one_window_with_nothing_before_and_nothing_after(acme):
    found = fixed(acme, date(2026, 11, 1), date(2026, 12, 24))
    rules = [rule(found)]
    told = {}

    async def scenario(book: LeaseBook) -> None:
        for when in ("2026-10-31T22:59", "2026-12-24T23:00"):
            with pytest.raises(errors.BudgetExhausted) as caught:
                await book.reserve(rules, amount=1, now=at(when))
            told[when] = (caught.value.message, caught.value.retry_after)
        await spend(book, rules, amount=60, now=at("2026-10-31T23:00"))
        with pytest.raises(errors.BudgetExhausted, match="ends 2026-12-25 00:00 Europe/Berlin") as caught:
            await book.reserve(rules, amount=60, now=at("2026-12-24T22:59"))
        assert caught.value.retry_after is None
        await spend(book, rules, amount=40, now=at("2026-12-24T22:59"))

    run(scenario, LeaseBook("one", shared=False))
    assert windows_of(found) == [("31 23:00", "24 23:00", 100)]
    assert told == {
        "2026-10-31T22:59": ("the budget of this tenant begins at 2026-11-01 00:00 Europe/Berlin", 60.0),
        "2026-12-24T23:00": ("the budget of this tenant ended at 2026-12-25 00:00 Europe/Berlin", None),
    }


def test_a_fixed_period_that_is_made_longer_goes_on_with_what_is_left(acme):
    found = fixed(acme, date(2026, 11, 1), date(2026, 11, 20))
    now = at("2026-11-21T12:00")

    async def scenario(book: LeaseBook, *, ends_on: date) -> None:
        await spend(book, [await in_thread(rule, found)], amount=70, now=at("2026-11-20T12:00"))
        await in_thread(quotas.update_budget, found, actor=None, ends_on=ends_on)
        after = [await in_thread(rule, found)]
        await spend(book, after, amount=30, now=now)
        with pytest.raises(errors.BudgetExhausted, match="spend limit reached"):
            await book.reserve(after, amount=1, now=now)

    run(partial(scenario, ends_on=date(2026, 11, 30)), LeaseBook("one", shared=False))
    assert windows_of(found) == [("31 23:00", "30 23:00", 100)]


def test_a_fixed_period_that_is_made_shorter_ends_then(acme):
    found = fixed(acme, date(2026, 11, 1), date(2026, 11, 30))
    now = at("2026-11-21T12:00")

    async def scenario(book: LeaseBook) -> None:
        await spend(book, [await in_thread(rule, found)], amount=10, now=now)
        await in_thread(quotas.update_budget, found, actor=None, ends_on=date(2026, 11, 20))
        after = [await in_thread(rule, found)]
        with pytest.raises(errors.BudgetExhausted, match="ended at 2026-11-21 00:00"):
            await book.reserve(after, amount=1, now=now)

    run(scenario, LeaseBook("one", shared=False))


def test_weeks_and_months_each_have_a_row_of_their_own(acme):
    weekly, monthly = budget(10, tenant=acme, period="week"), budget(10, tenant=acme)
    moments = [at("2026-11-29T23:59"), at("2026-11-30T00:00"), at("2026-12-01T00:00")]

    async def scenario(book: LeaseBook) -> None:
        for now in moments:
            await spend(book, [await in_thread(rule, weekly), await in_thread(rule, monthly)], amount=5, now=now)

    run(scenario, LeaseBook("one", shared=False))
    assert windows_of(weekly) == [("23 00:00", "30 00:00", 5), ("30 00:00", "07 00:00", 10)]
    assert windows_of(monthly) == [("01 00:00", "01 00:00", 10), ("01 00:00", "01 00:00", 5)]
