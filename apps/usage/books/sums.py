"""Rollups and sealed months against what they are the sums of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q, Sum
from django.db.models.functions import Length

from apps.usage import rollups, sealing
from apps.usage.books.promises import Finding, Progress, Scope, rows
from apps.usage.models import Entry, HourlyRollup, SealedHour, SealedMonth, Watermark

# A row becomes visible a little after its time, and is rolled up a little after that.
_MOMENT = 2 * rollups.OVERLAP
_GROUP = ", ".join(rollups.GROUP)
_NAMES = ", ".join(rollups.SUMS)
_LEDGER = ", ".join(f"{value} AS {name}" for name, value in rollups.SUMS.items())
_NEGATED = ", ".join(f"-{name} AS {name}" for name in rollups.SUMS)
_DIFFER = " OR ".join(f"SUM({name}) <> 0" for name in rollups.SUMS)
# Both sides as one: where they are the same, every sum of the two is zero.
_COMPARE = f"""SELECT {_GROUP}, {", ".join(f"SUM({name})" for name in rollups.SUMS)} FROM (
    SELECT {_GROUP}, {_LEDGER} FROM usage_entry WHERE id >= %s AND id < %s {{tenant}} GROUP BY {_GROUP}
    UNION ALL SELECT {_GROUP}, {_NEGATED} FROM usage_hourlyrollup
        WHERE hour >= %s AND hour < %s AND seal_id IS NULL {{tenant}}
) AS both_sides GROUP BY {_GROUP} HAVING {_DIFFER}"""  # noqa: S608


class Rollups:
    """Every hour that is rolled up, all columns of all groups."""

    def __init__(self, scope: Scope) -> None:
        self.finding = Finding("rollups", "An hour's rollup is the sum of its ledger rows, in every column.")
        self._scope = scope
        self._waiting = _waiting(scope.now)

    def run(self, hours: Iterable[datetime]) -> None:
        """`hours` of the ledger; those that only the rollups know are checked too."""
        if self._waiting is None:
            return
        own = HourlyRollup.objects.filter(seal=None).order_by().values_list("hour", flat=True).distinct()
        if self._scope.since is not None:
            own = own.filter(hour__gte=rollups.hour_of(self._scope.since))
        for hour in sorted({*hours, *map(rollups.hour_of, own)} - self._waiting):
            self._compare(hour)

    def _compare(self, hour: datetime) -> None:
        tenant = [self._scope.tenant_id] if self._scope.tenant_id is not None else []
        query = _COMPARE.format(tenant="AND tenant_id = %s" if tenant else "")
        span = [rollups.parameter(moment) for moment in (hour, hour + rollups.HOUR)]
        self.finding.count(1)
        for row in rows(query, [*rollups.bounds(hour), *tenant, *span, *tenant]):
            group, differences = row[: len(rollups.GROUP)], row[len(rollups.GROUP) :]
            subject = ", ".join(f"{name} {value}" for name, value in zip(rollups.GROUP, group, strict=True) if value)
            off = {name: int(by) for name, by in zip(rollups.SUMS, differences, strict=True) if by}
            self.finding.accuse(
                f"{hour:%Y-%m-%dT%H:00}Z {subject}",
                expected="the ledger's",
                found=", ".join(f"{name} {-by:+d}" for name, by in off.items()),
            )


def _waiting(now: datetime) -> set[datetime] | None:
    """Hours with rows that came since the last time, or a moment ago, and those that are to be computed again, as they
    know of no endpoints; None: nothing was ever rolled up."""
    mark = Watermark.objects.filter(name=rollups.NAME).values_list("at", flat=True).first()
    if mark is None:
        return None
    fresh = rollups.hours_of(Entry.objects.filter(Q(settled_at__gt=mark) | Q(settled_at__gte=now - _MOMENT)))
    untold = HourlyRollup.objects.filter(endpoint=None, seal=None).order_by().values_list("hour", flat=True).distinct()
    return {*fresh, *map(rollups.hour_of, untold)}


def sealed(progress: Progress) -> list[Finding]:
    """What is left of rows that were dropped: totals, rollups, and the list of their ids, which agree."""
    totals = Finding("sealed.totals", "A sealed month's totals are those of its rollups, in every column.")
    hours = Finding("sealed.hours", "A sealed month counts the rows of its hours, and its digest is made of theirs.")
    for month in SealedMonth.objects.order_by("month", "number"):
        progress(f"sealed {month.month:%Y-%m}")
        totals.count(1)
        found = month.rollups.aggregate(**{name: Sum(name) for name in rollups.SUMS})
        for name, value in found.items():
            if (value or 0) != getattr(month, name):
                totals.accuse(f"{month} {name}", expected=value or 0, found=getattr(month, name))
        _check_hours(month, hours)
    return [totals, hours]


def _check_hours(month: SealedMonth, finding: Finding) -> None:
    digest, count = b"", 0
    hours = month.hours.order_by("pk").annotate(length=Length("ids"))
    for hour, own, number, length in hours.values_list("hour", "digest", "rows", "length"):
        finding.count(1)
        digest, count = sealing.chained(digest, bytes(own)), count + number
        if length != number * sealing.ID_BYTES:
            finding.accuse(f"{hour:%Y-%m-%dT%H:00}Z", expected=number, found=length // sealing.ID_BYTES)
    kinds = sum(getattr(month, name) for name in sealing.COUNTED)
    for expected, found in ((count, month.rows), (kinds, month.rows), (digest.hex(), month.digest)):
        if expected != found:
            finding.accuse(month, expected=expected, found=found)


def twice(days: Iterable[datetime]) -> Finding:
    """Only in days that were sealed and have rows again can there be one."""
    finding = Finding("sealed.twice", "No row that was sealed is in the ledger still, or again.")
    for day in days:
        for hour in SealedHour.objects.filter(hour__gte=day, hour__lt=day + timedelta(days=1)).order_by("pk"):
            finding.count(1)
            known = sealing.ids_in(hour)
            for entry in sealing.entries(hour.hour, hour.hour + rollups.HOUR).values_list("pk", flat=True).iterator():
                if entry.bytes in known:
                    finding.accuse(entry, expected="sealed", found="in the ledger")
    return finding
