"""A report held against the ledger, day by day. In the background: it reads the ledger's rows of each day once, along
its primary key, since rollups do not tell credentials apart (docs/decisions/0041)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.utils import timezone

from apps.reconciliation import judging
from apps.reconciliation.grouping import Group, Grouping
from apps.reconciliation.models import Difference, Report, ReportLine
from apps.reconciliation.shapes.lines import COUNTERS
from apps.usage import adjustments
from apps.usage.adjustments import Counted, Way

_TOGETHER = 2_000


def compare(report: Report) -> None:
    """Makes its differences anew. Ended at any time, the ones before it stay."""
    now = timezone.now()
    found: list[Difference] = []
    for count, day in enumerate(days_of(report), 1):
        found += _day(report, day, now=now)
        Report.objects.filter(pk=report.pk).update(days_compared=count, claimed_at=timezone.now())
    with transaction.atomic():
        stored = Report.objects.select_for_update().get(pk=report.pk)
        if stored.is_withdrawn:
            return
        stored.differences.all().delete()
        Difference.objects.bulk_create(found, batch_size=_TOGETHER)
        Report.objects.filter(pk=report.pk).update(
            state=Report.State.READY, version=stored.version + 1, compared_at=now, claimed_at=None
        )


def days_of(report: Report) -> list[date]:
    return [report.first_day + timedelta(days=number) for number in range(report.days)]


def begin_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def grouped(report: Report, counted: dict[Way, Counted]) -> tuple[Grouping, dict[Group, list[Way]]]:
    """The ways of a day by the groups that the report can tell apart."""
    grouping = Grouping(report, known={model for _, model in counted})
    groups: dict[Group, list[Way]] = {}
    for way in counted:
        groups.setdefault(grouping.of_way(*way), []).append(way)
    return grouping, groups


def _day(report: Report, day: date, *, now: datetime) -> list[Difference]:
    counted = adjustments.count(report.provider_id, begin_of(day))
    grouping, groups = grouped(report, counted)
    lines: dict[Group, list[ReportLine]] = {}
    for line in report.lines.filter(day=day):
        lines.setdefault(grouping.of_line(line.model, line.account), []).append(line)
    is_sealed = adjustments.is_sealed(begin_of(day))
    found = []
    for group in sorted({*groups, *lines}):
        row = Difference(report=report, day=day, model=group.model, credential=group.credential)
        _report(row, lines.get(group, []))
        _count(row, [counted[way] for way in groups.get(group, ())])
        row.status = judging.status(row, now=now, is_sealed=is_sealed)
        if row.calls or row.counted_nano or row.counted_tokens or row.reported_nano or row.reported_tokens:
            found.append(row)
    _tell_difference(report, found)
    return found


def _report(row: Difference, lines: Iterable[ReportLine]) -> None:
    kinds: dict[str, int] = {}
    for line in lines:
        if line.cost_nano is not None:
            row.reported_nano = (row.reported_nano or 0) + line.cost_nano
        if line.requests is not None:
            row.requests = (row.requests or 0) + line.requests
        if line.in_fresh is not None:
            for name in COUNTERS:
                kinds[name] = kinds.get(name, 0) + (getattr(line, name) or 0)
            row.reported_tokens = sum(kinds.values())
    row.kinds = {"reported": [kinds[name] for name in COUNTERS]} if kinds else {}


def _count(row: Difference, counted: Iterable[Counted]) -> None:
    kinds = [0] * len(COUNTERS)
    for part in counted:
        kinds = [before + more for before, more in zip(kinds, part.tokens, strict=True)]
        row.counted_nano += part.cost
        row.calls += part.calls
        row.unconfirmed += part.open
        row.estimated += part.estimated
        row.doubt_nano += part.doubt
    row.counted_tokens = sum(kinds)
    row.kinds = {**row.kinds, "counted": kinds}


def _tell_difference(report: Report, found: Iterable[Difference]) -> None:
    """What the ledger would need to agree. Of a report that tells money, what it does not name cost nothing."""
    for row in found:
        if report.has_cost:
            row.difference_nano = (row.reported_nano or 0) - row.counted_nano
