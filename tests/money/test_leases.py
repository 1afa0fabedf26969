"""Budgets in memory, against the database's windows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import OperationalError
from django.db.models import F
from django.utils import timezone

from apps.domain import errors
from apps.quotas import services as quotas
from apps.quotas import windows
from apps.quotas.leases import Hold, LeaseBook
from apps.quotas.models import Budget, BudgetWindow, Gap, Lease, Replica
from apps.tenants import services as tenants
from apps.usage import ledger
from tests import factories
from tests.money.books import NOW, at_once, budget, in_thread, race, rule, run, standing, window
from tests.money.calls import intent, outcome


def test_it_asks_the_database_once_and_then_no_more(acme):
    rules = [rule(budget(1_000, tenant=acme))]

    async def scenario(book: LeaseBook) -> None:
        await book.reserve(rules, amount=10, now=NOW)
        for _ in range(99):
            at_once(book.reserve(rules, amount=10, now=NOW))

    run(scenario, LeaseBook("one", shared=False))


def test_all_budgets_are_reserved_or_none(acme):
    project = factories.project(acme, "Website")
    wide, narrow = budget(1_000, tenant=acme), budget(50, project=project)
    rules = [rule(wide), rule(narrow)]

    async def scenario(book: LeaseBook) -> int:
        assert len(await race(book, rules, amount=50, tasks=20)) == 1
        return len(await race(book, rules[:1], amount=50, tasks=40))

    assert run(scenario, LeaseBook("one", shared=False)) == 19


def test_what_was_reserved_and_not_spent_is_free_again_at_once(acme):
    rules = [rule(budget(100, tenant=acme))]

    async def scenario(book: LeaseBook) -> None:
        hold = await book.reserve(rules, amount=100, now=NOW)
        book.settle(hold, amount=30)
        book.settle(hold, amount=30)
        at_once(book.reserve(rules, amount=70, now=NOW))
        with pytest.raises(errors.BudgetExhausted):
            await book.reserve(rules, amount=1, now=NOW)

    run(scenario, LeaseBook("one", shared=False))


def test_a_stream_may_outgrow_its_reservation_only_as_far_as_the_lease_reaches(acme):
    rules = [rule(budget(100, tenant=acme))]

    async def scenario(book: LeaseBook) -> None:
        hold = await book.reserve(rules, amount=60, now=NOW)
        assert book.extend(hold, amount=40)
        assert not book.extend(hold, amount=1)
        book.settle(hold, amount=50)
        assert not book.extend(hold, amount=1)
        at_once(book.reserve(rules, amount=50, now=NOW))

    run(scenario, LeaseBook("one", shared=False))


def test_spending_over_the_reservation_is_booked_whole_and_ends_the_budget(acme):
    found = budget(100, tenant=acme)
    rules = [rule(found)]

    async def scenario(book: LeaseBook) -> Hold:
        hold = await book.reserve(rules, amount=60, now=NOW)
        book.settle(hold, amount=130)
        with pytest.raises(errors.BudgetExhausted):
            await book.reserve(rules, amount=1, now=NOW)
        await in_thread(ledger.post, [outcome(intent(hold=hold), cost=130)])
        return hold

    run(scenario, LeaseBook("one", shared=False))
    assert standing(found) == (130, 0)


def test_each_period_is_a_new_window_and_the_old_one_keeps_what_was_spent(acme):
    found = budget(100, tenant=acme, period="day")
    rules = [rule(found)]
    tomorrow = NOW + 86_400

    async def scenario(book: LeaseBook) -> list[Hold]:
        today = await book.reserve(rules, amount=100, now=NOW)
        next_day = await book.reserve(rules, amount=100, now=tomorrow)
        book.settle(today, amount=80)
        book.settle(next_day, amount=10)
        with pytest.raises(errors.BudgetExhausted):
            await book.reserve(rules, amount=91, now=tomorrow)
        posts = [outcome(intent(hold=today), cost=80), outcome(intent(hold=next_day), cost=10)]
        await in_thread(ledger.post, posts)
        return [today, next_day]

    run(scenario, LeaseBook("one", shared=False))
    rows = BudgetWindow.objects.filter(budget=found).order_by("starts").values_list("settled", "held")
    assert list(rows) == [(80, 0), (10, 0)]


def test_a_late_call_of_an_earlier_period_does_not_make_spent_money_new(acme):
    rules = [rule(budget(100, tenant=acme, period="day"))]

    async def scenario(book: LeaseBook, *, tidy: bool) -> int:
        spent = 0
        for _ in range(3):
            with contextlib.suppress(errors.BudgetExhausted):
                hold = await book.reserve(rules, amount=60, now=NOW)
                book.settle(hold, amount=60)
                spent += 60
                await in_thread(ledger.post, [outcome(intent(hold=hold), cost=60)])
            book.settle(await book.reserve(rules, amount=1, now=NOW - 86_400), amount=1)
            if tidy:  # the lease is closed, as all that was spent is in the ledger
                await book._tidy(NOW)
        return spent

    assert run(partial(scenario, tidy=False), LeaseBook("one", shared=False)) == 60
    BudgetWindow.objects.all().delete()
    assert run(partial(scenario, tidy=True), LeaseBook("two", shared=False)) == 60


def test_a_call_that_is_cancelled_while_it_asks_leaves_no_money_behind(acme, monkeypatch):
    found = budget(100, tenant=acme)
    acquire = windows.acquire
    is_asking, may_go_on = threading.Event(), threading.Event()

    def slowly(*arguments, **named):
        is_asking.set()
        may_go_on.wait(10)
        return acquire(*arguments, **named)

    monkeypatch.setattr(windows, "acquire", slowly)

    async def scenario(book: LeaseBook) -> None:
        task = asyncio.create_task(book.reserve(rules, amount=1, now=NOW))
        await asyncio.to_thread(is_asking.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    rules = [rule(found)]
    run(scenario, LeaseBook("one", shared=False))
    assert standing(found) == (0, 0)


def test_a_stream_that_ends_while_it_asks_for_more_leaves_that_to_the_next_call(acme, monkeypatch):
    found = budget(100, tenant=acme)
    rules = [rule(found)]
    acquire = windows.acquire
    is_asking, may_go_on = threading.Event(), threading.Event()

    def slowly(*arguments, **named):
        is_asking.set()
        may_go_on.wait(10)
        return acquire(*arguments, **named)

    async def scenario(book: LeaseBook) -> None:
        hold = await book.reserve(rules, amount=20, now=NOW)
        await asyncio.gather(*book._fetching)
        monkeypatch.setattr(windows, "acquire", slowly)
        task = asyncio.create_task(book.extend_by_asking(hold, amount=60))
        await asyncio.to_thread(is_asking.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        at_once(book.reserve(rules, amount=60, now=NOW))

    run(scenario, LeaseBook("one", shared=True))


@pytest.mark.parametrize("fenced", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_what_was_granted_with_an_answer_that_was_lost_comes_back(acme, monkeypatch, fenced, known):
    found = budget(100, tenant=acme)
    rules = [rule(found)]
    acquire = windows.acquire

    def unheard(*arguments, **named):
        acquire(*arguments, **named)
        raise OperationalError("the connection was cut")

    async def scenario(book: LeaseBook) -> None:
        spent = 0
        if known:
            spent = 20
            book.settle(await book.reserve(rules, amount=spent, now=NOW), amount=spent)
            await asyncio.gather(*book._fetching)
        with monkeypatch.context() as patch:
            patch.setattr(windows, "acquire", unheard)
            with pytest.raises(errors.Unavailable):
                await book.reserve(rules, amount=60, now=NOW)
        if fenced:
            await in_thread(Replica.objects.update, epoch=F("epoch") + 1, fenced_at=timezone.now())
            with pytest.raises(windows.Fenced):
                await book._authority.beat()
        await book._tidy(NOW)
        assert await in_thread(standing, found) == (0, spent)

    run(scenario, LeaseBook("one", shared=True))


def test_closing_returns_what_is_not_spent(acme):
    found = budget(1_000, tenant=acme)
    rules = [rule(found)]

    async def scenario(book: LeaseBook) -> None:
        hold = await book.reserve(rules, amount=100, now=NOW)
        book.settle(hold, amount=40)
        await in_thread(ledger.post, [outcome(intent(hold=hold), cost=40)])

    run(scenario, LeaseBook("one", shared=False))
    assert standing(found) == (40, 0)
    assert not Lease.objects.exists()
    assert not Replica.objects.exists()


def test_what_is_spent_but_not_in_the_ledger_yet_stays_held_at_closing(acme):
    found = budget(1_000, tenant=acme)
    rules = [rule(found)]

    async def scenario(book: LeaseBook) -> Hold:
        hold = await book.reserve(rules, amount=100, now=NOW)
        book.settle(hold, amount=40)
        return hold

    hold = run(scenario, LeaseBook("one", shared=False))
    assert standing(found) == (0, 40)
    ledger.post([outcome(intent(hold=hold), cost=40)])
    assert standing(found) == (40, 0)
    windows.retire("one")
    assert standing(found) == (40, 0)


def test_a_lowered_budget_is_obeyed_although_all_of_it_was_leased(acme):
    found = budget(1_000, tenant=acme)

    async def scenario(book: LeaseBook) -> None:
        before = await in_thread(rule, found)
        book.settle(await book.reserve([before], amount=100, now=NOW), amount=100)
        await in_thread(quotas.update_budget, found, actor=None, amount=150)
        after = await in_thread(rule, found)
        assert len(await race(book, [after], amount=10, tasks=50)) == 5

    run(scenario, LeaseBook("one", shared=False))
    assert window(found).limit == 150


def test_a_raised_budget_is_noticed_at_once(acme):
    found = budget(100, tenant=acme)

    async def scenario(book: LeaseBook) -> None:
        assert len(await race(book, [await in_thread(rule, found)], amount=10, tasks=50)) == 10
        await in_thread(quotas.update_budget, found, actor=None, amount=150)
        assert len(await race(book, [await in_thread(rule, found)], amount=10, tasks=50)) == 5

    run(scenario, LeaseBook("one", shared=False))


def test_a_budget_that_was_just_switched_off_does_not_restrain(acme):
    found = budget(100, tenant=acme)

    async def scenario(book: LeaseBook) -> None:
        stale = await in_thread(rule, found)
        await in_thread(quotas.disable, found, actor=None)
        hold = await book.reserve([stale], amount=500, now=NOW)
        assert hold.windows == ()

    run(scenario, LeaseBook("one", shared=False))


def test_a_new_time_zone_does_not_begin_a_budget_anew(acme):
    found = budget(100, tenant=acme)

    async def scenario(book: LeaseBook, *, amount: int) -> None:
        hold = await book.reserve([await in_thread(rule, found)], amount=amount, now=NOW)
        book.settle(hold, amount=amount)
        await in_thread(ledger.post, [outcome(intent(hold=hold), cost=amount)])

    run(partial(scenario, amount=100), LeaseBook("before", shared=False))
    tenants.update_tenant(acme, actor=None, timezone="Asia/Tokyo")
    with pytest.raises(errors.BudgetExhausted):
        run(partial(scenario, amount=1), LeaseBook("after", shared=False))
    assert Budget.objects.get(pk=found.pk).windows.count() == 1


def test_a_replica_that_was_taken_for_dead_starts_anew_under_a_new_epoch(acme):
    rules = [rule(budget(100, tenant=acme))]

    async def scenario(book: LeaseBook) -> None:
        first = await book.reserve(rules, amount=10, now=NOW)
        await in_thread(_fence, "one")
        with pytest.raises(errors.BudgetExhausted):  # all is still held by the lease of the old epoch
            await book.reserve(rules, amount=100, now=NOW)
        assert book._authority.epoch == 2
        book.settle(first, amount=10)

    run(scenario, LeaseBook("one", shared=False))


def _fence(name: str) -> None:
    Replica.objects.filter(name=name).update(heartbeat=datetime(2020, 1, 1, tzinfo=UTC))
    assert windows.fence() == [name]
    assert Replica.objects.get(name=name).fenced_at is not None


def test_the_leases_of_a_dead_replica_are_freed_after_the_quarantine_and_not_before(acme):
    found = budget(100, tenant=acme)
    ask = windows.Ask(rule=rule(found), need=60, demand=60, unit=60)
    windows.acquire([ask], replica="dead", epoch=windows.register("dead"), now=NOW, replicas=2)
    _fence("dead")
    assert windows.overdue() == []
    assert windows.write_off("dead") == 0
    assert standing(found) == (0, 60)
    Replica.objects.filter(name="dead").update(fenced_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert windows.overdue() == ["dead"]
    assert windows.write_off("dead") == 60
    assert standing(found) == (0, 0)
    assert list(Gap.objects.values_list("replica", "amount", "closed_at")) == [("dead", 60, None)]


def test_a_gap_is_closed_when_the_journal_turns_up_after_all(acme):
    ask = windows.Ask(rule=rule(budget(100, tenant=acme)), need=60, demand=60, unit=60)
    windows.acquire([ask], replica="dead", epoch=windows.register("dead"), now=NOW, replicas=2)
    assert windows.write_off("dead", at_once=True) == 60
    windows.retire("dead")
    assert Gap.objects.get().closed_at is not None


def test_a_late_outcome_of_a_lease_that_is_gone_is_still_counted(acme):
    found = budget(100, tenant=acme)
    ask = windows.Ask(rule=rule(found), need=60, demand=60, unit=60)
    (grant,) = windows.acquire([ask], replica="dead", epoch=windows.register("dead"), now=NOW, replicas=2)
    windows.retire("dead")
    late = intent(windows=(grant.window_id,), leases=(grant.lease_id,))
    ledger.post([outcome(late, cost=25)])
    assert standing(found) == (25, 0)


def test_no_budget_needs_no_database():
    book = LeaseBook("none", shared=False)

    async def scenario(found: LeaseBook) -> None:
        at_once(found.reserve([], amount=10, now=time.time()))

    run(scenario, book)
