"""What one process holds of budgets, in memory."""

from __future__ import annotations

import time

from apps.quotas.windows import Grant


class Slice:
    """What this process may spend of one window: `granted`, of which `spent` is gone and `reserved` promised.

    `rest` is what nobody held of the window when the database was last asked.
    """

    __slots__ = (
        "amount", "chunk", "elsewhere", "ends", "granted", "lease_id", "refused_need", "refused_until", "reserved",
        "rest", "spent", "starts", "used_at", "window_id",
    )  # fmt: skip

    def __init__(self, grant: Grant) -> None:
        self.window_id = grant.window_id
        self.lease_id = grant.lease_id
        self.starts = grant.starts
        self.ends = grant.ends
        self.amount = grant.amount
        self.granted = 0
        self.chunk = 0
        self.spent = grant.settled
        self.reserved = 0
        self.rest = 0
        self.used_at = 0.0
        self.refused_need = 0
        self.refused_until = 0.0
        self.elsewhere = False

    @property
    def free(self) -> int:
        return self.granted - self.spent - self.reserved

    @property
    def committed(self) -> int:
        return self.spent + self.reserved

    def refuse(self, need: int, *, seconds: float, elsewhere: bool) -> None:
        """Remember for so long that `need` more is not to be had; `elsewhere`: other processes have some of it."""
        self.refused_need = need
        self.refused_until = time.monotonic() + seconds
        self.elsewhere = elsewhere


class Hold:
    """A reservation on every window of a call. `windows` and `leases` go into the intent."""

    __slots__ = ("amount", "is_open", "slices")

    def __init__(self, amount: int, slices: list[Slice]) -> None:
        self.amount = amount
        self.slices = slices
        self.is_open = True

    @property
    def windows(self) -> tuple[int, ...]:
        return tuple([found.window_id for found in self.slices])

    @property
    def leases(self) -> tuple[int, ...]:
        return tuple([found.lease_id for found in self.slices])
