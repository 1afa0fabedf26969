"""The database's half of budgets: windows and leases, changed in short transactions. Synchronous.

The rule that keeps them true: whoever changes a window or one of its leases holds the window's row lock, and windows
are locked in the order of their ids. `held` is always the sum of what open leases have outstanding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from django.db import connection, transaction
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Now

from apps.domain.limits import budget as periods
from apps.domain.snapshot import Budget as BudgetRule
from apps.quotas.models import Budget, BudgetWindow, Gap, Lease, Replica

# With several processes nobody takes more than this part of what is left, so that nobody has to be refused for it.
SHARE = 20
DEAD_AFTER = timedelta(seconds=60)
QUARANTINE = timedelta(minutes=10)
WANTED_FOR = timedelta(seconds=2)
_PAY_FROM_LEASE = "UPDATE quotas_lease SET granted = granted + %s, settled = settled + %s WHERE id = %s"
_BOOK = "UPDATE quotas_budgetwindow SET settled = settled + %s, held = held - %s WHERE id = %s"


class Fenced(Exception):
    """This process was taken for dead: its epoch is over."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """`need`: the least that helps, in addition to what is granted; `demand`: what all who wait would like; `unit`:
    one reservation. `keep`: give back first what exceeds this (spent and reserved)."""

    rule: BudgetRule
    need: int
    demand: int
    unit: int
    keep: int | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Where a lease stands. `granted` is all that it ever got, of which `settled` is in the ledger; `added` what it got
    now, `rest` what nobody holds. `elsewhere`: other replicas hold some of what was needed and not to be had."""

    budget_id: int
    window_id: int
    lease_id: int
    starts: int
    ends: int
    amount: int
    granted: int
    added: int
    rest: int
    settled: int = 0
    elsewhere: bool = False


def register(name: str) -> int:
    """This process as a replica; returns its epoch. A fenced one comes back under its new epoch."""
    replica, _ = Replica.objects.update_or_create(
        name=name, defaults={"heartbeat": Now(), "fenced_at": None}, create_defaults={"heartbeat": Now()}
    )
    return replica.epoch


def beat(name: str, *, epoch: int) -> int:
    """Says that the process lives. Returns how many do. Raises Fenced."""
    if not Replica.objects.filter(name=name, epoch=epoch).update(heartbeat=Now()):
        raise Fenced
    return Replica.objects.filter(heartbeat__gte=Now() - DEAD_AFTER, fenced_at=None).count()


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
    amounts = dict(
        Budget.objects.filter(pk__in=[ask.rule.id for ask in asks], is_enabled=True).values_list("pk", "amount")
    )
    live = sorted((ask for ask in asks if ask.rule.id in amounts), key=lambda ask: ask.rule.id)
    current = {ask.rule.id: _window_id(ask.rule, now=now, amount=amounts[ask.rule.id]) for ask in live}
    locked = _locked(current.values())
    return [
        _grant(
            ask, locked[current[ask.rule.id]], amount=amounts[ask.rule.id], owner=(replica_id, epoch), shared=replicas
        )
        for ask in live
    ]


def _window_id(rule: BudgetRule, *, now: float, amount: int) -> int:
    """The window in force. It lasts to its end even if the time zone has changed, so that no money comes twice."""
    moment = datetime.fromtimestamp(now, UTC)
    found = BudgetWindow.objects.filter(budget=rule.id, starts__lte=moment, ends__gt=moment)
    window_id = found.values_list("pk", flat=True).first()
    if window_id is not None:
        return window_id
    span = periods.span(rule.period, timezone=rule.timezone, now=now)
    starts, ends = (datetime.fromtimestamp(border, UTC) for border in (span.starts, span.ends))
    earlier = BudgetWindow.objects.filter(budget=rule.id, ends__gt=starts, ends__lte=moment)
    last = earlier.order_by("-ends").values_list("ends", flat=True).first()
    window, _ = BudgetWindow.objects.get_or_create(
        budget_id=rule.id, starts=last or starts, defaults={"ends": ends, "limit": amount}
    )
    return window.pk


def _grant(ask: Ask, window: BudgetWindow, *, amount: int, owner: tuple[int, int], shared: int | None) -> Grant:
    replica_id, epoch = owner
    lease, _ = Lease.objects.get_or_create(window=window, replica_id=replica_id, epoch=epoch)
    if ask.keep is not None:
        _give_back(lease, window, keep=ask.keep)
    rest = amount - window.settled - window.held
    chunk = _chunk(ask, remainder=rest, replicas=shared)
    if chunk and not (
        BudgetWindow.objects.filter(pk=window.pk, settled__lte=Value(amount - chunk) - F("held")).update(
            held=F("held") + chunk, limit=amount
        )
    ):
        chunk = 0
    if chunk:
        Lease.objects.filter(pk=lease.pk).update(granted=F("granted") + chunk, is_open=True)
    elif window.limit != amount:
        BudgetWindow.objects.filter(pk=window.pk).update(limit=amount)
    elsewhere = chunk < ask.need and window.held > lease.granted - lease.settled
    if elsewhere:
        BudgetWindow.objects.filter(pk=window.pk).update(wanted_at=Now())
    return Grant(
        budget_id=ask.rule.id,
        window_id=window.pk,
        lease_id=lease.pk,
        starts=int(window.starts.timestamp()),
        ends=int(window.ends.timestamp()),
        amount=amount,
        granted=lease.granted + chunk,
        added=chunk,
        rest=rest - chunk,
        settled=lease.settled,
        elsewhere=elsewhere,
    )


