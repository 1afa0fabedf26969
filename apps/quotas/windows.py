"""The database's half of budgets: windows and leases, changed in short transactions. Synchronous.

The rule that keeps them true: whoever changes a window or one of its leases holds the window's row lock, and windows
are locked in the order of their ids. `held` is always the sum of what open leases have outstanding, `credit` that of
their credit, and settled + held + credit is at most ceiling + overrun.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from apps.domain.limits import budget as periods
from apps.domain.limits import credit
from apps.domain.limits.credit import Keep, Room
from apps.domain.snapshot import Budget as BudgetRule
from apps.quotas import marks
from apps.quotas.models import Budget, BudgetWindow, Gap, Lease, Replica
from apps.runtime import clock

DEAD_AFTER = timedelta(seconds=60)
# Two missed beats: others take its share of rates before its money is touched.
QUIET_AFTER = timedelta(seconds=12)
QUARANTINE = timedelta(minutes=10)
WANTED_FOR = timedelta(seconds=2)
_NOTHING: Mapping[int, int] = MappingProxyType({})
_PAY_FROM_LEASE = (
    "UPDATE quotas_lease SET granted = granted + %s, settled = settled + %s, credit = credit - %s WHERE id = %s"
)
_BOOK = (
    "UPDATE quotas_budgetwindow SET settled = settled + %s, held = held - %s, credit = credit - %s,"
    " overrun = overrun + %s WHERE id = %s"
)


class Fenced(Exception):
    """This process was taken for dead: its epoch is over."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """`need`, `credit`, `demand`, `unit`, `unit_credit`: see `credit.Wish`, in addition to what the lease has. `keep`:
    give back first what exceeds this. `until`: when the budget's amount is another one."""

    rule: BudgetRule
    need: int
    demand: int
    unit: int
    credit: int = 0
    unit_credit: int = 0
    keep: Keep | None = None
    until: int | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Where a lease stands. `granted` is all that it ever got, of which `settled` is in the ledger, and `credit` what
    it has of the overdraft; `added` what it got now, `rest` what nobody holds, `away` what other replicas do. `until`:
    when the budget's amount is another one, before the window `ends`; `beyond`: what is spent and held over the amount,
    as it was more before.
    """

    budget_id: int
    window_id: int
    lease_id: int
    starts: int
    ends: int
    granted: int
    credit: int
    settled: int
    added: Room
    rest: Room
    away: Room
    until: int | None = None
    beyond: int = 0


def register(name: str) -> int:
    """This process as a replica; returns its epoch. A fenced one comes back under its new epoch."""
    replica, _ = Replica.objects.update_or_create(
        name=name, defaults={"heartbeat": Now(), "fenced_at": None}, create_defaults={"heartbeat": Now()}
    )
    return replica.epoch


def beat(name: str, *, epoch: int, standing: str = "", about: str = "") -> int:
    """Says that the process lives, what it is, and how its deployments stand. Returns how many do. Raises Fenced."""
    row = Replica.objects.filter(name=name, epoch=epoch)
    if not row.update(heartbeat=Now(), standing=standing, about=about):
        raise Fenced
    return Replica.objects.filter(heartbeat__gte=Now() - QUIET_AFTER, fenced_at=None).count()


@transaction.atomic
def acquire(asks: Sequence[Ask], *, replica: str, epoch: int, now: float, replicas: int | None) -> list[Grant]:
    """Moves money from windows to this replica's leases, nothing where there is less than needed.

    `replicas` None: there is no other process, so it gets all there is. Budgets that were deleted or switched off in
    this second have no grant. Raises Fenced.
    """
    beat_row = Replica.objects.filter(name=replica, epoch=epoch)
    if not beat_row.update(heartbeat=Now()):  # also locks the row, so that a reaper waits
        raise Fenced
    replica_id = beat_row.values_list("pk", flat=True).get()
    live = _in_force(asks, now=now)
    current = {ask.rule.id: _window_id(ask.rule, now=now) for ask in live}
    locked = _locked(current.values())
    owner = (replica_id, epoch)
    return [_grant(ask, locked[current[ask.rule.id]], owner=owner, replicas=replicas) for ask in live]


def _in_force(asks: Sequence[Ask], *, now: float) -> list[Ask]:
    """Under the terms of this moment: who asks may not have heard of them yet, or ask for a call of a while ago."""
    moment = datetime.fromtimestamp(max(now, clock.now()), UTC)
    budgets = Budget.objects.raised_at(moment).filter(pk__in=[ask.rule.id for ask in asks], is_enabled=True)
    terms = {budget.pk: budget for budget in budgets}
    return [
        _under(ask, terms[ask.rule.id]) for ask in sorted(asks, key=lambda ask: ask.rule.id) if ask.rule.id in terms
    ]


def _under(ask: Ask, terms: Any) -> Ask:
    rule = msgspec.structs.replace(ask.rule, amount=terms.in_force, overdraft=terms.overdraft)
    until = None if terms.raised_until is None else math.ceil(terms.raised_until.timestamp())
    return msgspec.structs.replace(ask, rule=rule, until=until)


def _window_id(rule: BudgetRule, *, now: float) -> int:
    """The window in force. It lasts to its end even if the time zone has changed, so that no money comes twice."""
    moment = datetime.fromtimestamp(now, UTC)
    windows = BudgetWindow.objects.filter(budget=rule.id)
    found = windows if rule.days is not None else windows.filter(starts__lte=moment, ends__gt=moment)
    window_id = found.values_list("pk", flat=True).first()
    if window_id is not None:
        return window_id
    span = periods.span_of(rule, now=now)
    starts, ends = (datetime.fromtimestamp(border, UTC) for border in (span.starts, span.ends))
    last = windows.filter(ends__gt=starts, ends__lte=moment).order_by("-ends").values_list("ends", flat=True).first()
    defaults = {"ends": ends, "limit": rule.amount, "ceiling": rule.amount + rule.overdraft}
    window, _ = BudgetWindow.objects.get_or_create(budget_id=rule.id, starts=last or starts, defaults=defaults)
    return window.pk


def _grant(ask: Ask, window: BudgetWindow, *, owner: tuple[int, int], replicas: int | None) -> Grant:
    """Of a window whose row is locked."""
    replica_id, epoch = owner
    lease, _ = Lease.objects.get_or_create(window=window, replica_id=replica_id, epoch=epoch)
    _obey(ask.rule, window)
    if ask.keep is not None:
        _give_back(lease, window, keep=ask.keep)
    left = _room(ask.rule, window)
    wish = credit.Wish(ask.need, ask.credit, ask.demand, ask.unit, ask.unit_credit)
    got = credit.share_out(wish, left, replicas=replicas)
    if any(got):
        Lease.objects.filter(pk=lease.pk).update(
            granted=F("granted") + got.amount, credit=F("credit") + got.credit, is_open=True
        )
        taken = {"held": F("held") + got.amount, "credit": F("credit") + got.credit}
        BudgetWindow.objects.filter(pk=window.pk).update(**taken)
    away = Room(max(0, window.held - lease.granted + lease.settled), max(0, window.credit - lease.credit))
    if sum(got) < ask.need and any(away):
        BudgetWindow.objects.filter(pk=window.pk).update(wanted_at=Now())
    return Grant(
        budget_id=ask.rule.id,
        window_id=window.pk,
        lease_id=lease.pk,
        starts=int(window.starts.timestamp()),
        ends=int(window.ends.timestamp()),
        granted=lease.granted + got.amount,
        credit=lease.credit + got.credit,
        settled=lease.settled,
        added=got,
        rest=Room(left.amount - got.amount, left.credit - got.credit),
        away=away,
        until=ask.until,
        beyond=max(0, window.settled + window.held - ask.rule.amount),
    )


def _obey(rule: BudgetRule, window: BudgetWindow) -> None:
    """The terms as they are now: another amount, or other days of a fixed period."""
    changes: dict[str, Any] = {}
    if window.limit != rule.amount:
        changes["limit"] = rule.amount
    if window.ceiling < rule.amount + rule.overdraft:
        changes["ceiling"] = rule.amount + rule.overdraft
    if rule.days is not None:
        for name, border in zip(("starts", "ends"), rule.days, strict=True):
            if getattr(window, name).timestamp() != border:
                changes[name] = datetime.fromtimestamp(border, UTC)
    if changes:
        BudgetWindow.objects.filter(pk=window.pk).update(**changes)
        for name, value in changes.items():
            setattr(window, name, value)


def _room(rule: BudgetRule, window: BudgetWindow) -> Room:
    return credit.room(
        amount=rule.amount,
        overdraft=rule.overdraft,
        settled=window.settled,
        held=window.held,
        credit=window.credit,
    )


def _give_back(lease: Lease, window: BudgetWindow, *, keep: Keep) -> int:
    """Returns to the window what the lease has beyond `keep`. Absolute, so doing it twice does no harm."""
    if not lease.is_open:
        return 0
    least = Keep(max(keep.expected, lease.settled), max(keep.most, lease.settled))
    left = credit.kept(granted=lease.granted, credit=lease.credit, keep=least)
    freed, unlent = lease.granted - left.amount, lease.credit - left.credit
    if freed or unlent:
        lease.granted, lease.credit = left
        window.held -= freed
        window.credit -= unlent
        Lease.objects.filter(pk=lease.pk).update(granted=lease.granted, credit=lease.credit)
        BudgetWindow.objects.filter(pk=window.pk).update(held=window.held, credit=window.credit)
    return freed + unlent


def wanted(replica: str) -> set[int]:
    """The replica's leases of windows that others were refused from a moment ago."""
    leases = Lease.objects.filter(replica__name=replica, is_open=True, window__wanted_at__gte=Now() - WANTED_FOR)
    return set(leases.values_list("pk", flat=True))


