"""The database's half of the accounting, as a model: budgets' windows, leases, entries, gaps.

Every operation is a transaction, written as a generator: it yields each lock it wants, and changes something only
when it has them all. So whoever drives it may let others run between two locks, and ends it half-way by dropping it.
Amounts are whole numbers of anything.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Lock = tuple[str, Any]
Transaction = Generator[Lock, None, Any]
LeaseKey = tuple[int, str, int]  # window, owner, epoch
Committed = tuple[int, int]  # spent and what is expected of the calls that run; spent and the worst of them
FENCED = "fenced"


def kept(granted: int, credit: int, committed: Committed) -> tuple[int, int]:
    """What of a lease covers what is committed: the expected by what was granted, the worst by that and credit."""
    expected, worst = committed
    granted = min(granted, max(expected, worst - credit))
    return granted, min(credit, max(0, worst - granted))


@dataclass(slots=True)
class Window:
    """One period of one budget. `ceiling`: the greatest amount + overdraft that was ever in force."""

    amount: int
    overdraft: int = 0
    settled: int = 0
    held: int = 0
    credit: int = 0
    overrun: int = 0
    ceiling: int = 0

    def __post_init__(self) -> None:
        self.change(amount=self.amount, overdraft=self.overdraft)

    def change(self, *, amount: int, overdraft: int) -> None:
        self.amount, self.overdraft = amount, overdraft
        self.ceiling = max(self.ceiling, amount + overdraft)

    @property
    def worst_room(self) -> int:
        return self.amount + self.overdraft - self.settled - self.held - self.credit

    @property
    def room(self) -> int:
        """What may still be held. Credit given under an older rule counts too."""
        return min(self.amount - self.settled - self.held, self.worst_room)


@dataclass(slots=True)
class Lease:
    granted: int = 0
    settled: int = 0
    credit: int = 0
    is_open: bool = True

    @property
    def outstanding(self) -> int:
        return self.granted - self.settled


@dataclass(frozen=True, slots=True)
class Ask:
    """`need`: the least that helps; `want`: what would be taken; `credit`: of the overdraft."""

    window: int
    need: int
    want: int
    credit: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """An attempt as its intent has it. `worst` is what every one of its leases promised."""

    number: Any
    owner: str
    worst: int
    leases: tuple[LeaseKey, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`amount` is what budgets are charged; of an unconfirmed one, the most that it can be."""

    call: Call
    amount: int
    is_confirmed: bool = True


@dataclass(slots=True)
class Entries:
    """The rows of one attempt: a first one, and at most one that resolves it."""

    call: Call
    first: int
    is_confirmed: bool
    resolution: int | None = None

    @property
    def amount(self) -> int:
        return self.first + (self.resolution or 0)

    @property
    def is_settled(self) -> bool:
        return self.is_confirmed or self.resolution is not None


@dataclass(slots=True)
class Gap:
    owner: str
    window: int
    amount: int
    is_open: bool = True


