"""A look at all that an installation needs, with what to do about each thing that is not as it must be.

Every examination is bounded: a store that says nothing costs its own time, and the others go on. Nothing is changed,
and no finding holds a secret.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from django.db import close_old_connections, connections

from apps.runtime.redact import redact
from apps.status.doctor import background, configuration, database, keys, machine, outside, stores
from apps.status.doctor.findings import Finding, problem, warning

__all__ = ["SECONDS", "Finding", "examine"]

Examination = Callable[[], Iterable[Finding]]

SECONDS = 20.0
# By what it looks at. Those of the second table ask the database, and are put off where that does not answer.
_ALONE: dict[str, Examination] = {
    "configuration": configuration.examine,
    "machine": machine.examine,
    "redis": stores.redis,
    "broker": stores.broker,
    "address": outside.address,
}
_DATABASE: dict[str, Examination] = {
    "database": database.examine,
    "keys": keys.sealed,
    "holders": keys.holders,
    "providers": outside.providers,
    "background": background.chores,
    "replicas": background.replicas,
    "events": background.events,
    "books": background.books,
}


def examine(*, seconds: float = SECONDS) -> list[Finding]:
    """In the order of the tables, within so many seconds."""
    deadline = time.monotonic() + seconds
    begun = [_Examined(about, look) for about, look in _ALONE.items()]
    reached = _Examined("database", database.reached)
    found = reached.found(deadline)
    if all(finding.level != "problem" for finding in found):
        begun += [_Examined(about, look) for about, look in _DATABASE.items()]
    else:
        told = f"not looked at without it: {', '.join([*_DATABASE][1:])}"
        found.append(warning("database", told, "Mend the database first, then ask again."))
    order = [*found]
    for one in begun:
        order += one.found(deadline)
    return order


class _Examined:
    """One examination, begun in a thread of its own that nobody waits for longer than the time there is."""

    def __init__(self, about: str, look: Examination) -> None:
        self._about = about
        self._look = look
        self._found: list[Finding] = []
        self._thread = threading.Thread(target=self._run, name=f"doctor-{about}", daemon=True)
        self._thread.start()

    def found(self, deadline: float) -> list[Finding]:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            told = "no answer in time"
            return [*self._found, problem(self._about, told, "Whatever it asks is hung, or very slow: look at that.")]
        return self._found

    def _run(self) -> None:
        close_old_connections()
        try:
            for finding in self._look():
                self._found.append(finding)
        except Exception as error:  # whatever a driver raises, it is a finding
            told = redact(f"cannot be examined: {type(error).__name__}: {error}").splitlines()[0][:300]
            self._found.append(problem(self._about, told, "Mend what it says, and ask again."))
        finally:
            connections.close_all()
