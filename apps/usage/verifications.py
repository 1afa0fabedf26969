"""Checking the books in the background, and remembering what came of it."""

from __future__ import annotations

import logging

import msgspec
from django.db import DatabaseError
from django.utils import timezone

from apps.usage import reaper
from apps.usage.books import verify as books
from apps.usage.models import Verification

log = logging.getLogger(__name__)

KEPT = 500  # verifications: a quick one an hour is three weeks


def verify(*, quick: bool) -> Verification:
    """Raises DatabaseError after it is written down, as far as that can be."""
    reaper.reap()  # when all was switched off, what is long over has not been looked after yet
    began_at = timezone.now()
    try:
        report = books.run(quick=quick)
    except DatabaseError as error:
        Verification.objects.create(began_at=began_at, is_quick=quick, failure=str(error)[:200])
        raise
    found = Verification.objects.create(
        began_at=began_at,
        seconds=report.seconds,
        is_quick=quick,
        checked=report.checked,
        violations=report.violations,
        findings=msgspec.to_builtins(report.findings),
    )
    for finding in report.findings:
        if finding.violations:
            first = finding.offenders[0]
            log.error(
                "the books are not true: %s: %d of %d; %s is %s, where %s should be",
                *(finding.name, finding.violations, finding.checked, first.id, first.found, first.expected),
            )
    Verification.objects.filter(pk__lte=found.pk - KEPT).delete()
    return found
