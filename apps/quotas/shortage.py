"""What a process asks for when a call needs more than it has, and what the call is told when that is not to be had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from apps.domain import errors
from apps.domain.limits import budget as periods
from apps.domain.snapshot import Budget
from apps.quotas.slices import Slice
from apps.quotas.windows import Ask

# What calls in flight hold is free when they end: soon, and nobody knows when.
HELD_RETRY_SECONDS = 2.0


class Call(NamedTuple):
    """What a call may cost at worst, what it is expected to, and when it began (unix seconds)."""

    amount: int
    expected: int
    now: float


class Short(Exception):
    """These slices do not suffice, as far as this process knows."""

    def __init__(self, slices: Sequence[Slice], call: Call) -> None:
        super().__init__()
        self.slices = slices
        self._call = call

    @property
    def may_end(self) -> bool:
        """Somebody may return what is missing."""
        return any(found.may_return for found in self.slices)

    def refusal(self) -> errors.BudgetExhausted:
        """Of the budget that is longest to wait for."""
        amount, expected, _ = self._call
        spent = [found for found in self.slices if not found.could_serve(amount=amount, expected=expected)]
        if not spent:
            found = max(self.slices, key=lambda found: found.promised)
            told = periods.held(found.rule, cost=amount, reserved=found.promised)
            return errors.BudgetHeld(told, retry_after=HELD_RETRY_SECONDS)
        found = max(spent, key=lambda found: found.ends)
        left = 0 if found.left <= 0 else found.free + sum(found.rest)
        if found.left > 0 and amount <= left:  # it is what it will likely cost that is too much
            told = periods.refusal(found.rule, cost=expected, left=found.left, ends=found.ends, is_likely=True)
        else:
            told = periods.refusal(found.rule, cost=amount, left=left, ends=found.ends)
        return errors.BudgetExhausted(told, retry_after=_wait(found, self._call))


def _wait(found: Slice, call: Call) -> float | None:
    """None where no later period has enough either, or there is none."""
    rule = found.rule
    never = call.amount > rule.amount + rule.overdraft or call.expected > rule.amount
    return None if rule.days is not None or (never and rule.amount > 0) else max(1.0, found.ends - call.now)


def refuse_outside(budgets: Iterable[Budget], *, now: float) -> None:
    """Raises BudgetExhausted if a fixed period has not begun, or is over."""
    for rule in budgets:
        if rule.days is not None and (told := periods.closed(rule, now=now)) is not None:
            begins, _ = rule.days
            raise errors.BudgetExhausted(told, retry_after=begins - now if begins > now else None)


def ahead(rule: Budget, call: Call, *, demand: int | None = None) -> Ask:
    """For one such call on an empty lease, and for all that wait if it is told what they would like."""
    amount, unexpected = call.amount, call.amount - call.expected
    wanted = amount if demand is None else demand
    return Ask(rule=rule, need=amount, credit=unexpected, demand=wanted, unit=amount, unit_credit=unexpected)


def extension(found: Slice, amount: int) -> Ask:
    """What a slice lacks for `amount` more of a call that is admitted already."""
    lacking = amount - found.free
    return Ask(rule=found.rule, need=lacking, credit=lacking, demand=lacking, unit=lacking, unit_credit=lacking)
