"""Log records by OTLP: the same that go to stdout, behind the same three nets (`gateway_site/logs.py`)."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec

from gateway_site import logs
from gateway_site.telemetry import wire
from gateway_site.telemetry.delivery import DROPPED

if TYPE_CHECKING:
    from gateway_site.telemetry.delivery import Delivery

_SEVERITIES = ((logging.CRITICAL, 21), (logging.ERROR, 17), (logging.WARNING, 13), (logging.INFO, 9), (0, 5))
_ELSEWHERE = frozenset({"event", "time", "level", "trace_id", "span_id"})
_read = msgspec.json.Decoder(dict[str, str | bool | int | float | None]).decode
_RENAMED = {"exception": "exception.stacktrace", "logger": "weir.logger"}


class Lines(logging.Handler):
    def __init__(self, delivery: Delivery) -> None:
        super().__init__()
        self._delivery = delivery
        self.setFormatter(logs.formatter(logs.as_json))
        self.addFilter(logs.RedactionFilter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._delivery.put(_written(_read(self.format(record)), record))
        except Exception:  # `logs.Out` tells of it; `handleError` would print its values
            DROPPED.labels("logs", "broken").inc()


def _written(event: dict[str, str | bool | int | float | None], record: logging.LogRecord) -> bytes:
    pairs = {
        _RENAMED.get(name, f"weir.{name}"): value
        for name, value in event.items()
        if name not in _ELSEWHERE and value is not None
    }
    return wire.line(
        str(event.get("event", "")),
        at=time.time_ns(),
        severity=next(number for level, number in _SEVERITIES if record.levelno >= level),
        level=record.levelname,
        pairs=pairs,
        trace_id=str(event.get("trace_id", "")),
        span_id=str(event.get("span_id", "")),
    )
