"""Two checks in place of one: what calls are expected to cost comes out of a budget's amount, what they may cost in the
worst case out of the amount and its overdraft together.

A lease has `granted` of the amount and `credit` of the overdraft. A call that may cost `most` and is expected to cost
`expected` passes while

    spent + sum of expected + expected <= granted
    spent + sum of most + most <= granted + credit

so that spending never exceeds both, and without credit the second line alone decides. Nano-USD.
"""

from __future__ import annotations

from typing import NamedTuple

# With several processes nobody takes more than this part of what is left, so that nobody has to be refused for it.
SHARE = 20


class Keep(NamedTuple):
    """What must stay on a lease: spent and expected of what was granted, spent and possible of both together."""

    expected: int
    most: int


class Room(NamedTuple):
    """What of a window nobody has: of its amount, and of its overdraft."""

    amount: int
    credit: int


class Wish(NamedTuple):
    """What a process would have. `need`: the least that helps, of which `credit` may be of the overdraft; `demand`: for
    all who wait; `unit`: one call at its worst, of which `unit_credit` is not expected to be spent."""

    need: int
    credit: int
    demand: int
    unit: int
    unit_credit: int


def lacking(*, granted: int, credit: int, keep: Keep, expected: int, most: int) -> tuple[int, int]:
    """What a lease lacks for a call, and how much of that may be credit. Nothing: (0, 0)."""
    of_amount = max(0, keep.expected + expected - granted)
    need = max(of_amount, keep.most + most - granted - credit)
    return need, need - of_amount


def room(*, amount: int, overdraft: int, settled: int, held: int, credit: int) -> Room:
    """Never negative. What was spent beyond the amount was the overdraft's."""
    worst = amount + overdraft - settled - held - credit
    left = max(0, min(amount - settled - held, worst))
    return Room(left, max(0, min(worst - left, overdraft - credit)))


def share_out(wish: Wish, left: Room, *, replicas: int | None) -> Room:
    """What a process gets of what is left: nothing where there is less than it needs.

    `replicas` None: there is no other, so it gets everything. With others, whole calls, so that several processes do
    not each strand a part of one.
    """
    if replicas is None:
        return left
    borrowed = min(left.credit, wish.credit)
    first = wish.need - borrowed
    if first > left.amount:
        return Room(0, 0)
    fair = left.amount // SHARE // max(1, replicas)
    if wish.unit <= 0:
        return Room(max(first, min(left.amount, max(wish.demand, fair))), borrowed)
    expected = wish.unit - wish.unit_credit
    if expected <= 0:
        return Room(first, borrowed)
    calls = max((wish.demand - wish.need) // wish.unit, (fair - first) // expected)
    calls = max(0, min(calls, (left.amount - first) // expected))
    lent = min(calls * wish.unit_credit, max(0, left.credit // max(1, replicas) - borrowed))
    return Room(first + calls * expected, borrowed + lent)


def kept(*, granted: int, credit: int, keep: Keep) -> Room:
    """What is left of a lease when all that need not be kept is returned; credit is kept before what was granted."""
    worst_only = min(credit, keep.most - keep.expected)
    granted = min(granted, max(keep.expected, keep.most - worst_only))
    return Room(granted, min(credit, max(0, keep.most - granted)))
