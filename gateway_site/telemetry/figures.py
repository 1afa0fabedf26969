"""What `/metrics` tells, told by OTLP too: read every so often in a thread, and reported whole.

Each process tells of itself. What the database and the broker know is told where the beat runs, of which there is one,
so nothing is told twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import structlog
from django.db import close_old_connections, connections

from apps.runtime.database import Patience
from apps.status import exposition
from gateway_site.telemetry import points

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from gateway_site.telemetry.delivery import Delivery

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 5.0  # with the database, for one report
_REST_SECONDS = 0.0005  # in which the event loop gets the interpreter, as in `calls`


class Figures:
    """`knows_itself`: beside what this process counts, its gauges and checks are told. Those of a worker's child mean
    nothing."""

    def __init__(self, metrics: Delivery, *, every: float, knows_itself: bool) -> None:
        self._metrics = metrics
        self._every = every
        self._knows_itself = knows_itself
        self._tells_of_all = False
        self._began = time.time_ns()
        self._patience = Patience(PATIENCE_SECONDS)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-figures", daemon=True)
        self._thread.start()

    def tell_of_all(self) -> None:
        """From now on also what the database and the broker know. For one process of an installation."""
        self._tells_of_all = True

    def close(self, until: float) -> None:
        """Reports what has been counted, until this monotonic second. No store is asked any more."""
        self._closing.set()
        self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while not self._closing.wait(self._every):
            self._report(self._of_this_process)
            self._report(self._of_others)
        self._report(self._of_this_process)

    def _of_this_process(self) -> Iterable[Metric]:
        return exposition.of_this_process(knows_itself=self._knows_itself)

    def _of_others(self) -> list[Metric]:
        """With a connection to the database that is not kept, as the next report is long away."""
        try:
            with self._patience.asking():
                close_old_connections()
                found = [*exposition.of_its_stores()] if self._knows_itself else []
                return [*found, *(exposition.of_the_installation() if self._tells_of_all else ())]
        finally:
            connections.close_all()

    def _report(self, read: Callable[[], Iterable[Metric]]) -> None:
        try:
            for family in read():
                for metric, count in points.written(family, began=self._began, rest=self._rest):
                    self._metrics.put(metric, count)
        except Exception:  # a figure that cannot be read costs the rest of a report, and no more
            log.exception("telemetry.figures_untold")

    def _rest(self) -> None:
        if not self._closing.is_set():
            time.sleep(_REST_SECONDS)
