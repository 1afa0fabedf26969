"""A span for each task, under that of whoever sent it, beat or a request; and telemetry in Celery's processes.

A task's arguments are told nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps, signals

from apps.runtime import traces
from gateway_site.telemetry import running, wire

if TYPE_CHECKING:
    from celery import Celery

_TRACE, _STATE = "traceparent", "tracestate"
_sending: dict[str, running.Span] = {}  # by task id, from before it is sent until after
_at_work: dict[str, running.Span] = {}  # by task id
_MOST = 1_000  # of those whose sending has failed


class Telemetry(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Of a worker, behind the pool: its processes are made before there is a thread whose locks they would inherit."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        running.start("worker")


def connect(app: Celery) -> None:
    app.steps["worker"].add(Telemetry)
    signals.worker_process_init.connect(_worker, weak=False)
    signals.worker_process_shutdown.connect(_stop, weak=False)
    signals.worker_shutdown.connect(_stop, weak=False)
    signals.beat_init.connect(_beat, weak=False)
    signals.before_task_publish.connect(_before_sending, weak=False)
    signals.after_task_publish.connect(_after_sending, weak=False)
    signals.task_prerun.connect(_before_work, weak=False)
    signals.task_postrun.connect(_after_work, weak=False)


def _worker(**_: Any) -> None:
    running.start("worker")


def _beat(**_: Any) -> None:
    running.start("beat")  # nothing, where it runs inside a worker
    running.tell_of_all()


def _stop(**_: Any) -> None:
    running.stop()


def _before_sending(headers: Any = None, **_: Any) -> None:
    if running.current is None or not isinstance(headers, dict) or "id" not in headers:
        return
    span = running.Span(_here(), is_current=False)
    headers[_TRACE] = span.traceparent
    if span.parent is not None and span.parent.state:
        headers[_STATE] = span.parent.state
    if len(_sending) >= _MOST:
        _sending.clear()
    _sending[headers["id"]] = span


def _after_sending(sender: str = "", headers: Any = None, routing_key: str = "", **_: Any) -> None:
    span = _sending.pop(headers["id"], None) if isinstance(headers, dict) and "id" in headers else None
    if span is not None:
        pairs: dict[str, wire.Value] = {**_of(sender, headers["id"]), "messaging.operation.type": "send"}
        if routing_key:
            pairs["messaging.destination.name"] = routing_key
        span.end(f"send {sender}", kind=wire.PRODUCER, pairs=pairs, is_failed=False)


def _before_work(task_id: str = "", task: Any = None, **_: Any) -> None:
    if running.current is None:
        return
    told = (getattr(task.request, name, None) or "" for name in (_TRACE, _STATE))
    _at_work[task_id] = running.Span(traces.parent(*(str(text).encode("latin-1", "replace") for text in told)))


def _after_work(task_id: str = "", task: Any = None, state: str = "", **_: Any) -> None:
    span = _at_work.pop(task_id, None)
    if span is None:
        return
    is_failed = state == "FAILURE"
    pairs: dict[str, wire.Value] = {**_of(task.name, task_id), "messaging.operation.type": "process"}
    pairs["weir.state"] = str(state).lower()
    if is_failed:
        pairs["error.type"] = "failure"
    span.end(f"process {task.name}", kind=wire.CONSUMER, pairs=pairs, is_failed=is_failed)


def _of(name: str, task_id: str) -> dict[str, wire.Value]:
    return {"messaging.system": "celery", "messaging.message.id": task_id, "weir.task": name}


def _here() -> traces.Parent | None:
    """What sends the task, if it is being recorded."""
    trace_id, span_id = traces.place.get()
    return traces.Parent(trace_id, span_id, is_sampled=True, is_remote=False) if span_id else None
