"""Starts and stops telemetry in a process, once for each. Nothing of OpenTelemetry is imported before `start`."""

from __future__ import annotations

import atexit
import logging
import os
import random
import time
from typing import TYPE_CHECKING

from django.conf import settings

from apps.runtime import build, traces
from apps.runtime.state import state
from gateway_site.telemetry import wire

if TYPE_CHECKING:
    from gateway_site.telemetry.wanted import Wanted

SHUTDOWN_SECONDS = 5.0
SERVERS = frozenset({"all", "gateway"})  # roles that take calls
_dice = random.SystemRandom()
_first = os.getpid()  # a worker's children have ids of their own


class Telemetry:
    """`role`: what this process is."""

    def __init__(self, wanted: Wanted, *, role: str) -> None:
        from apps.gateway import tracing
        from gateway_site.telemetry.calls import Calls
        from gateway_site.telemetry.delivery import Delivery
        from gateway_site.telemetry.figures import Figures
        from gateway_site.telemetry.lines import Lines

        self.sampler = wanted.sampler
        head = wire.envelope(_resource(wanted, role), scope="weir", version=build.VERSION)
        self._deliveries = {each.signal: Delivery(each, head=head, most=wanted.most) for each in wanted.destinations}
        self.traces = self._deliveries.get("traces")
        metrics = self._deliveries.get("metrics")
        self.calls: Calls | None = None
        if role in SERVERS and (self.traces is not None or metrics is not None):
            self.calls = tracing.sink = Calls(wanted, traces=self.traces, metrics=metrics)
        self.figures: Figures | None = None
        if metrics is not None:
            knows_itself = role == state.role and not _is_child()
            self.figures = Figures(metrics, every=wanted.every, knows_itself=knows_itself)
        self._lines = Lines(self._deliveries["logs"]) if "logs" in self._deliveries else None
        if self._lines is not None:
            logging.getLogger().addHandler(self._lines)

    def close(self) -> None:
        """Sends what waits, for SHUTDOWN_SECONDS at most."""
        until = time.monotonic() + SHUTDOWN_SECONDS
        self.forget()
        if self.calls is not None:
            self.calls.close(until)
        if self.figures is not None:
            self.figures.close(until)
        for delivery in self._deliveries.values():
            delivery.end(until)
        for delivery in self._deliveries.values():
            delivery.join()

    def forget(self) -> None:
        """Nobody hands anything over from now on. All there is to do in a child, which has none of the threads."""
        if self.calls is not None:
            from apps.gateway import tracing

            tracing.sink = None
        if self._lines is not None:
            logging.getLogger().removeHandler(self._lines)


class Span:
    """What runs until `end` or `drop`: a page's request, a task. Its trace goes on from `parent`, or begins here. What
    is logged meanwhile is said to belong to it, if it `is_current`."""

    def __init__(self, parent: traces.Parent | None, *, is_current: bool = True) -> None:
        self.parent = parent
        self.trace_id = parent.trace_id if parent is not None else f"{_dice.getrandbits(128) or 1:032x}"
        self.span_id = _dice.getrandbits(64) or 1
        running = current
        self.is_sampled = running is not None and running.traces is not None
        if running is not None and self.is_sampled:
            self.is_sampled = running.sampler.samples(self.trace_id, parent)
        self._started = time.time_ns()
        self._former = traces.place.get()
        if is_current:
            traces.place.set((self.trace_id, f"{self.span_id:016x}" if self.is_sampled else ""))

    @property
    def traceparent(self) -> str:
        return traces.written(self.trace_id, f"{self.span_id:016x}", is_sampled=self.is_sampled)

    def drop(self) -> None:
        """Nobody wants to know."""
        traces.place.set(self._former)

    def end(self, name: str, *, kind: int, pairs: dict[str, wire.Value], is_failed: bool) -> None:
        self.drop()
        if current is None or current.traces is None or not self.is_sampled:
            return
        current.traces.put(
            wire.span(
                name,
                trace_id=bytes.fromhex(self.trace_id),
                span_id=self.span_id,
                parent=int(self.parent.span_id, 16) if self.parent is not None else None,
                is_remote=self.parent is not None and self.parent.is_remote,
                kind=kind,
                started=self._started,
                ended=time.time_ns(),
                attributes=wire.attributes(9, pairs),
                is_failed=is_failed,
                state=self.parent.state if self.parent is not None else "",
            )
        )


current: Telemetry | None = None
_is_watched = False


def start(role: str) -> None:
    """Where an endpoint is set; else nothing."""
    global current, _is_watched
    wanted: Wanted | None = settings.WEIR_TELEMETRY
    if wanted is None or current is not None:
        return
    current = Telemetry(wanted, role=role)
    if not _is_watched:
        _is_watched = True
        atexit.register(stop)
        os.register_at_fork(after_in_child=_forget)


def tell_of_all() -> None:
    """Here the beat runs: it tells what the database and the broker know, and nobody else does."""
    if current is not None and current.figures is not None:
        current.figures.tell_of_all()


def _is_child() -> bool:
    return os.getpid() != _first


def _forget() -> None:
    """A child may start its own."""
    global current
    if current is not None:
        current, former = None, current
        former.forget()


def stop() -> None:
    """Bounded, whatever the collector does."""
    global current
    if current is not None:
        telemetry, current = current, None
        telemetry.close()


def _resource(wanted: Wanted, role: str) -> dict[str, wire.Value]:
    """What the operator says of it goes before what is known here."""
    known: dict[str, wire.Value] = {
        "service.version": build.VERSION,
        "service.instance.id": f"{state.replica}-{os.getpid()}" if _is_child() else state.replica,
        "process.pid": os.getpid(),
        "weir.role": role,
    }
    return known | wanted.resource