@transaction.atomic
def release(keeps: Mapping[int, Keep]) -> set[int]:
    """Gives back what leases (by id) have beyond what is to be kept. One that has nothing outstanding is closed, unless
    more was spent than it ever had, and that is still on its way to the ledger: it would come back with a debt.

    Returns those that are closed or gone.
    """
    owners = dict(Lease.objects.filter(pk__in=keeps, is_open=True).values_list("pk", "window_id"))
    windows = _locked(owners.values())
    closed = set(keeps) - set(owners)
    for lease in Lease.objects.filter(pk__in=owners):
        _give_back(lease, windows[lease.window_id], keep=keeps[lease.pk])
        if lease.granted == lease.settled >= keeps[lease.pk].most and not lease.credit:
            Lease.objects.filter(pk=lease.pk).update(is_open=False)
            closed.add(lease.pk)
    return closed


@transaction.atomic
def retire(replica: str, *, owed: Mapping[int, int] = _NOTHING) -> int:
    """Frees what a dead replica's leases have left, once its journal is in the ledger. Returns how much.

    Of one that was written off before, the gaps are closed: all is known now. `owed`, by lease: what its journal knows
    and the ledger has refused. As much stays held, for as long as somebody vouches for it, or stays a gap.
    """
    gaps = Gap.objects.filter(replica=replica, closed_at=None)
    for gap in gaps.filter(lease__in=owed):
        gaps.filter(pk=gap.pk).update(amount=min(gap.amount, owed[gap.lease]))
    gaps.exclude(lease__in=owed).update(closed_at=Now())
    found = Replica.objects.select_for_update().filter(name=replica).first()
    if found is None:
        return 0
    freed = sum(close(list(Lease.objects.filter(replica=found, is_open=True)), owed=owed).values())
    if Lease.objects.filter(replica=found, is_open=True).exists():
        vouch([replica])
    else:
        found.delete()
    return freed


