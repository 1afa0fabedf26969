"""What Celery logs, and should not: that chores which run every second began and ended, and the arguments of a task
that a worker does not know. What goes wrong is logged as ever."""

from __future__ import annotations

import logging
import re

EVERY_SECOND = frozenset({"apps.events.tasks.deliver"})
_CONSUMER = "celery.worker.consumer.consumer"
_CONTENTS = re.compile(r"(?:The full contents|\[type:|body:).*", re.DOTALL)
_LOGGERS = ("celery.beat", "celery.worker.strategy", "celery.app.trace")


def begin() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(is_worth_a_line)
    logging.getLogger(_CONSUMER).addFilter(without_contents)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    if record.levelno > logging.INFO:
        return True
    told = getattr(record, "data", None)
    names = [told.get("name")] if isinstance(told, dict) else list(record.args or ())
    return EVERY_SECOND.isdisjoint(name for name in names if isinstance(name, str))


def without_contents(record: logging.LogRecord) -> bool:
    """A message that a worker can do nothing with, as one of a later release, is named, and not told."""
    if record.levelno >= logging.WARNING:
        record.msg, record.args = _CONTENTS.sub("", record.getMessage()).strip(), ()
    return True
