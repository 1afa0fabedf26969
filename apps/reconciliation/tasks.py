from __future__ import annotations

from celery import shared_task

from apps.reconciliation import working

# Comparing a year reads all its rows once.
LONG_SECONDS = 3 * 3600


@shared_task(time_limit=LONG_SECONDS)
def work() -> int:
    """Fetch and compare reports, post adjustments: what waits."""
    return working.work()
