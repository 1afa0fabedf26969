"""A month of the ledger that nobody needs row by row any more: its totals are kept and its rows dropped.

What stays: the month's rollups and their totals, what was charged to each budget window, and of each hour the ids of
its rows with a digest of what they said. So budgets still add up, and an outcome that is delivered once more, years
later, is still known. One that is new is recorded: it lies in a partition of its own until that is sealed in turn.

PostgreSQL drops the month's partition in the transaction that writes the totals; SQLite deletes hour by hour, each in
the transaction that adds the hour's totals. Whenever it is killed, the books are true, and the next run goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Now
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Area
from apps.domain import ids
from apps.runtime.failpoints import failpoint
from apps.usage import append_only, charges, partitions, rollups
from apps.usage.models import Entry, HourlyRollup, Kind, SealedHour, SealedMonth, SealedWindow

ID_BYTES = 16
# Sooner than so long after its request no row is sealed, so younger ones need not be looked for.
YOUNG = timedelta(days=27)
_HASHED = ("id", "kind", "cost_nano", "low_nano", "high_nano")
# As columns that came later: rows that have none are told as they were before.
_HASHED_IF_ANY = ("cached", "saved_nano", "saved_tokens")
_LOCK = 0x5345414C
# Less than PostgreSQL waits before it takes a wait for a deadlock: who must give way is this one, not the traffic.
_LOCK_MILLISECONDS = 500
_TRIES = 60
_ROUNDS = 3
_PAUSE_SECONDS = 1.0
_LOCK_NOT_AVAILABLE = "55P03"
_COUNTS = {
    "rows_posted": Count("pk", filter=Q(kind=Kind.POST)),
    "rows_unconfirmed": Count("pk", filter=Q(kind=Kind.UNCONFIRMED)),
    "rows_corrected": Count("pk", filter=Q(kind=Kind.CORRECTION)),
    "rows_repriced": Count("pk", filter=Q(kind=Kind.REPRICE)),
    "rows_adjusted": Count("pk", filter=Q(kind=Kind.ADJUSTMENT)),
}
COUNTED = tuple(_COUNTS)


class Refused(Exception):
    """Why a month cannot be sealed now."""


class _Moved(Exception):
    """A row came while the others were summed up."""


class Hour(NamedTuple):
    """What is kept of an hour's rows: their ids one after another, and a digest of ids and amounts."""

    rows: int
    ids: bytes
    digest: bytes


def seal(month: datetime, *, exported: Mapping[datetime, bytes] | None = None) -> SealedMonth | None:
    """Seals what the ledger has of the month; None: nothing, ever. `exported`: digests of the hours as written out.

    Raises Refused, and DatabaseError; then nothing, or on SQLite some hours, are sealed.
    """
    _refuse_if_open(month)
    if connection.vendor == "postgresql":
        _seal_whole(month, exported)
    else:
        for hour in occupied_hours(month):
            with transaction.atomic():
                _seal_hours(month, [hour], exported)
                _delete(hour)
            failpoint("seal.between_hours")
    failpoint("seal.before_finish")
    return _finish(month)


def _seal_whole(month: datetime, exported: Mapping[datetime, bytes] | None) -> None:
    for _ in range(_ROUNDS):
        with contextlib.suppress(_Moved), transaction.atomic():
            _alone()
            if hours := occupied_hours(month):
                _drop(month, rows=_seal_hours(month, hours, exported))
                failpoint("seal.before_commit")
            return
    raise Refused("rows of it are still coming")


@transaction.atomic
def _finish(month: datetime) -> SealedMonth | None:
    """Returns the month's latest number; None: it was never sealed."""
    for sealed in SealedMonth.objects.select_for_update().filter(month=month, finished_at=None):
        SealedMonth.objects.filter(pk=sealed.pk).update(finished_at=Now())
        kept = {"rows": sealed.rows, "cost_nano": sealed.cost_nano}
        audit.record(actor=None, action="month.sealed", target=sealed, area=Area.USAGE, after=kept)
    return SealedMonth.objects.filter(month=month).order_by("-number").first()


def known(entries: Sequence[UUID]) -> set[UUID]:
    """Those that were sealed, of ids in their order. No query unless the oldest is weeks old."""
    border = int((timezone.now() - YOUNG).timestamp() * 1000)
    if not entries or ids.milliseconds(entries[0]) >= border:
        return set()
    old = [entry for entry in entries if ids.milliseconds(entry) < border]
    hours = SealedHour.objects.filter(hour__in={_hour(entry) for entry in old})
    sealed = {identifier for hour in hours for identifier in ids_in(hour)}
    return {entry for entry in old if entry.bytes in sealed}


def ids_in(hour: SealedHour) -> set[bytes]:
    packed = bytes(hour.ids)
    return {packed[start : start + ID_BYTES] for start in range(0, len(packed), ID_BYTES)}


