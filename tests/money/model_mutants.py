"""The model with one thing wrong, each a mistake that somebody has made or might. The invariants must find every one.

Each has the number of seeds that is run against it: some two or three times what the first violation takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.money.model_books import Ask, Books, Call, LeaseKey, Outcome, Transaction, Window
from tests.money.model_process import Heir, Process, Running, Slice


class Mutant(NamedTuple):
    seeds: int
    books: type[Books] = Books
    process: type[Process] = Process
    heir: type[Heir] = Heir


class NoLimitCheck(Books):
    """A lease gets what it asks for."""

    def grantable(self, window: Window, ask: Ask) -> int:
        return ask.want


class CheckBeforeTheLock(Books):
    """What is left is read first, and taken when the window's lock is had."""

    def acquire(self, owner: str, epoch: int, asks: Sequence[Ask]) -> Transaction:
        chunks = {ask.window: super(CheckBeforeTheLock, self).grantable(self.windows[ask.window], ask) for ask in asks}
        granted = [Ask(ask.window, 0, chunks[ask.window], ask.credit) for ask in asks]
        return (yield from super().acquire(owner, epoch, granted))

    def grantable(self, window: Window, ask: Ask) -> int:
        return ask.want


class OneBorder(Books):
    """What was lent under an older, larger overdraft is forgotten when more of the amount is given out."""

    def grantable(self, window: Window, ask: Ask) -> int:
        room = window.amount - window.settled - window.held
        return max(0, min(room, ask.want)) if room >= ask.need else 0


class NoIdempotency(Books):
    """An outcome that is told again counts again."""

    def record(self, told: Outcome) -> int | None:
        known = self.entries.get(told.call.number)
        if known is not None and known.is_settled and told.is_confirmed:
            known.resolution = (known.resolution or 0) + told.amount
            return told.amount
        return super().record(told)


class TwoFirstRecords(Books):
    """An attempt's unconfirmed entry and its outcome do not know of each other: both count."""

    def record(self, told: Outcome) -> int | None:
        known = self.entries.get(told.call.number)
        if known is not None and not known.is_settled and told.is_confirmed:
            known.resolution = told.amount
            return told.amount
        return super().record(told)


class ForgetfulReaper(Heir):
    """Calls that were open when their process died are not recorded."""

    def transactions(self) -> list[Any]:
        posted, _, retired = super().transactions()
        return [posted, retired]


class RetireBeforeReplay(Heir):
    """The leases are free before the journal is in the ledger."""

    def transactions(self) -> list[Any]:
        posted, presumed, retired = super().transactions()
        return [retired, posted, presumed]


class EarlyRelease(Books):
    """A lease is free as soon as its process is taken for dead."""

    def fence(self, owner: str) -> Transaction:
        yield ("replica", owner)
        if owner in self.epochs and owner not in self.fenced:
            self.epochs[owner] += 1
            self.fenced.add(owner)
            keys = self.held_by(owner)
            yield from self.locks([window for window, _, _ in keys])
            for key in keys:
                self.close(key)


class NoFence(Books):
    """Whoever was taken for dead goes on getting leases under its old epoch, though they were written off."""

    def acquire(self, owner: str, epoch: int, asks: Sequence[Ask]) -> Transaction:
        self.epochs[owner] = epoch
        self.fenced.discard(owner)
        return (yield from super().acquire(owner, epoch, asks))


class Pool(Books):
    """What a correction gives back goes to everybody, though the lease that its process spends from is open."""

    def record(self, told: Outcome) -> int | None:
        change = super().record(told)
        if change is None or change >= 0:
            return change
        for key in told.call.leases:
            self.windows[key[0]].settled += change
            if (lease := self.leases[key]).is_open:
                lease.granted += change
                lease.settled += change
        return 0


class UnorderedLocking(Books):
    """Each locks windows in the order it was told them."""

    def order(self, names: list[Any]) -> list[Any]:
        return names


class HalfAReservation(Process):
    """A call that one window has no money for keeps what it took of the others."""

    def reserve(self, windows: Sequence[int], *, expected: int, worst: int) -> list[Slice] | None:
        slices = []
        for window in windows:
            found = super().reserve([window], expected=expected, worst=worst)
            if found is None:
                return None
            slices += found
        return slices


