"""Chores that run every second do not log that they began and ended; what goes wrong in them is logged as ever."""

from __future__ import annotations

import logging

EVERY_SECOND = frozenset({"apps.events.tasks.deliver"})
_LOGGERS = ("celery.beat", "celery.worker.strategy", "celery.app.trace")


def begin() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(is_worth_a_line)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    if record.levelno > logging.INFO:
        return True
    told = getattr(record, "data", None)
    names = [told.get("name")] if isinstance(told, dict) else list(record.args or ())
    return EVERY_SECOND.isdisjoint(name for name in names if isinstance(name, str))
