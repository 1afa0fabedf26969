"""A gateway process's half of the accounting, as a model: slices in memory, a journal on its disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.money.model_books import Ask, Books, Call, Committed, LeaseKey, Outcome, kept


@dataclass(slots=True, eq=False)
class Slice:
    """A lease as its process sees it. `expected` and `worst`: of the calls that run."""

    key: LeaseKey
    granted: int = 0
    credit: int = 0
    spent: int = 0
    expected: int = 0
    worst: int = 0

    def admits(self, *, expected: int, worst: int) -> bool:
        return (
            self.spent + self.expected + expected <= self.granted
            and self.spent + self.worst + worst <= self.granted + self.credit
        )

    @property
    def committed(self) -> Committed:
        return self.spent + self.expected, self.spent + self.worst


@dataclass(slots=True)
class Running:
    call: Call
    slices: list[Slice]
    expected: int
    has_delivered: bool = False


@dataclass(slots=True)
class Process:
    """`said` is not on the disk yet; `journal` is. `sent`: so many of its outcomes the ledger is known to have."""

    name: str
    gate: bool
    epoch: int | None = None
    slices: dict[int, Slice] = field(default_factory=dict)
    old: list[Slice] = field(default_factory=list)
    running: dict[Any, Running] = field(default_factory=dict)
    said: list[Outcome] = field(default_factory=list)
    intents: dict[Any, Call] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    sent: int = 0
    told: set[Any] = field(default_factory=set)
    is_alive: bool = True

    # --- the path of a call ------------------------------------------------------------------------------------

    def admit(self, number: Any, windows: Sequence[int], *, expected: int, worst: int) -> Running | None:
        """A promise of every window or of none; then it is on the disk, and the provider may be asked."""
        slices = self.reserve(windows, expected=expected, worst=worst)
        if slices is None:
            return None
        call = Call(number, self.name, worst, tuple(found.key for found in slices))
        running = self.running[number] = Running(call, slices, expected)
        self.intents[number] = call
        return running

    def reserve(self, windows: Sequence[int], *, expected: int, worst: int) -> list[Slice] | None:
        slices = [self.slices[window] for window in windows if window in self.slices]
        if len(slices) < len(windows) or not all(found.admits(expected=expected, worst=worst) for found in slices):
            return None
        for found in slices:
            found.expected += expected
            found.worst += worst
        return slices

    def may_deliver(self, running: Running) -> bool:
        return not self.gate or running.call.number in self.told

    def finish(self, number: Any, *, amount: int) -> None:
        running = self.running.pop(number)
        for found in running.slices:
            found.expected -= running.expected
            found.worst -= running.call.worst
            found.spent += amount
        self.said.append(Outcome(running.call, self.recorded(running.call, amount)))

    def recorded(self, call: Call, amount: int) -> int:
        """The truth, whatever was reserved."""
        return amount

    def flush(self) -> None:
        self.outcomes += self.said
        self.said = []

    # --- leases ------------------------------------------------------------------------------------------------

    def granted(self, asks: Sequence[Ask], answer: Mapping[int, tuple[int, int]] | None) -> None:
        """None: the answer was lost."""
        for window, (granted, credit) in (answer or {}).items():
            assert self.epoch is not None
            found = self.slices.setdefault(window, Slice((window, self.name, self.epoch)))
            found.granted, found.credit = granted, credit

    def expire(self) -> None:
        """By its own clock, before anybody may write it off: it takes nothing more of what it holds."""
        self.old += self.slices.values()
        self.slices = {}

    def start_anew(self) -> None:
        """It was fenced. Calls that run end on the leases they began on."""
        self.expire()
        self.epoch = None

    def give_back(self) -> dict[LeaseKey, Committed]:
        """What is kept of every lease. From now on nobody takes from the rest."""
        for found in [*self.slices.values(), *self.old]:
            found.granted, found.credit = kept(found.granted, found.credit, found.committed)
        return {found.key: found.committed for found in [*self.slices.values(), *self.old]}

    # --- an heir's reading of the journal -----------------------------------------------------------------------

    def presumed(self) -> list[Outcome]:
        """What was promised and never heard of again."""
        ended = {told.call.number for told in self.outcomes}
        return [
            Outcome(call, call.worst, is_confirmed=False)
            for number, call in self.intents.items()
            if number not in ended
        ]


class Heir:
    """Whoever finds a dead process's journal: records it, then frees its leases. May die at it, and begin again."""

    def __init__(self, dead: Process, books: Books) -> None:
        self.dead = dead
        self.books = books
        self.stage = 0

    def transactions(self) -> list[Any]:
        books, dead = self.books, self.dead
        return [
            lambda: books.post(dead.outcomes),
            lambda: books.post(dead.presumed()),
            lambda: books.retire(dead.name),
        ]

    @property
    def is_done(self) -> bool:
        return self.stage >= len(self.transactions())

    def next(self) -> Any:
        return self.transactions()[self.stage]()
