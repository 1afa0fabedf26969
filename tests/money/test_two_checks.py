"""The two checks in memory, against a list of calls that is added up anew each time. No database."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from apps.domain.limits.credit import Room
from apps.domain.snapshot import Budget
from apps.quotas.leases import LeaseBook
from apps.quotas.slices import Hold, Slice
from apps.quotas.windows import Grant
from tests.money.books import NOW

NOTHING = Room(0, 0)


class Running(NamedTuple):
    hold: Hold
    most: int
    expected: int


class Reference:
    """Of one budget."""

    def __init__(self, granted: int, credit: int) -> None:
        self.granted, self.credit = granted, credit
        self.spent = 0
        self.running: list[tuple[int, int]] = []

    def admits(self, most: int, expected: int) -> bool:
        likely = self.spent + sum(call[1] for call in self.running) + expected
        worst = self.spent + sum(call[0] for call in self.running) + most
        return likely <= self.granted and worst <= self.granted + self.credit


def books(leases: list[tuple[int, int]]) -> tuple[LeaseBook, list[Budget], list[Reference]]:
    book = LeaseBook("one", shared=False, clock=lambda: -1.0)
    rules = []
    for number, (granted, credit) in enumerate(leases, start=1):
        rule = Budget(id=number, scope="tenant", amount=granted, overdraft=credit, period="month", timezone="UTC")
        grant = Grant(
            budget_id=number, window_id=number, lease_id=number, starts=int(NOW) - 1, ends=int(NOW) + 1,
            granted=granted, credit=credit, settled=0, added=NOTHING, rest=NOTHING, away=NOTHING,
        )  # fmt: skip
        book._slices[number] = Slice(grant, rule)
        book._slices[number].take_up(grant, rule)
        rules.append(rule)
    return book, rules, [Reference(*lease) for lease in leases]


amounts = st.integers(0, 100)
leases = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 300)), min_size=1, max_size=3)
steps = st.lists(st.tuples(st.sampled_from(["call", "call", "end", "end", "outgrow", "give back"]), amounts, amounts))


@given(leases=leases, steps=steps, within=st.booleans())
def test_it_admits_what_both_checks_admit_in_every_budget_and_nothing_else(leases, steps, within):
    """`within`: no call costs more than was reserved for it; then nothing granted or lent is ever exceeded."""

    async def play() -> None:
        book, rules, references = books(leases)
        running: list[Running] = []
        for step, first, second in steps:
            if step == "call":
                most, expected = max(first, second), min(first, second)
                hold = book.take(rules, amount=most, expected=expected, now=NOW)
                assert (hold is not None) == all(one.admits(most, expected) for one in references)
                if hold is not None:
                    running.append(Running(hold, most, expected))
            elif step == "end" and running:
                ended = running.pop(first % len(running))
                cost = min(second, ended.most) if within else second
                book.settle(ended.hold, amount=cost)
                for one in references:
                    one.spent += cost
            elif step == "outgrow" and running:
                number = first % len(running)
                has_room = all(one.admits(second, -(10**9)) for one in references)
                assert book.extend(running[number].hold, amount=second) == has_room
                if has_room:
                    hold, most, expected = running[number]
                    running[number] = Running(hold, most + second, expected + second)
            elif step == "give back":
                for found, one in zip(book._slices.values(), references, strict=True):
                    found.shrink()
                    one.granted, one.credit = found.granted, found.credit
            for one in references:
                one.running = [(call.most, call.expected) for call in running]
                worst = one.spent + sum(call.most for call in running)
                assert not within or worst <= one.granted + one.credit

    asyncio.run(play())
