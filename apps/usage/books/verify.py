"""One reading of all the books, as they were at one moment, while calls go on.

The database counts; what comes back are sums and offenders. The ledger is read a day at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec
from django.db import connection, transaction
from django.utils import timezone

from apps.quotas.models import Gap
from apps.usage import partitions
from apps.usage.books import budgets, daily, entries, sums, tables
from apps.usage.books.entries import Unchecked
from apps.usage.books.promises import Finding, Progress, Scope

QUICK = timedelta(days=2)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`gap_nano`: what may have been spent beside all that is recorded, as disks were lost. `unchecked`: what I6
    passes over around such a loss, as attempts may be missing there."""

    began_at: datetime
    seconds: float
    database: str
    since: datetime | None
    tenant_id: int | None
    gap_nano: int
    unchecked: Unchecked
    findings: list[Finding]

    @property
    def checked(self) -> int:
        return sum(finding.checked for finding in self.findings)

    @property
    def violations(self) -> int:
        return sum(finding.violations for finding in self.findings)


def run(
    *,
    since: datetime | None = None,
    tenant_id: int | None = None,
    quick: bool = False,
    progress: Progress = lambda step: None,
) -> Report:
    """`quick`: the last two days, and of budgets the periods that began in them. Raises DatabaseError."""
    began = time.monotonic()
    now = timezone.now()
    if quick and since is None:
        since = now - QUICK
    scope = Scope(now=now, since=since, tenant_id=tenant_id)
    with snapshot():
        findings, unchecked = _findings(scope, progress)
        gap = sum(Gap.objects.filter(closed_at=None).values_list("amount", flat=True))
    return Report(
        began_at=now,
        seconds=time.monotonic() - began,
        database=connection.vendor,
        since=since,
        tenant_id=tenant_id,
        gap_nano=gap,
        unchecked=unchecked,
        findings=findings,
    )


@contextmanager
def snapshot() -> Iterator[None]:
    """All that is read inside is of one moment. Keeps nobody from writing, only partitions from being dropped.

    Inside a transaction already, that one's view is what there is.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # Before the first query, which is when the snapshot is taken.
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(f"LOCK TABLE {partitions.TABLE} IN ACCESS SHARE MODE")
            yield
    else:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")  # Django's own would take the lock of writers
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")


def _findings(scope: Scope, progress: Progress) -> tuple[list[Finding], Unchecked]:
    progress("budgets")
    found = budgets.windows_and_leases(scope)
    of_the_ledger, unchecked = _of_the_ledger(scope, progress)
    found += of_the_ledger
    found += sums.sealed(progress)
    found.append(daily.check(scope, progress))
    found += tables.check()
    return sorted(found, key=lambda finding: finding.name), unchecked


def _of_the_ledger(scope: Scope, progress: Progress) -> tuple[list[Finding], Unchecked]:
    gaps = list(Gap.objects.values_list("noticed_at", flat=True).distinct())
    rows, settled, hourly = entries.Entries(), budgets.Settled(), sums.Rollups(scope)
    days = []
    for part in entries.slices(scope, gaps=gaps, progress=progress):
        rows.run(part, tenant_id=scope.tenant_id)
        settled.add(part.bounds, tenant_id=scope.tenant_id)
        days.append(part.day)
    settled.compare(scope)
    progress("rollups")
    hourly.run(day + timedelta(hours=hour) for day in days for hour in range(24))
    return [settled.finding, *rows.findings, hourly.finding, sums.twice(days)], rows.unchecked
