"""Prometheus's families about what is done in the background, as database and broker know it.

They are the same from every process that is asked: take the largest, not the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from celery import current_app
from kombu.exceptions import ChannelError, OperationalError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from apps.config import schedules
from apps.usage import rollups

PATIENCE_SECONDS = 2.0


def read() -> list[Metric]:
    """Three queries."""
    return families(schedules.runs(), rollups.lag())


def families(runs: Iterable[tuple[str, datetime, float]], rollup_lag: float) -> list[Metric]:
    """`runs` as `schedules.runs` has them."""
    ran = GaugeMetricFamily(
        "weir_periodic_task_last_run_timestamp_seconds", "When the beat last sent it off.", labels=["task"]
    )
    late = GaugeMetricFamily("weir_periodic_task_late_seconds", "For how long it has been due.", labels=["task"])
    for task, last_run_at, late_seconds in runs:
        ran.add_metric([task], last_run_at.timestamp())
        late.add_metric([task], late_seconds)
    meaning = "How far the hourly sums are behind the ledger's newest entry."
    return [ran, late, GaugeMetricFamily("weir_rollup_lag_seconds", meaning, value=rollup_lag)]


def waiting() -> list[Metric]:
    """What waits at the broker; nothing while that is away."""
    return lengths(_lengths())


def lengths(told: Iterable[tuple[str, int]]) -> list[Metric]:
    """By queue."""
    family = GaugeMetricFamily("weir_tasks_waiting", "Tasks that no worker has taken yet.", labels=["queue"])
    for queue, count in told:
        family.add_metric([queue], count)
    return [family]


def _lengths() -> Iterator[tuple[str, int]]:
    queue = str(current_app.conf.task_default_queue)
    try:
        with current_app.connection_for_read(connect_timeout=PATIENCE_SECONDS) as connection:
            connection.ensure_connection(max_retries=1, timeout=PATIENCE_SECONDS)
            yield queue, _length(connection.default_channel, queue)
    except (OperationalError, OSError, *current_app.connection_for_read().connection_errors):
        return


def _length(channel: object, queue: str) -> int:
    """Redis knows no queue that is empty."""
    try:
        return int(channel.queue_declare(queue=queue, passive=True).message_count)  # type: ignore[attr-defined]
    except ChannelError:
        return 0