class AnyReservation(Process):
    """A call is let through when one of its windows has the money."""

    def reserve(self, windows: Sequence[int], *, expected: int, worst: int) -> list[Slice] | None:
        known = [window for window in windows if window in self.slices]
        if len(known) < len(windows):
            return None
        short = [n for n in known if not self.slices[n].admits(expected=expected, worst=worst)]
        if len(short) == len(known):
            return None
        for window in short:
            self.slices[window].expected += expected
            self.slices[window].worst += worst
        rest = [window for window in windows if window not in short]
        return [*(super().reserve(rest, expected=expected, worst=worst) or ()), *(self.slices[n] for n in short)]


class CutOverrun(Process):
    """No more is recorded than was reserved."""

    def recorded(self, call: Call, amount: int) -> int:
        return min(amount, call.worst)


class WorstIgnored(Process):
    """Calls are let through by what is expected of them; the overdraft does not bound them."""

    def reserve(self, windows: Sequence[int], *, expected: int, worst: int) -> list[Slice] | None:
        found = super().reserve(windows, expected=expected, worst=expected)
        for part in found or ():
            part.worst += worst - expected
        return found


class BlindGrant(Process):
    """An answer that was lost is taken for a yes."""

    def granted(self, asks: Sequence[Ask], answer: Any) -> None:
        if answer is None:
            answer = {
                ask.window: (found.granted + ask.want, found.credit)
                for ask in asks
                if (found := self.slices.get(ask.window))
            }
        super().granted(asks, answer)


class CreditKept(Books):
    """A lease that ends takes its credit with it."""

    def close(self, key: LeaseKey) -> int:
        credit = self.leases[key].credit
        rest = super().close(key)
        self.leases[key].credit = credit
        self.windows[key[0]].credit += credit
        return rest


class CreditSpentTwice(Books):
    """What calls cost beyond their lease is booked, and the credit that was to pay for it is still there."""

    def charge(self, key: LeaseKey, amount: int) -> None:
        lease, window = self.leases[key], self.windows[key[0]]
        before, overrun = lease.credit, window.overrun
        super().charge(key, amount)
        window.credit += before - lease.credit
        lease.credit = before
        window.overrun = overrun if before else window.overrun


class SilentLoss(Books):
    """A lease is written off, and nobody is told that more may have been spent."""

    def write_off(self, owner: str) -> Transaction:
        yield from super().write_off(owner)
        self.gaps = [gap for gap in self.gaps if gap.owner != owner]


class LeakyGate(Process):
    """A byte goes out while the database is still being told."""

    def may_deliver(self, running: Running) -> bool:
        return True


class ForgottenGate(Books):
    """What the gate told is not looked at when the disk is lost."""

    def presume(self, owner: str) -> Transaction:
        yield ("replica", owner)


MUTANTS: dict[str, Mutant] = {
    "no_limit_check": Mutant(10, books=NoLimitCheck),
    "check_before_the_lock": Mutant(40, books=CheckBeforeTheLock),
    "one_border": Mutant(100, books=OneBorder),
    "no_idempotency": Mutant(20, books=NoIdempotency),
    "two_first_records": Mutant(20, books=TwoFirstRecords),
    "forgetful_reaper": Mutant(20, heir=ForgetfulReaper),
    "retire_before_replay": Mutant(30, heir=RetireBeforeReplay),
    "early_release": Mutant(10, books=EarlyRelease),
    "no_fence": Mutant(100, books=NoFence),
    "pool": Mutant(60, books=Pool),
    "unordered_locking": Mutant(20, books=UnorderedLocking),
    "half_a_reservation": Mutant(20, process=HalfAReservation),
    "any_reservation": Mutant(20, process=AnyReservation),
    "cut_overrun": Mutant(40, process=CutOverrun),
    "worst_ignored": Mutant(60, process=WorstIgnored),
    "blind_grant": Mutant(10, process=BlindGrant),
    "credit_kept": Mutant(20, books=CreditKept),
    "credit_spent_twice": Mutant(30, books=CreditSpentTwice),
    "silent_loss": Mutant(30, books=SilentLoss),
    "leaky_gate": Mutant(250, process=LeakyGate),
    "forgotten_gate": Mutant(60, books=ForgottenGate),
}
