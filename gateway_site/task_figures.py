"""What the background does, counted where it is done: in the worker's own children, so the processes of a worker share
PROMETHEUS_MULTIPROC_DIR. A task's name is the code's, never anybody's words."""

from __future__ import annotations

import time
from typing import Any

from celery import signals
from prometheus_client import Counter, Gauge, Histogram

_SENT_AT = "weir_sent_at"  # among a message's headers: unix seconds
_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

TASKS = Counter("weir_tasks", "Tasks that came to an end, by name and outcome.", ("task", "outcome"))
DURATION = Histogram("weir_task_duration_seconds", "From a task's beginning to its end.", ("task",), buckets=_SECONDS)
QUEUED = Histogram("weir_task_queue_seconds", "From a task's sending to its beginning.", ("task",), buckets=_SECONDS)
RUNNING = Gauge("weir_tasks_running", "Tasks that run just now.", multiprocess_mode="livesum")
SUCCEEDED = Gauge(
    "weir_task_last_success_timestamp_seconds", "When a task last ended well.", ("task",), multiprocess_mode="max"
)

_began: dict[str, float] = {}  # by a task's id


def begin() -> None:
    """Connects what counts. A second time changes nothing."""
    signals.before_task_publish.connect(_sent)
    signals.task_prerun.connect(_begun)
    signals.task_postrun.connect(_ended)


def _sent(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None:
        headers[_SENT_AT] = time.time()


def _begun(task_id: str, task: Any, **_: Any) -> None:
    _began[task_id] = time.monotonic()
    RUNNING.inc()
    sent_at = getattr(task.request, _SENT_AT, None)
    if isinstance(sent_at, float):
        QUEUED.labels(task.name).observe(max(0.0, time.time() - sent_at))


def _ended(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
    began = _began.pop(task_id, None)
    if began is None:
        return
    RUNNING.dec()
    DURATION.labels(task.name).observe(time.monotonic() - began)
    TASKS.labels(task.name, (state or "unknown").lower()).inc()
    if state == "SUCCESS":
        SUCCEEDED.labels(task.name).set_to_current_time()
