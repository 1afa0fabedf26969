"""The time by which money is counted: the database's, so that processes whose clocks differ agree on days and prices,
and one whose clock is set does not jump.

It runs by the monotonic clock. Whenever a process asks for changes it is compared with the database's, or with the
machine's own where the database has none (SQLite) or is not measurably apart.
"""

from __future__ import annotations

import logging
import time

from django.db import connection

log = logging.getLogger(__name__)

# Less may be the way there and back.
MEASURABLE_SECONDS = 1.0
WARN_SECONDS = 2.0

_began = time.time() - time.monotonic()  # when the monotonic clock stood at 0
_ahead = 0.0


def now() -> float:
    """Unix seconds."""
    return _began + time.monotonic()


def ahead() -> float:
    """Seconds that the machine's clock was ahead of the database's when they were last compared."""
    return _ahead


def compare() -> None:
    """Sets this clock. On any thread; asks the database what time it is if that has a clock of its own."""
    asked_at, ours = time.monotonic(), time.time()
    theirs = ours
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            theirs = float(cursor.fetchone()[0])
    _take(ours=ours, theirs=theirs, asked_at=asked_at, answered_at=time.monotonic())


def _take(*, ours: float, theirs: float, asked_at: float, answered_at: float) -> None:
    """`ours` is the machine's time at `asked_at`; `theirs` was read between `asked_at` and `answered_at`."""
    global _began, _ahead
    if answered_at - asked_at >= MEASURABLE_SECONDS:
        return
    theirs_began = theirs - (asked_at + answered_at) / 2
    found = ours - asked_at - theirs_began
    if abs(found) < MEASURABLE_SECONDS:
        _began, _ahead = ours - asked_at, 0.0
        return
    if abs(found) >= WARN_SECONDS and abs(found - _ahead) >= MEASURABLE_SECONDS:
        log.warning("this machine's clock is %+.1f s from the database's, which is believed", found)
    _began, _ahead = theirs_began, found
