"""Logging of every process: one JSON object a line on stdout, or a readable console.

Three nets. Only named fields get out (`FIELDS`); every text passes `redact`, tracebacks and other libraries' messages
included; control characters are escaped, so that one record stays one line. Bodies and headers have no field at all.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from apps.runtime import traces
from apps.runtime.redact import redact
from apps.runtime.state import state

Event = MutableMapping[str, Any]

_RECORD = {"time", "level", "event", "logger", "replica", "exception", "stack", "dropped", "trace_id", "span_id"}
_WHO = {"tenant", "tenant_id", "project", "project_id", "user", "user_id", "actor", "key", "key_id", "public_id"}
_WHERE = {"request_id", "attempt", "method", "path", "endpoint", "dialect", "model", "deployment", "provider"}
_WHERE |= {"credential", "upstream_model", "client", "area", "target", "limit", "budget", "scope", "pinned", "issuer"}
_WHERE |= {"rule", "delivery", "invitation", "subject"}
_OUTCOME = {"status", "upstream_status", "outcome", "kind", "code", "error", "message", "reason", "stream"}
_MEASURES = {"tokens", "in_tokens", "out_tokens", "cost", "bytes", "count", "rows", "age", "lag", "retry_after"}
_MEASURES |= {"seconds", "milliseconds", "duration_ms", "first_byte_ms", "in_flight", "revision"}
_MEASURES |= {"prestop_seconds", "drain_seconds"}
_PROCESS = {"phase", "signal", "host", "port", "pid", "version", "journal", "task", "task_id", "queue", "schedule"}
FIELDS = frozenset(_RECORD | _WHO | _WHERE | _OUTCOME | _MEASURES | _PROCESS)
_MAX_TEXT = 4_096
_MAX_TRACE = 32_768
# What ends a line, what turns text round or hides it, and halves of characters, which no encoder takes.
_UNSEEN = "\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
_CONTROL = re.compile(f"[\x00-\x1f{_UNSEEN}]")
_CONTROL_IN_TRACE = re.compile(f"[\x00-\x08\x0b-\x1f{_UNSEEN}]")
_LARGEST = 2**63  # of numbers that every reader of JSON takes, and its writer
_TRACES = frozenset({"exception", "stack"})

_ROUTED = ("django", "uvicorn", "uvicorn.error", "daphne", "celery", "celery.task")
# Weir tells of calls itself; these would tell of each a second time, some with the query in the path.
_QUIET = (
    "daphne.http",
    "django.server",
    "aiohttp.access",
    "httpx",
    "httpcore",
    "httpx2",
    "httpcore2",
    "asyncio",
    "kombu",
    "twisted",
    "urllib3",
)


def configure(*, console: bool, level: str) -> dict[str, Any]:
    """Sets structlog up and returns what Django calls LOGGING. `level` is a name such as INFO."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"redaction": {"()": RedactionFilter}},
        "formatters": {
            "weir": {"()": formatter, "render": _console() if console else as_json},
        },
        "handlers": {
            "stdout": {
                "()": Out,
                "stream": "ext://sys.__stdout__",  # Celery puts a proxy that logs in the other one's place
                "formatter": "weir",
                "filters": ["redaction"],
            }
        },
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            **{name: {"handlers": [], "propagate": True, "level": "NOTSET"} for name in _ROUTED},
            **{name: {"handlers": [], "propagate": True, "level": "WARNING"} for name in _QUIET},
            # Uvicorn renders a line for every call unless this logger leads nowhere.
            "uvicorn.access": {"handlers": [], "propagate": False},
        },
    }


def formatter(render: Any) -> structlog.stdlib.ProcessorFormatter:
    """Through the nets; `render` makes what goes out of what is left."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            only_named_fields,
            clean,
            render,
        ],
    )


def only_named_fields(logger: object, method: str, event: Event) -> Event:
    """Drops what has no name in FIELDS, and tells the names of what it dropped."""
    unknown = sorted(name for name in event if name not in FIELDS)
    if unknown:
        for name in unknown:
            del event[name]
        event["dropped"] = ", ".join(unknown)
    return event


def clean(logger: object, method: str, event: Event) -> Event:
    """Numbers as they are, everything else as short, redacted text on one line."""
    for name, value in event.items():
        if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
            event[name] = _text(hex(value))
        elif value is not None and not isinstance(value, bool | int | float):
            event[name] = _trace(str(value)) if name in _TRACES else _text(value)
    return event


class Out(logging.StreamHandler):  # type: ignore[type-arg]
    """Tells of a record that cannot be written whence it came and what failed; the standard library would print its
    values to stderr as they are."""

    def handleError(self, record: logging.LogRecord) -> None:
        failed = sys.exc_info()[0]
        event = {"event": "log.failed", "kind": failed.__name__ if failed else "", "logger": record.name}
        at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        with contextlib.suppress(Exception):  # it may be this stream that has gone
            self.stream.write(_encode({**event, "level": "error", "replica": state.replica, "time": at}) + "\n")
            self.flush()


class RedactionFilter(logging.Filter):
    """For any handler, whatever its formatter: message and traceback are redacted in the record itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, Mapping):
            return True  # structlog's own, cleaned field by field
        try:
            message = record.getMessage()
        except Exception:  # a wrong format string in somebody's library must not cost the record
            message = f"{record.msg} [arguments do not fit]"
        record.msg, record.args = redact(message), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True


def _shared() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _add_replica,
        _add_place,
    ]


def _add_replica(logger: object, method: str, event: Event) -> Event:
    event["replica"] = state.replica
    return event


def _add_place(logger: object, method: str, event: Event) -> Event:
    """The trace that the record belongs to, if any."""
    trace_id, span_id = traces.place.get()
    if trace_id:
        event.setdefault("trace_id", trace_id)
    if span_id:
        event.setdefault("span_id", span_id)
    return event


def _console() -> structlog.dev.ConsoleRenderer:
    """Tracebacks are plain: the pretty ones show local variables."""
    return structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
    )


def _encode(event: Event, **_: Any) -> str:
    return msgspec.json.encode(event).decode()


as_json = structlog.processors.JSONRenderer(serializer=_encode)


def _text(value: object) -> str:
    text = f"<{len(value)} bytes>" if isinstance(value, bytes | bytearray) else str(value)
    return _CONTROL.sub(_escape, redact(text[:_MAX_TEXT]))


def _trace(text: str) -> str:
    return _CONTROL_IN_TRACE.sub(_escape, redact(text[-_MAX_TRACE:]))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