def vouch(replicas: Collection[str]) -> None:
    """Says of processes that have ended that the journals with what the ledger refused of theirs are still there: for
    one more quarantine what they hold is not written off. They are fenced, so that nobody takes them for alive."""
    Replica.objects.filter(name__in=replicas).update(heartbeat=Now(), fenced_at=Now())


@transaction.atomic
def disown(replica: str, *, known: Collection[int]) -> None:
    """Closes the leases that a replica never heard of, as the answer was lost: nothing of them was spent."""
    close(list(Lease.objects.filter(replica__name=replica, is_open=True).exclude(pk__in=known)))


@transaction.atomic
def depart(replica: str, *, known: Collection[int]) -> None:
    """A clean end: forgets the replica unless one of the leases that it knew is still open."""
    disown(replica, known=known)
    Replica.objects.filter(name=replica).exclude(leases__is_open=True).delete()


def close(leases: Sequence[Lease], *, owed: Mapping[int, int] = _NOTHING) -> dict[int, int]:
    """Ends leases, but for those that have something left of what is owed; what was given back by lease id. To be
    called in a transaction."""
    windows = _locked(lease.window_id for lease in leases)
    rests = {}
    for lease in Lease.objects.filter(pk__in=[lease.pk for lease in leases], is_open=True):
        least = lease.settled + owed.get(lease.pk, 0)
        rests[lease.pk] = _give_back(lease, windows[lease.window_id], keep=Keep(least, least))
        is_open = lease.granted > lease.settled or lease.credit > 0
        Lease.objects.filter(pk=lease.pk).update(is_open=is_open)
    return rests


