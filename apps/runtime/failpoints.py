"""Named places at which a test may kill, stop, break or delay this process.

`WEIR_FAILPOINT=name:action[:nth]`, several with commas between. Actions: kill (SIGKILL), stop (SIGSTOP), raise
(Failed), sleep=SECONDS. It acts once, when the process passes there for the nth time (the first unless given).
The settings arm it, once; where nothing is armed a passage costs one `if`. Production refuses to start with one unless
WEIR_FAULTS=1.
"""

from __future__ import annotations

import itertools
import os
import signal
import time

from django.core.exceptions import ImproperlyConfigured

NAMES = frozenset(
    {
        "journal.intent.before_commit",
        "journal.intent.after_commit",
        "journal.outcome.before_commit",
        "journal.outcome.after_commit",
        "journal.cut",  # what is open has been written again, the old pages are still there
        "attempt.intended",  # the upstream has not seen a byte
        "relay.begun",  # the client has the first bytes of a stream
        "attempt.checkpoint",
        "settle.before_journal",
        "settle.after_journal",  # said, not written yet
        "forward.before_commit",
        "forward.after_commit",  # the journal does not know yet
        "lease.granted",  # committed, and this process has not heard of it
        "recover.before_retire",  # all is posted, the leases are not freed
        "reap.before_write_off",  # what ran is unconfirmed, the leases are not freed
        "rollup.before_commit",
        "rollup.between_hours",
        "rollup.day_before_commit",
        "rollup.between_days",
        "rollup.zone_adopted",
        "rollup.before_mark",  # all is computed, and the next run does not know
        "alert.before_commit",  # decided, and its notices are written in a transaction that is still open
        "alert.claimed",  # nothing is sent yet
        "alert.sent",  # and nobody has written that down
        "event.placed",  # in a transaction that is still open
        "event.sent",  # and the sink's cursor does not know
        "seal.before_commit",  # PostgreSQL: the partition is dropped in a transaction that is still open
        "seal.between_hours",  # SQLite: some hours of the month are sealed
        "seal.before_finish",
    }
)
_ACTIONS = ("kill", "stop", "raise", "sleep")
_armed: dict[str, _Armed] = {}


class Failed(Exception):
    """What the action `raise` raises."""


class _Armed:
    """`nth` counts down to the one passage at which it acts; threads may pass at the same time."""

    def __init__(self, action: str, *, seconds: float, nth: int) -> None:
        self._action = action
        self._seconds = seconds
        self._nth = nth
        self._passages = itertools.count(1)

    def passed(self, name: str) -> None:
        if next(self._passages) != self._nth:
            return
        if self._action == "raise":
            raise Failed(name)
        if self._action == "sleep":
            time.sleep(self._seconds)
        else:
            os.kill(os.getpid(), signal.SIGKILL if self._action == "kill" else signal.SIGSTOP)


def failpoint(name: str) -> None:
    """One of NAMES, and this is the only place of it."""
    if _armed and (found := _armed.get(name)) is not None:
        found.passed(name)


def arm(text: str) -> None:
    """Instead of what was armed. Raises ImproperlyConfigured for what cannot be read."""
    global _armed
    _armed = dict(_read(word) for word in text.split(",") if word)


def _read(word: str) -> tuple[str, _Armed]:
    name, _, rest = word.partition(":")
    told, _, count = rest.partition(":")
    action, _, seconds = told.partition("=")
    try:
        if name not in NAMES or action not in _ACTIONS or bool(seconds) != (action == "sleep"):
            raise ValueError(word)
        return name, _Armed(action, seconds=float(seconds or 0), nth=int(count or 1))
    except ValueError:
        raise ImproperlyConfigured(
            f"WEIR_FAILPOINT={word!r}: it is name:action[:nth], with one of {', '.join(sorted(NAMES))}"
            f" and kill, stop, raise or sleep=SECONDS."
        ) from None
