"""Refusals of this process that the database has not been told of yet: counted, and the newest of each caller kept.

A caller that is refused ten thousand times a second is a number that grows, not rows: what is counted apart is bounded
for each caller and in all, and what exceeds that is counted less finely.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from apps.domain.refusals import Batch, Call, Counted, Often, asked

if TYPE_CHECKING:
    from uuid import UUID

    from apps.domain.snapshot import Principal

    _Noted = tuple[Counted, int, float, UUID, str, str, str, str, bytes]

HOUR = 3_600
MOST = 20_000  # that are counted apart in an hour
MOST_OF_A_CALLER = 50  # of them; the rest without their models
PLACES = 20  # calls that are kept of each caller
_AT_ONCE = 5  # of each caller in a batch
_CALLERS = 200  # in a batch
_MOST_PLACED = 50_000


class Tally:
    """One per process, on its event loop. What is taken stays the same batch until it is done."""

    def __init__(self) -> None:
        self._counts: dict[Counted, list[float]] = {}  # how often, first, last
        self._calls: dict[int, deque[_Noted]] = {}  # by caller
        self._places: dict[int, int] = {}  # of each caller's next
        self._hour = 0
        self._apart: set[Counted] = set()  # in this hour
        self._of_callers: Counter[tuple[int, int]] = Counter()
        self._batch: Batch | None = None
        self._number = 0

    def __bool__(self) -> bool:
        """Whether there is something to write."""
        return self._batch is not None or bool(self._counts)

    def unknown(self, reason: str, *, status: int, at: float) -> None:
        """Of nobody that is known. `at` in unix seconds."""
        self._count(Counted(int(at) // HOUR * HOUR, None, None, None, None, "", reason, status), at)

    def note(
        self,
        whose: Principal,
        reason: str,
        *,
        status: int,
        at: float,
        model: str,
        request_id: UUID,
        wanted: str,
        endpoint: str,
        address: str,
        agent: bytes,
    ) -> None:
        """`at` in unix seconds; `model` is one that there is, or ""; `wanted` as the caller wrote it."""
        hour = int(at) // HOUR * HOUR
        exact = Counted(hour, whose.tenant_id, whose.project_id, whose.user_id, whose.key_id, model, reason, status)
        known = self._counts.get(exact)
        if known is not None:
            known[0] += 1
            known[2] = at
        else:
            self._count(exact if exact in self._apart else self._admitted(exact, whose), at)
        caller = whose.caller
        newest = self._calls.get(caller)
        if newest is None:
            if len(self._calls) >= _CALLERS:
                return
            newest = self._calls[caller] = deque(maxlen=_AT_ONCE)
        place = self._places.get(caller)
        if place is None:
            if len(self._places) >= _MOST_PLACED:
                self._places.clear()
            place = request_id.int  # two processes begin at different places
        self._places[caller] = place = (place + 1) % PLACES
        newest.append((exact, place, at, request_id, model, wanted, endpoint, address, agent))

    def _count(self, counted: Counted, at: float) -> None:
        known = self._counts.get(counted)
        if known is None:
            self._counts[counted] = [1, at, at]
        else:
            known[0] += 1
            known[2] = at

    def _admitted(self, counted: Counted, whose: Principal) -> Counted:
        """As finely as it may be counted."""
        if counted.hour > self._hour:
            self._hour = counted.hour
            self._apart.clear()
            self._of_callers.clear()
        if max(len(self._apart), len(self._counts)) >= MOST:  # of an hour, or of all that waits to be written
            return counted._replace(user_id=None, key_id=None, model="")
        caller = (whose.tenant_id, whose.caller)
        if self._of_callers[caller] >= MOST_OF_A_CALLER:
            return counted._replace(model="")
        self._of_callers[caller] += 1
        self._apart.add(counted)
        return counted

    def take(self) -> Batch | None:
        """What is to be written; None: nothing. The same again until `done`, as nobody may know what became of it."""
        if self._batch is None and self._counts:
            counts, calls = self._counts, self._calls
            self._counts, self._calls = {}, {}
            self._number += 1
            told = {counted: Often(int(count), first, last) for counted, (count, first, last) in counts.items()}
            newest = tuple(_call(*noted) for each in calls.values() for noted in each)
            self._batch = Batch(self._number, told, newest)
        return self._batch

    def done(self) -> None:
        self._batch = None

    def forget(self) -> None:
        """What is here is of another installation, as in tests; numbers go on."""
        for gathered in (self._counts, self._calls, self._places, self._apart, self._of_callers):
            gathered.clear()
        self._batch = None


def _call(
    of: Counted,
    place: int,
    at: float,
    request_id: UUID,
    model: str,
    wanted: str,
    endpoint: str,
    address: str,
    agent: bytes,
) -> Call:
    return Call(of, place, at, request_id, model or asked(wanted), endpoint, address, agent[:200].decode("latin-1"))


tally = Tally()
"""This process's."""
