"""What one process holds of budgets, in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence

from apps.domain.limits.credit import Keep, Room, kept, lacking
from apps.domain.snapshot import Budget
from apps.quotas.windows import Grant
from apps.runtime.state import Leased


class Slice:
    """What this process may spend of one window: `granted` of its amount and `credit` of its overdraft.

    `spent` is gone; `reserved` is promised to calls, of which `expected` will likely be spent. `rest` is what nobody
    held of both when the database was last asked, `away` what other processes did. `rule` are the terms it was granted
    under; they hold `until` then, and no longer than until the window `ends`. `beyond` is what all have of the window
    over its amount, as it was more before; `dropped`, what this process has given up of that and not yet given back.
    """

    __slots__ = (
        "away", "beyond", "chunk", "credit", "dropped", "ends", "expected", "granted", "lease_id", "may_return",
        "refused_need", "refused_until", "reserved", "rest", "rule", "spent", "starts", "until", "used_at", "window_id",
    )  # fmt: skip

    def __init__(self, grant: Grant, rule: Budget) -> None:
        self.window_id = grant.window_id
        self.lease_id = grant.lease_id
        self.rule = rule
        self.starts = grant.starts
        self.ends = self.until = grant.ends
        self.granted = 0
        self.credit = 0
        self.chunk = self.beyond = self.dropped = 0
        self.spent = grant.settled
        self.reserved = 0
        self.expected = 0
        self.rest = self.away = Room(0, 0)
        self.used_at = 0.0
        self.refused_need = 0
        self.refused_until = 0.0
        self.may_return = False

    @property
    def free(self) -> int:
        """What calls may cost in the worst case that begin now."""
        return self.granted + self.credit - self.spent - self.reserved

    @property
    def keep(self) -> Keep:
        return Keep(self.spent + self.expected, self.spent + self.reserved)

    def lacks(self, *, amount: int, expected: int) -> tuple[int, int]:
        """What is missing for a call, and how much of that may be of the overdraft."""
        return lacking(granted=self.granted, credit=self.credit, keep=self.keep, most=amount, expected=expected)

    def could_serve(self, *, amount: int, expected: int) -> bool:
        """Whether there is money for a call that is only promised to others: to calls here, or to other processes."""
        lent = self.credit + self.rest.credit + self.away.credit
        return expected <= self.left and amount <= self.left + lent

    @property
    def left(self) -> int:
        """What is not spent of the window's amount, as far as this process knows."""
        return self.granted - self.spent + self.rest.amount + self.away.amount

    @property
    def promised(self) -> int:
        """What calls here and other processes hold."""
        return self.reserved + sum(self.away)

    @property
    def is_idle(self) -> bool:
        """There is something that could be given back."""
        return self.dropped > 0 or kept(granted=self.granted, credit=self.credit, keep=self.keep) != (
            self.granted,
            self.credit,
        )

    def agrees(self, rule: Budget) -> bool:
        """Whether it was granted under these terms; remembers the rule, which is made anew with every snapshot."""
        mine = self.rule
        if (mine.amount, mine.overdraft, mine.days) != (rule.amount, rule.overdraft, rule.days):
            return False
        self.rule = rule
        return True

    def shrink(self) -> None:
        """Nobody takes any more from what is about to be given back."""
        self.granted, self.credit = kept(granted=self.granted, credit=self.credit, keep=self.keep)
        self.dropped = 0

    def drop(self) -> None:
        """What calls here do not need of what is beyond the window's amount is for nobody."""
        unneeded = min(self.beyond, self.free, self.granted - self.spent - self.expected)
        if unneeded > 0:
            self.granted -= unneeded
            self.beyond -= unneeded
            self.dropped += unneeded

    def take_up(self, grant: Grant, rule: Budget) -> None:
        """Where the lease stands by the database."""
        self.rule = rule
        self.starts, self.ends = grant.starts, grant.ends
        self.until = grant.ends if grant.until is None else min(grant.until, grant.ends)
        self.granted, self.credit = grant.granted, grant.credit
        self.chunk, self.rest, self.away = grant.added.amount, grant.rest, grant.away
        self.beyond, self.dropped = grant.beyond, 0
        if self.beyond:
            self.drop()

    def refuse(self, need: int, *, seconds: float, may_return: bool) -> None:
        """Remember for so long that `need` more is not to be had; `may_return`: others have some of it."""
        self.refused_need = need
        self.refused_until = time.monotonic() + seconds
        self.may_return = may_return


class Hold:
    """A reservation on every window of a call: `amount` at worst, `expected` of it. `windows` and `leases` go into the
    intent."""

    __slots__ = ("amount", "expected", "is_open", "slices")

    def __init__(self, amount: int, expected: int, slices: list[Slice]) -> None:
        self.amount = amount
        self.expected = expected
        self.slices = slices
        self.is_open = True

    @property
    def windows(self) -> tuple[int, ...]:
        return tuple([found.window_id for found in self.slices])

    @property
    def leases(self) -> tuple[int, ...]:
        return tuple([found.lease_id for found in self.slices])


def leased(slices: Sequence[Slice], *, is_cut_off: bool) -> Leased:
    """For whoever looks at this process from outside; in any thread."""
    granted, credit, spent, reserved = (
        sum(getattr(found, name) for found in slices) for name in ("granted", "credit", "spent", "reserved")
    )
    return Leased(len(slices), granted, credit, spent, reserved, is_cut_off)
