"""What takes long, done where it was left: reports fetched and compared, adjustments posted and taken back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone

from apps.reconciliation import comparing, fetching, posting, services
from apps.reconciliation.models import Adjustment, Report, ReportSource

log = logging.getLogger(__name__)

# Whoever has been silent for so long has died at it. Longer than a page is waited for, or a day is read.
SILENT = timedelta(minutes=3)


def work() -> int:
    """All that waits. Returns how many steps were done."""
    count = 0
    for rows, do in (
        (Report.objects.filter(state=Report.State.FETCHING), fetch),
        (Report.objects.filter(state=Report.State.COMPARING), compare),
        (Adjustment.objects.filter(state=Adjustment.State.WAITING), posting.post),
        (Adjustment.objects.filter(state=Adjustment.State.UNDOING), posting.take_back),
    ):
        for row in _claimed(rows):
            count += _done(do, row)
    return count


def fetch(report: Report) -> None:
    def progress(pages: int) -> None:
        Report.objects.filter(pk=report.pk).update(pages_read=pages, claimed_at=timezone.now())

    source = ReportSource.objects.filter(provider=report.provider_id).first()
    try:
        if source is None:
            raise fetching.Failed("Its provider has no source of reports any more.")
        read = fetching.fetch(
            source, report.shape, first=report.first_day, last=report.last_day, progress=progress
        )  # fmt: skip
        if not (report.first_day <= read.first and read.last <= report.last_day):
            raise fetching.Failed("It answers with days that it was not asked for.")
        services.keep_fetched(report, read)
    except fetching.Failed as error:
        _fail(report, str(error))
    except ValidationError as error:
        _fail(report, " ".join(error.messages))


def compare(report: Report) -> None:
    comparing.compare(report)


def _fail(report: Report, why: str) -> None:
    failed = Report.objects.filter(pk=report.pk, state=Report.State.FETCHING)
    failed.update(state=Report.State.FAILED, failure=why[:300], claimed_at=None)


def _claimed(rows: Any) -> Any:
    """One after another, those that nobody is at."""
    for row in rows.select_related("provider" if rows.model is Report else "report").order_by("pk"):
        free = Q(claimed_at=None) | Q(claimed_at__lt=timezone.now() - SILENT)
        if rows.filter(free, pk=row.pk).update(claimed_at=timezone.now()):
            yield row


def _done(do: Callable[[Any], None], row: Any) -> int:
    """A row that cannot be done now does not hold up the others, and is tried again."""
    try:
        do(row)
    except Exception:
        log.exception("%s is tried again", row)
        return 0
    return 1