def _chunk(ask: Ask, *, remainder: int, replicas: int | None) -> int:
    """Whole reservations, so that several processes do not each strand a part of one."""
    if replicas is None:
        return max(0, remainder)
    if remainder < ask.need or remainder <= 0:
        return 0
    wish = max(ask.demand, remainder // SHARE // max(1, replicas))
    if ask.unit <= 0:
        return min(remainder, wish)
    more = (min(remainder, wish) - ask.need) // ask.unit
    return ask.need + max(0, more) * ask.unit


def _give_back(lease: Lease, window: BudgetWindow, *, keep: int) -> None:
    """Returns to the window what the lease has beyond `keep`. Absolute, so doing it twice does no harm."""
    rest = lease.granted - max(keep, lease.settled)
    if rest <= 0 or not lease.is_open:
        return
    lease.granted -= rest
    window.held -= rest
    Lease.objects.filter(pk=lease.pk).update(granted=lease.granted)
    BudgetWindow.objects.filter(pk=window.pk).update(held=window.held)


def wanted(replica: str) -> set[int]:
    """The replica's leases of windows that others were refused from a moment ago."""
    leases = Lease.objects.filter(replica__name=replica, is_open=True, window__wanted_at__gte=Now() - WANTED_FOR)
    return set(leases.values_list("pk", flat=True))


@transaction.atomic
def release(keeps: Mapping[int, int]) -> set[int]:
    """Gives back what leases (by id) have beyond what is to be kept. One that has nothing outstanding is closed.

    Returns those that are closed or gone.
    """
    owners = dict(Lease.objects.filter(pk__in=keeps, is_open=True).values_list("pk", "window_id"))
    windows = _locked(owners.values())
    closed = set(keeps) - set(owners)
    for lease in Lease.objects.filter(pk__in=owners):
        _give_back(lease, windows[lease.window_id], keep=keeps[lease.pk])
        if lease.granted == lease.settled:
            Lease.objects.filter(pk=lease.pk).update(is_open=False)
            closed.add(lease.pk)
    return closed


@transaction.atomic
def retire(replica: str) -> int:
    """Frees all that a dead replica's leases have left, once its journal is in the ledger. Returns how much.

    Of one that was written off before, the gaps are closed: all is known now.
    """
    Gap.objects.filter(replica=replica, closed_at=None).update(closed_at=Now())
    found = Replica.objects.select_for_update().filter(name=replica).first()
    if found is None:
        return 0
    freed = sum(close(list(Lease.objects.filter(replica=found, is_open=True))).values())
    found.delete()
    return freed


def depart(replica: str) -> None:
    """A clean end: forgets the replica unless a lease of it is still open."""
    Replica.objects.filter(name=replica).exclude(leases__is_open=True).delete()


def close(leases: Sequence[Lease]) -> dict[int, int]:
    """Ends leases; what was outstanding by lease id. To be called in a transaction."""
    windows = _locked(lease.window_id for lease in leases)
    rests = {}
    for lease in Lease.objects.filter(pk__in=[lease.pk for lease in leases], is_open=True):
        rests[lease.pk] = lease.granted - lease.settled
        _give_back(lease, windows[lease.window_id], keep=lease.settled)
        Lease.objects.filter(pk=lease.pk).update(is_open=False)
    return rests


def charge(charges: Iterable[tuple[int, int | None, int]]) -> None:
    """Books what newly recorded entries cost: (window, lease, amount). In a transaction.

    An open lease pays first. What exceeds it is booked all the same, as the provider has billed it. A negative amount
    is a correction: it goes back to the lease while that is open. Lease None: the window itself pays.
    """
    amounts: dict[tuple[int, int | None], int] = {}
    for window_id, lease_id, amount in charges:
        amounts[window_id, lease_id] = amounts.get((window_id, lease_id), 0) + amount
    if not amounts:
        return
    windows = _locked(window_id for window_id, _ in amounts)
    named = [lease_id for _, lease_id in amounts if lease_id is not None]
    leases = {lease.pk: lease for lease in Lease.objects.filter(pk__in=named, is_open=True)}
    paid = []
    moved = {window_id: [0, 0] for window_id in windows}
    for (window_id, lease_id), amount in amounts.items():
        if window_id not in windows:  # its budget was deleted
            continue
        moved[window_id][0] += amount
        if lease_id is not None and (lease := leases.get(lease_id)):
            covered = min(amount, lease.granted - lease.settled)
            moved[window_id][1] += covered
            paid.append((max(0, amount - covered), amount, lease_id))
    with connection.cursor() as cursor:
        cursor.executemany(_PAY_FROM_LEASE, paid)
        cursor.executemany(_BOOK, [(*sums, window_id) for window_id, sums in sorted(moved.items())])


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
