"""Prometheus's families that are read from the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from django.db import DatabaseError, InterfaceError
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# Several scrapers of one process share a look at the database, and an outage is waited for no more often than this.
FRESH_SECONDS = 15.0


class Outage:
    """Of a database that several ask: who finds it away spares the others the wait."""

    def __init__(self) -> None:
        self.found_at = float("-inf")


class Remembered(Collector):
    """What `read` tells, for FRESH_SECONDS; nothing while the database is away."""

    def __init__(
        self,
        read: Callable[[], list[Metric]],
        *,
        outage: Outage | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._now = now
        self._outage = outage or Outage()
        self._read_at = float("-inf")
        self._told: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        if self._now() - self._read_at > FRESH_SECONDS:
            self._read_at = self._now()
            self._told = self._ask()
        yield from self._told

    def _ask(self) -> list[Metric]:
        if self._now() - self._outage.found_at <= FRESH_SECONDS:
            return []
        try:
            return self._read()
        except (DatabaseError, InterfaceError):
            self._outage.found_at = self._now()
            return []

    def describe(self) -> list[Metric]:
        return []