@dataclass(slots=True)
class Books:
    windows: dict[int, Window]
    leases: dict[LeaseKey, Lease] = field(default_factory=dict)
    entries: dict[Any, Entries] = field(default_factory=dict)
    opened: dict[Any, Call] = field(default_factory=dict)  # what the first-byte gate has told
    gaps: list[Gap] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    fenced: set[str] = field(default_factory=set)

    # --- leases ------------------------------------------------------------------------------------------------

    def register(self, owner: str) -> Transaction:
        yield ("replica", owner)
        self.fenced.discard(owner)
        return self.epochs.setdefault(owner, 1)

    def acquire(self, owner: str, epoch: int, asks: Sequence[Ask]) -> Transaction:
        """Window to (granted, credit) of its lease as a whole, so that a lost answer is made good by the next."""
        yield ("replica", owner)
        if self.epochs.get(owner) != epoch or owner in self.fenced:
            return FENCED
        yield from self.locks([ask.window for ask in asks])
        return {ask.window: self.grant(ask, (ask.window, owner, epoch)) for ask in asks}

    def grant(self, ask: Ask, key: LeaseKey) -> tuple[int, int]:
        window, lease = self.windows[ask.window], self.leases.setdefault(key, Lease())
        self.take(window, lease, more=self.grantable(window, ask), credit=0)
        self.take(window, lease, more=0, credit=self.lendable(window, ask))
        return lease.granted, lease.credit

    def take(self, window: Window, lease: Lease, *, more: int, credit: int) -> None:
        window.held += more
        lease.granted += more
        window.credit += credit
        lease.credit += credit
        lease.is_open = lease.is_open or more > 0 or credit > 0

    def grantable(self, window: Window, ask: Ask) -> int:
        return max(0, min(window.room, ask.want)) if window.room >= ask.need else 0

    def lendable(self, window: Window, ask: Ask) -> int:
        return max(0, min(window.overdraft - window.credit, window.worst_room, ask.credit))

    def release(self, keeps: Mapping[LeaseKey, Committed]) -> Transaction:
        """What leases have beyond what is to be kept. One with nothing left, and nothing to come, is closed."""
        yield from self.locks([window for window, _, _ in keeps])
        for key, committed in keeps.items():
            lease = self.leases.get(key)
            if lease is not None and lease.is_open:
                self.shrink(key, committed)
                lease.is_open = bool(lease.outstanding or lease.credit) or committed[1] > lease.settled

    def shrink(self, key: LeaseKey, committed: Committed) -> None:
        """Not below what is recorded. Absolute, so doing it twice does no harm."""
        window, lease = self.windows[key[0]], self.leases[key]
        granted, credit = kept(lease.granted, lease.credit, (max(committed[0], lease.settled), committed[1]))
        window.held -= lease.granted - granted
        window.credit -= lease.credit - credit
        lease.granted, lease.credit = granted, credit

    def close(self, key: LeaseKey) -> int:
        """What was outstanding."""
        lease = self.leases[key]
        rest = lease.outstanding + lease.credit
        self.shrink(key, (0, 0))
        lease.is_open = False
        return rest

    # --- entries -----------------------------------------------------------------------------------------------

    def tell(self, calls: Iterable[Call]) -> Transaction:
        """The first-byte gate: from now on the database knows of these attempts."""
        calls = [*calls]
        yield from self.locks([call.number for call in calls], kind="entry")
        self.opened |= {call.number: call for call in calls if call.number not in self.entries}

    def post(self, outcomes: Iterable[Outcome]) -> Transaction:
        """Records what is not recorded yet, and moves counters by exactly that. Returns how many rows are new."""
        outcomes = [*outcomes]
        yield from self.locks([told.call.number for told in outcomes], kind="entry")
        yield from self.locks([window for told in outcomes for window, _, _ in told.call.leases])
        changes: dict[LeaseKey, int] = {}
        new = 0
        for told in outcomes:
            if (change := self.record(told)) is not None:
                new += 1
                for key in told.call.leases:
                    changes[key] = changes.get(key, 0) + change
        for key, change in changes.items():
            self.charge(key, change)
        return new

    def record(self, told: Outcome) -> int | None:
        """By how much it changes what the attempt costs. None: that was known."""
        number = told.call.number
        self.opened.pop(number, None)
        known = self.entries.get(number)
        if known is None:
            self.entries[number] = Entries(told.call, told.amount, told.is_confirmed)
            return told.amount
        if not told.is_confirmed or known.is_settled:
            return None
        known.resolution = told.amount - known.first
        return known.resolution

    def charge(self, key: LeaseKey, amount: int) -> None:
        """An open lease pays first, then its credit; what exceeds both is booked all the same."""
        window, lease = self.windows[key[0]], self.leases.get(key)
        window.settled += amount
        if lease is None or not lease.is_open:
            window.overrun += max(0, amount)
            return
        covered = min(amount, lease.outstanding)
        borrowed = min(amount - covered, lease.credit)
        lease.granted += amount - covered
        lease.settled += amount
        window.held -= covered
        lease.credit -= borrowed
        window.credit -= borrowed
        window.overrun += amount - covered - borrowed

    # --- the dead and those taken for it -----------------------------------------------------------------------

    def fence(self, owner: str) -> Transaction:
        """Its epoch is over: it gets nothing more. What it holds stays held."""
        yield ("replica", owner)
        if owner in self.epochs and owner not in self.fenced:
            self.epochs[owner] += 1
            self.fenced.add(owner)

    def presume(self, owner: str) -> Transaction:
        """Charges the most for what the database knows to be open of a fenced one."""
        yield ("replica", owner)
        if owner not in self.fenced:
            return
        calls = [call for call in self.opened.values() if call.owner == owner]
        yield from self.post([Outcome(call, call.worst, is_confirmed=False) for call in calls])

    def write_off(self, owner: str) -> Transaction:
        """Gives up on a fenced one's journal: what its leases still have is free, and is said to be in doubt."""
        yield ("replica", owner)
        keys = self.held_by(owner) if owner in self.fenced else []
        yield from self.locks([window for window, _, _ in keys])
        for key in keys:
            if self.leases[key].is_open and (rest := self.close(key)):
                self.gaps.append(Gap(owner, key[0], rest))

    def retire(self, owner: str) -> Transaction:
        """Frees what a run's leases still have, once all its journal is recorded; nothing of it is in doubt then."""
        yield ("replica", owner)
        self.epochs[owner] = self.epochs.get(owner, 0) + 1  # what it asked for before it died comes too late
        keys = self.held_by(owner)
        yield from self.locks([window for window, _, _ in keys])
        for key in keys:
            self.close(key)
        self.close_gaps(owner)

    def close_gaps(self, owner: str) -> None:
        for gap in self.gaps:
            gap.is_open = gap.is_open and gap.owner != owner

    def depart(self, owner: str, known: Collection[LeaseKey]) -> Transaction:
        """A clean end: all its journal is recorded, and its leases are given back. One that it never knew of, as the
        answer was lost, has nothing in it."""
        yield ("replica", owner)
        keys = [key for key in self.held_by(owner) if key not in known]
        yield from self.locks([window for window, _, _ in keys])
        for key in keys:
            self.close(key)
        if not self.held_by(owner):
            self.close_gaps(owner)

    # --- locks -------------------------------------------------------------------------------------------------

    def held_by(self, owner: str) -> list[LeaseKey]:
        return [key for key, lease in self.leases.items() if key[1] == owner and lease.is_open]

    def locks(self, names: Iterable[Any], *, kind: str = "window") -> Transaction:
        for name in self.order(list(dict.fromkeys(names))):
            yield (kind, name)

    def order(self, names: list[Any]) -> list[Any]:
        """Everybody's the same: replicas, then entries, then windows, each by number."""
        return sorted(names)