def charge(charges: Iterable[tuple[int, int | None, int]]) -> None:
    """Books what newly recorded entries cost: (window, lease, amount). In a transaction.

    An open lease pays first, then its credit, which is granted thereby. What exceeds both is an overrun: it is booked
    all the same, as the provider has billed it. A negative amount is a correction: it goes back to the lease while that
    is open. Without a lease, or with one that is gone, it is the window's own.
    """
    amounts: dict[tuple[int, int | None], int] = {}
    for window_id, lease_id, amount in charges:
        amounts[window_id, lease_id] = amounts.get((window_id, lease_id), 0) + amount
    if not amounts:
        return
    locked = _locked(window_id for window_id, _ in amounts)
    moved = {window_id: [0, 0, 0, 0] for window_id in locked}
    leases = Lease.objects.filter(pk__in=[lease_id for _, lease_id in amounts], is_open=True)
    open_leases = {lease.pk: lease for lease in leases}
    paid = []
    for (window_id, lease_id), amount in amounts.items():
        if window_id not in moved:  # its budget was deleted
            continue
        covered = borrowed = 0
        lease = open_leases.get(lease_id or 0)
        if lease is not None:
            covered = min(amount, lease.granted - lease.settled)
            borrowed = min(amount - covered, lease.credit)
            paid.append((amount - covered, amount, borrowed, lease_id))
        change = (amount, covered, borrowed, max(0, amount - covered - borrowed))
        moved[window_id] = [have + more for have, more in zip(moved[window_id], change, strict=True)]
    with connection.cursor() as cursor:
        cursor.executemany(_PAY_FROM_LEASE, paid)
        cursor.executemany(_BOOK, [(*changes, window_id) for window_id, changes in sorted(moved.items())])
    for window_id, window in sorted(locked.items()):
        window.settled += moved[window_id][0]
        marks.passed(window)


def _locked(window_ids: Iterable[int]) -> dict[int, BudgetWindow]:
    rows = BudgetWindow.objects.select_for_update().filter(pk__in=set(window_ids)).order_by("pk")
    return {window.pk: window for window in rows}


def fence() -> list[str]:
    """Raises the epoch of replicas that have not been heard of: they get no more leases. Returns their names.

    What they hold stays held, as they may only have been paused.
    """
    fenced = []
    for replica in Replica.objects.filter(fenced_at=None, heartbeat__lt=Now() - DEAD_AFTER):
        silent = Replica.objects.filter(pk=replica.pk, fenced_at=None, heartbeat__lt=Now() - DEAD_AFTER)
        if silent.update(epoch=F("epoch") + 1, fenced_at=Now()):
            fenced.append(replica.name)
    return fenced


def overdue() -> list[str]:
    """The names of replicas that have been fenced for the whole quarantine."""
    return list(_overdue().values_list("name", flat=True))


def _overdue() -> QuerySet[Replica]:
    return Replica.objects.filter(fenced_at__lt=Now() - QUARANTINE, heartbeat__lt=Now() - DEAD_AFTER)


@transaction.atomic
def write_off(replica: str, *, at_once: bool = False) -> int:
    """Frees what the leases of an overdue replica have left and records it as gaps: nobody can account for it until the
    replica's journal turns up. Returns how much; 0 too if the replica has come back.

    `at_once`: somebody says that the process and its disk are gone, so no quarantine is waited for.
    """
    found = (Replica.objects if at_once else _overdue()).select_for_update().filter(name=replica).first()
    if found is None:
        return 0
    leases = list(Lease.objects.filter(replica=found, is_open=True))
    rests = close(leases)
    Gap.objects.bulk_create(
        Gap(replica=replica, lease=lease.pk, window_id=lease.window_id, amount=rests[lease.pk])
        for lease in leases
        if rests.get(lease.pk, 0) > 0
    )
    found.delete()
    return sum(rests.values())
