"""What a limiter answered, and what it needs to take its answer back."""

from __future__ import annotations

from typing import Literal

import msgspec

from apps.domain.snapshot import Limit

Kind = Literal["requests", "tokens", "concurrency"]


class Allowance(msgspec.Struct, frozen=True):
    """The tightest limit of one kind, for headers. `reset`: seconds until all of `limit` is free again."""

    limit: int
    remaining: int
    reset: float


class Stand(msgspec.Struct, frozen=True):
    """What is left of a limit at a moment, of each kind that it limits. A place's `reset` nobody knows: it is 0."""

    limit: Limit
    requests: Allowance | None = None
    tokens: Allowance | None = None
    places: Allowance | None = None


class Charge(msgspec.Struct, frozen=True):
    """What was taken from one limit's minute of tokens: `amount` of them, after which the meter stood at `mark`."""

    limit: Limit
    amount: int
    mark: int


class Decision(msgspec.Struct):
    """`limit` and `kind` name what refused; `retry_after` is in seconds.

    `limits`, `charges`, `ticket` are the limiter's own, for `release`; `held` turns False when it has been called.
    `local`: decided by this process alone because the shared counters could not be asked.
    """

    allowed: bool
    limit: Limit | None = None
    kind: Kind | None = None
    retry_after: float = 0.0
    requests: Allowance | None = None
    tokens: Allowance | None = None
    limits: tuple[Limit, ...] = ()
    charges: tuple[Charge, ...] = ()
    ticket: str = ""
    local: bool = True
    held: bool = True


FREE = Decision(True, held=False)
