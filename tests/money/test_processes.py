"""What an operator sees of gateway processes before one of them is given up."""

from __future__ import annotations

import io
import re
import time
from datetime import timedelta

from django.core.management import call_command
from django.db import transaction
from django.db.models import F, Sum
from django.db.models.functions import Now

from apps.quotas import windows
from apps.quotas.models import BudgetWindow, Lease, Replica
from apps.usage import processes
from tests.money.books import budget, rule
from tests.money.test_reaper import known, running

CENTS = 10_000_000


def lease(name: str, amount: int, **fields) -> Lease:
    """Of a budget of its own, all of it, with its overdraft."""
    of = budget(amount, **fields)
    ask = windows.Ask(rule=rule(of), need=amount, demand=amount, unit=amount, credit=of.overdraft)
    epoch = Replica.objects.filter(name=name).values_list("epoch", flat=True).first() or windows.register(name)
    (grant,) = windows.acquire([ask], replica=name, epoch=epoch, now=time.time(), replicas=None)
    return Lease.objects.get(pk=grant.lease_id)


def unheard(name: str, *, seconds: int) -> None:
    Replica.objects.filter(name=name).update(heartbeat=Now() - timedelta(seconds=seconds))


def listed() -> list[list[str]]:
    out = io.StringIO()
    call_command("replica_lost", "--list", stdout=out)
    return [re.split(r" {2,}", line) for line in out.getvalue().splitlines()]


def test_every_process_is_listed_with_its_silence_its_epoch_and_what_it_holds(acme):
    lease("a", 300 * CENTS, tenant=acme)
    lease("b", 125 * CENTS, tenant=acme)
    windows.register("c")
    unheard("b", seconds=300)
    unheard("c", seconds=90_000)
    assert windows.fence() == ["b", "c"]
    heads, *rows = listed()
    assert heads == ["REPLICA", "STATE", "LAST HEARD", "EPOCH", "OPEN LEASES"]
    assert rows[0][0:2] + rows[0][3:] == ["a", "live", "1", "$3.00"]
    assert re.fullmatch(r"\d+ s ago|1 min ago", rows[0][2])
    assert rows[1:] == [["b", "silent", "5 min ago", "2", "$1.25"], ["c", "silent", "1 d ago", "2", "$0.00"]]


def test_who_may_be_given_up_is_silent_before_anybody_fenced_it(acme):
    lease("a", 300, tenant=acme)
    unheard("a", seconds=45)
    assert [one.state for one in processes.listed()] == ["live"]
    unheard("a", seconds=75)
    assert [(one.state, one.epoch) for one in processes.listed()] == [("silent", 1)]


def test_what_is_held_is_what_writing_it_off_would_free(acme):
    spent = lease("a", 700, tenant=acme, overdraft=200)
    with transaction.atomic():
        windows.charge([(spent.window_id, spent.pk, 150)])
    closed = lease("a", 400, tenant=acme)
    windows.release({closed.pk: windows.Keep(0, 0)})
    lease("a", 30, tenant=acme)
    lease("b", 5_000, tenant=acme)
    held = {one.name: one.held for one in processes.listed()}
    assert held == {"a": 700 - 150 + 200 + 30, "b": 5_000}
    assert sum(held.values()) == BudgetWindow.objects.aggregate(all=Sum(F("held") + F("credit")))["all"]
    assert windows.write_off("a", at_once=True) == held["a"]


def test_who_is_gone_is_listed_while_its_gap_is_open_or_calls_of_it_are(acme):
    known(running(budget(10_000, tenant=acme), count=1, name="ended"), name="ended")
    windows.depart("ended", known=[])
    lease("lost", 300, tenant=acme)
    windows.write_off("lost", at_once=True)
    windows.register("quiet end")
    windows.depart("quiet end", known=[])
    assert listed()[1:] == [["ended", "departed", "?", "?", "$0.00"], ["lost", "written off", "?", "?", "$0.00"]]
    assert processes.losable() == ["ended"]
    windows.retire("lost")
    assert [one.name for one in processes.listed()] == ["ended"]


def test_the_list_costs_three_queries(acme, django_assert_num_queries):
    for name in "abc":
        lease(name, 300, tenant=acme)
    with django_assert_num_queries(3):
        processes.listed()
