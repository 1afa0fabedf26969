"""The gateway's sink: takes what is told of calls on the event loop, and makes spans and measures of it in a thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import structlog

from gateway_site.telemetry import delivery, spans
from gateway_site.telemetry.measures import Measures

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.gateway.tracing import Told
    from apps.runtime.traces import Parent
    from gateway_site.telemetry.delivery import Delivery
    from gateway_site.telemetry.wanted import Wanted

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25
# Between so many calls the interpreter is given back to the event loop, which else would wait for it for 5 ms.
_AT_ONCE = 4
_REST_SECONDS = 0.0005


class Calls:
    """`tracing.Sink`. `traces` and `metrics`: where they go, None where nobody wants them."""

    def __init__(self, wanted: Wanted, *, traces: Delivery | None, metrics: Delivery | None) -> None:
        self._sampler = wanted.sampler
        self._most = wanted.most
        self._every = wanted.every
        self._told = wanted.providers if traces is not None else frozenset()
        self._traces = traces
        self._metrics = metrics
        self._measures = Measures()
        self._calls: deque[Told] = deque()
        self._dropped = 0  # counted by the thread: a counter takes a lock
        self._reported = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-calls", daemon=True)
        self._thread.start()

    def samples(self, trace_id: str, parent: Parent | None) -> bool:
        return self._traces is not None and self._sampler.samples(trace_id, parent)

    def tells(self, provider: str) -> bool:
        return provider in self._told or "*" in self._told

    def take(self, call: Told) -> None:
        if len(self._calls) >= self._most:
            self._dropped += 1
        else:
            self._calls.append(call)

    def close(self, until: float) -> None:
        """Makes what is left, until this monotonic second."""
        self._closing.set()
        self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        is_well = True
        while not self._closing.wait(LOOK_SECONDS):
            is_well = self._goes_on(lambda: self._look(_REST_SECONDS), was_well=is_well)
        self._goes_on(lambda: self._look(0.0), was_well=is_well)
        self._goes_on(self._report, was_well=is_well)

    @staticmethod
    def _goes_on(does: Callable[[], None], *, was_well: bool) -> bool:
        """Whether nothing broke. What does costs figures, and is told once until all is well again."""
        try:
            does()
        except Exception:
            if was_well:
                log.exception("telemetry.figures_untold")
            return False
        return True

    def _look(self, rest: float) -> None:
        epoch = time.time_ns() - time.monotonic_ns()
        for number in range(len(self._calls)):
            call = self._calls.popleft()
            try:
                self._make(call, epoch)
            except Exception:
                log.exception("telemetry.call_untold", request_id=call.request_id)
            if number % _AT_ONCE == _AT_ONCE - 1:
                time.sleep(rest)
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            delivery.DROPPED.labels("calls", "full").inc(dropped)
        if time.monotonic() - self._reported >= self._every:
            self._report()

    def _make(self, call: Told, epoch: int) -> None:
        if self._metrics is not None:
            self._measures.note(call)
        if call.is_sampled and self._traces is not None:
            made = [*spans.spans_of(call, epoch=epoch)]
            self._traces.put(b"".join(made), len(made))

    def _report(self) -> None:
        self._reported = time.monotonic()
        if self._metrics is not None:
            for metric, points in self._measures.written():
                self._metrics.put(metric, points)
