"""What must hold of the accounting, whatever happens: I1 to I6.

`beyond` is what calls cost over their reservation, where a provider does not keep to max_tokens: it is recorded whole
when the call ends and known to nobody before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tests.money.model_books import Books, Call
from tests.money.model_process import Slice


class Violation(Exception):
    pass


class Truth:
    """What the provider knows: what each call really cost, and what its client has seen."""

    def __init__(self) -> None:
        self.calls: dict[Any, Call] = {}
        self.real: dict[Any, int] = {}
        self.delivered: set[Any] = set()
        self.acknowledged: set[Any] = set()  # ended, and the end is on a disk that was kept

    @property
    def count(self) -> int:
        return len(self.calls)

    def begin(self, call: Call, real: int) -> None:
        self.calls[call.number] = call
        self.real[call.number] = real

    def acknowledge(self, number: Any) -> None:
        self.acknowledged.add(number)

    def beyond(self, number: Any) -> int:
        return max(0, self.real[number] - self.calls[number].worst)

    def of(self, window: int) -> list[Any]:
        return [number for number, call in self.calls.items() if any(key[0] == window for key in call.leases)]


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


def check(books: Books, truth: Truth) -> None:
    """After every step."""
    for number, window in books.windows.items():
        leases = [lease for key, lease in books.leases.items() if key[0] == number and lease.is_open]
        gaps = [gap.amount for gap in books.gaps if gap.window == number]
        calls = truth.of(number)
        real = sum(truth.real[call] for call in calls)
        beyond = sum(truth.beyond(call) for call in calls)
        known = [entries for entries in books.entries.values() if any(key[0] == number for key in entries.call.leases)]
        require(window.held >= 0 and window.credit >= 0, "I1 less than nothing is held")
        require(
            window.settled + window.held + window.credit <= window.ceiling + window.overrun, "I1 over what is allowed"
        )
        require(window.held == sum(lease.outstanding for lease in leases), "I1 held is not what leases have")
        require(window.credit == sum(lease.credit for lease in leases), "I1 credit is not what leases have")
        charged_high = sum(
            max(0, found.first - truth.real[found.call.number]) for found in known if not found.is_confirmed
        )
        require(window.overrun <= beyond + sum(gaps) + charged_high, "I1 an overrun that nobody made")
        require(window.settled == sum(entries.amount for entries in known), "I2 the counter is not its entries")
        require(real - beyond <= window.ceiling + sum(gaps), "I3 more was spent than is allowed")


def check_memory(books: Books, slices: Iterable[Slice]) -> None:
    """Of living processes: none spends from more than the database holds for it. A closed lease is in doubt anyway."""
    for found in slices:
        lease = books.leases[found.key]
        covered = not lease.is_open or found.granted + found.credit <= lease.granted + lease.credit
        require(covered, "I3 a process has more in mind than its lease")


def check_end(books: Books, truth: Truth, *, gate: bool, lost: Sequence[str]) -> None:
    """When everything has come to rest."""
    for window in books.windows.values():
        require(window.held == 0 and window.credit == 0, "I4 something is held for nobody")
    for number, call in truth.calls.items():
        entries, real = books.entries.get(number), truth.real[number]
        if entries is None:
            require(call.owner in lost, "I6 a call without an entry")
            require(not (gate and number in truth.delivered), "I6 a byte was delivered without a record")
        elif number in truth.acknowledged or entries.is_settled:
            require(entries.is_settled and entries.amount == real, "I5 a wrong amount")
        else:
            require(entries.amount >= min(real, entries.call.worst), "I5 less than it may have cost")
    for number, window in books.windows.items():
        unsettled = [
            call for call in truth.of(number) if call not in books.entries or not books.entries[call].is_settled
        ]
        real = sum(truth.real[call] for call in truth.of(number))
        gaps = sum(gap.amount for gap in books.gaps if gap.window == number and gap.is_open)
        beyond = sum(truth.beyond(call) for call in unsettled)
        require(real <= window.settled + gaps + beyond, "I6 more was spent than is recorded or in doubt")
    for gap in books.gaps:
        require(gap.owner in lost or not gap.is_open, "I6 a doubt that nobody needs")