def digest_of(hour: datetime) -> Hour:
    """Of the ledger's rows, in the order of their ids."""
    digest, packed = hashlib.sha256(), bytearray()
    rows = entries(hour, hour + rollups.HOUR).values_list(*_HASHED, *_HASHED_IF_ANY)
    for entry, *told in rows.iterator(chunk_size=5000):
        packed += entry.bytes
        amounts = [amount for amount in told if amount is not None]
        digest.update(f"{entry.hex} {' '.join(map(str, amounts))}\n".encode())
    return Hour(len(packed) // ID_BYTES, bytes(packed), digest.digest())


def chained(before: bytes, hour: bytes) -> bytes:
    """The digest of a month up to and with an hour."""
    return hashlib.sha256(before + hour).digest()


def entries(first: datetime, end: datetime) -> Any:
    """Those of a span of hours, oldest first."""
    low, high = (ids.floor(int(moment.timestamp()) * 1000) for moment in (first, end))
    return Entry.objects.filter(id__gte=low, id__lt=high).order_by("id")


def occupied_hours(month: datetime) -> list[datetime]:
    """Those of which the ledger has rows, found along the primary key."""
    found, hour, end = [], month, partitions.after(month)
    while (first := entries(hour, end).values_list("pk", flat=True).first()) is not None:
        found.append(_hour(first))
        hour = found[-1] + rollups.HOUR
    return found


def occupied_months(end: datetime) -> list[datetime]:
    """Those before `end` of which the ledger has rows, oldest first."""
    found, month = [], datetime.fromtimestamp(0, UTC)
    while (first := entries(month, end).values_list("pk", flat=True).first()) is not None:
        found.append(partitions.month_of(partitions.moment_of(first)))
        month = partitions.after(found[-1])
    return found


def _hour(entry: UUID) -> datetime:
    return rollups.hour_of(partitions.moment_of(entry))


# --- one transaction ------------------------------------------------------------------------------------------------


def _seal_hours(month: datetime, hours: list[datetime], exported: Mapping[datetime, bytes] | None) -> int:
    """Adds the hours to the month's totals. Returns how many rows that were."""
    sealed = _under_way(month, hours)
    before = sealed.rows
    for hour in hours:
        kept = digest_of(hour)
        if exported is not None and exported.get(hour) != kept.digest:
            raise Refused(f"rows of {hour:%Y-%m-%d %H:00} came after they were written out: write them out again")
        _seal_hour(sealed, hour, kept)
    sealed.save()
    return sealed.rows - before


def _under_way(month: datetime, hours: list[datetime]) -> SealedMonth:
    """On SQLite the month that a run before this one did not finish, unless it has these hours; else a new number."""
    latest = SealedMonth.objects.filter(month=month).order_by("-number").first()
    if latest is not None and latest.finished_at is None and not latest.hours.filter(hour__in=hours).exists():
        return latest
    return SealedMonth.objects.create(month=month, number=latest.number + 1 if latest is not None else 1)


def _seal_hour(sealed: SealedMonth, hour: datetime, kept: Hour) -> None:
    rollups.compute(hour)
    live = HourlyRollup.objects.filter(hour__gte=hour, hour__lt=hour + rollups.HOUR, seal=None)
    totals = live.aggregate(**{name: Sum(name) for name in rollups.SUMS})
    if totals["unconfirmed"]:
        raise Refused(_open(totals["unconfirmed"]))
    live.update(seal=sealed)
    for name, amount in totals.items():
        setattr(sealed, name, getattr(sealed, name) + amount)
    for name, number in entries(hour, hour + rollups.HOUR).order_by().aggregate(**_COUNTS).items():
        setattr(sealed, name, getattr(sealed, name) + number)
    sealed.rows += kept.rows
    sealed.digest = chained(bytes.fromhex(sealed.digest), kept.digest).hex()
    SealedHour.objects.create(seal=sealed, hour=hour, rows=kept.rows, ids=kept.ids, digest=kept.digest)
    for window, amount in charges.by_window(rollups.bounds(hour)).items():
        row, _ = SealedWindow.objects.get_or_create(seal=sealed, window=window)
        SealedWindow.objects.filter(pk=row.pk).update(high_nano=F("high_nano") + amount)


def _refuse_if_open(month: datetime) -> None:
    """An unconfirmed call needs its row for as long as nobody knows what it cost."""
    counts = entries(month, partitions.after(month)).order_by().aggregate(**_COUNTS)
    if left := counts["rows_unconfirmed"] - counts["rows_corrected"]:
        raise Refused(_open(left))


def _open(number: int) -> str:
    return f"nobody knows yet what {number} of its calls cost: see manage.py ledger_unconfirmed"


# --- what the databases do differently ------------------------------------------------------------------------------


def _alone() -> None:
    """Nobody else seals; rows come and go."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _drop(month: datetime, *, rows: int) -> None:
    """If it holds these rows and no more. For a moment nobody can use the ledger, so whoever is at it is waited for
    briefly, and again after a pause, in which all go on.

    Raises _Moved, and OperationalError when waiting has not helped for a minute.
    """
    table = partitions.name_of(month)
    for tries_left in reversed(range(_TRIES)):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}")
                cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
                cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608
                if cursor.fetchone() != (rows,):
                    raise _Moved
                cursor.execute(f"DROP TABLE {table}")
                cursor.execute("SET LOCAL lock_timeout = 0")
            return
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != _LOCK_NOT_AVAILABLE or not tries_left:
                raise
            time.sleep(_PAUSE_SECONDS)


def _delete(hour: datetime) -> None:
    """SQLite's triggers come off and go on again within the transaction, so nobody ever sees the ledger without."""
    low, high = rollups.bounds(hour)
    append_only.unprotect(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {partitions.TABLE} WHERE id >= %s AND id < %s", [low, high])  # noqa: S608
    append_only.protect(connection)
