"""Rules by which Hypothesis plays with real lease books, journals and the ledger, watched by the model."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.db.models.functions import Now
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from apps.domain import errors
from apps.domain.snapshot import Budget as BudgetRule
from apps.quotas import windows
from apps.quotas.models import Budget, BudgetWindow, Replica
from apps.runtime import failpoints
from apps.usage import ledger, reaper, recovery, services
from apps.usage.models import Entry, Kind
from apps.usage.records import Intent, Outcome
from tests import factories
from tests.money.books import budget
from tests.money.calls import intent
from tests.money.gateways import Gateway
from tests.money.model_rules import check_end, require
from tests.money.oracle import Oracle

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BEGIN = datetime(2026, 11, 2, 12, tzinfo=UTC).timestamp()  # a Monday at the beginning of a month
DAY = 86_400
GATEWAYS = 3
AMOUNTS = [60, 200, 600]
OVERDRAFTS = [0, 0, 50, 200]
_numbers = itertools.count(1)
WORST = 60
# What a call may cost, what it is expected to, and what it does: as much at most, or now and then more.
CALL = st.tuples(st.integers(1, WORST), st.integers(0, WORST), st.integers(0, WORST + 3))
GATE = st.sampled_from([True, True, False])
some = st.integers(0, 11)  # which of those there are


class Dead(NamedTuple):
    name: str
    grave: Path | None
    journalled: list[Outcome]
    opened: list[Intent]


class Money(RuleBasedStateMachine):
    """`folder`: of journals."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder_here = self.folder / f"play {next(_numbers)}"
        self.gateways: list[Gateway] = []
        self.dead: list[Dead] = []
        self.lost: list[str] = []
        self.now = BEGIN

    @initialize(
        amounts=st.lists(st.tuples(st.sampled_from(AMOUNTS), st.sampled_from(OVERDRAFTS)), min_size=1, max_size=3),
        gates=st.tuples(GATE, GATE),
    )
    def begin(self, amounts: list[tuple[int, int]], gates: tuple[bool, bool]) -> None:
        tenant = factories.tenant()
        periods = ["day", "month", "day"]
        self.budgets = [
            budget(amount, tenant=tenant, overdraft=overdraft, period=period)
            for (amount, overdraft), period in zip(amounts, periods, strict=False)
        ]
        self.oracle = Oracle(self.budgets)
        for has_gate in gates:
            self.start(has_gate)

    def asked(self, which: int) -> list[BudgetRule]:
        """Some of the budgets, in some order. At least one."""
        chosen = [found for bit, found in enumerate(self.budgets) if (which + 1) >> bit & 1] or self.budgets
        told = [
            BudgetRule(
                id=found.pk, scope="tenant", amount=found.amount, overdraft=found.overdraft, period=found.period,
                timezone="UTC",
            )
            for found in chosen
        ]  # fmt: skip
        return told[::-1] if which % 2 else told

    def pick(self, which: int) -> Gateway:
        return self.gateways[which % len(self.gateways)]

    # --- calls -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.gateways)
    @rule(at=some, which=some, calls=st.lists(CALL, min_size=1, max_size=5))
    def call(self, at: int, which: int, calls: list[tuple[int, int, int]]) -> None:
        gateway, rules = self.pick(at), self.asked(which)
        for worst, expected, real in calls:
            self.call_once(gateway, rules, worst=worst, expected=min(worst, expected), real=real)
        self.compare()

    def call_once(self, gateway: Gateway, rules: list[BudgetRule], *, worst: int, expected: int, real: int) -> None:
        try:
            hold = gateway.reserve(rules, worst=worst, expected=expected, now=self.now)
        except errors.BudgetExhausted:
            self.oracle.look()
            self.may_refuse(gateway, rules, worst=worst, expected=expected)
            return
        self.oracle.look()
        record = intent(hold=hold, reserved=worst, gated=gateway.gate is not None)
        real = min(real, worst) if real <= WORST else worst + real
        gateway.begin(record, hold, real=real)
        self.oracle.begin(record, owner=gateway.name, real=real)

    def may_refuse(self, gateway: Gateway, rules: list[BudgetRule], *, worst: int, expected: int) -> None:
        """Only if a budget has too little left, with what the process itself has free."""
        short, why = [], []
        for rule_ in rules:
            found = gateway.book._slices.get(rule_.id)
            moment = datetime.fromtimestamp(self.now, UTC)
            current = BudgetWindow.objects.filter(budget=rule_.id, starts__lte=moment, ends__gt=moment).first()
            amount, both = self.oracle.room(rule_, current.pk if current else None)
            if found is not None and found.starts <= self.now < found.ends:
                amount += found.granted - found.spent - found.expected
                both += found.free
            short.append(amount < expected or both < worst)
            lease = found and (found.granted, found.credit, found.spent, found.expected, found.reserved)
            why.append(f"{rule_.amount}+{rule_.overdraft}: {lease=} {amount=} {both=} for {expected=} {worst=}")
        require(any(short), f"a call was refused that there was money for: {why}")

    @precondition(lambda self: any(gateway.running for gateway in self.gateways))
    @rule(
        at=some,
        which=st.lists(some, min_size=1, max_size=5),
        is_durable=st.booleans(),
        is_known=st.integers(0, 5).map(bool),
    )
    def finish(self, at: int, which: list[int], is_durable: bool, is_known: bool) -> None:
        """`is_known`: what it cost. A provider may never have answered."""
        busy = [gateway for gateway in self.gateways if gateway.running]
        gateway = busy[at % len(busy)]
        for one in which[: len(gateway.running)]:
            gateway.finish(list(gateway.running)[one % len(gateway.running)], is_known=is_known)
        if is_durable:
            gateway.flush()

    @precondition(lambda self: any(gateway.running for gateway in self.gateways))
    @rule(at=some, which=some, amount=st.integers(1, WORST), real=st.integers(0, WORST))
    def extend(self, at: int, which: int, amount: int, real: int) -> None:
        """A stream outgrows its reservation."""
        busy = [gateway for gateway in self.gateways if gateway.running]
        gateway = busy[at % len(busy)]
        request = list(gateway.running)[which % len(gateway.running)]
        if gateway.extend(request, amount=amount, real=min(real, amount)):
            running = gateway.running[request]
            self.oracle.extend(request, worst=running.hold.amount, real=running.real)
        self.oracle.look()
        self.compare()

    # --- forwarding --------------------------------------------------------------------------------------------

    @precondition(lambda self: any(gateway.said or gateway.journalled for gateway in self.gateways))
    @rule(at=some, pages=st.integers(1, 6), times=st.integers(1, 2), seed=some, is_answered=st.booleans())
    def forward(self, at: int, pages: int, times: int, seed: int, is_answered: bool) -> None:
        busy = [gateway for gateway in self.gateways if gateway.said or gateway.journalled]
        gateway = busy[at % len(busy)]
        gateway.flush()
        found = gateway.unsent()[:pages]
        told = [one for _, page in found for one in page] * times
        random.Random(seed).shuffle(told)
        half = len(told) // 2
        for part in (told[:half], told[half:]):
            ledger.post(part)
            self.oracle.post(part)
        if found and is_answered:
            gateway.sent = found[-1][0]
            gateway.journal.forwarded(through=gateway.sent)
        self.compare()

    @precondition(lambda self: self.gateways)
    @rule(at=some)
    def give_back(self, at: int) -> None:
        self.pick(at).tidy()
        self.oracle.look()
        self.compare()

    # --- lives and deaths --------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.gateways) < GATEWAYS)
    @rule(has_gate=GATE)
    def start(self, has_gate: bool) -> None:
        name = f"gateway-{next(_numbers)}"
        self.gateways.append(Gateway.start(name, folder=self.folder_here, loop=self.loop, has_gate=has_gate))

    @precondition(lambda self: self.gateways)
    @rule(at=some, has_disk=st.sampled_from([True, True, False]))
    def kill(self, at: int, has_disk: bool) -> None:
        gateway = self.pick(at)
        self.gateways.remove(gateway)
        grave = gateway.kill(disk=has_disk)
        self.dead.append(Dead(gateway.name, grave, gateway.journalled, gateway.opened))
        if not has_disk:
            self.lost.append(gateway.name)

    @precondition(lambda self: any(dead.grave for dead in self.dead))
    @rule(at=some, is_half_done=st.booleans())
    def adopt(self, at: int, is_half_done: bool) -> None:
        """By an heir, and then from a copy of the disk by another. The first may have died at it."""
        found = [dead for dead in self.dead if dead.grave]
        dead = found[at % len(found)]
        self.dead.remove(dead)
        assert dead.grave is not None
        copy = shutil.copytree(dead.grave, dead.grave.with_suffix(".copy"))
        if is_half_done:
            part = dead.journalled[: len(dead.journalled) // 2]
            ledger.post(part)
            self.oracle.post(part)
            self.compare()
        recovery.adopt(dead.grave)
        self.oracle.inherit(dead.name, journalled=dead.journalled, opened=dead.opened)
        self.oracle.acknowledge(dead.journalled)
        self.compare()
        recovery.adopt(copy)
        self.compare()

    def known(self) -> list[str]:
        """Whose replica there is."""
        names = [*(gateway.name for gateway in self.gateways), *(dead.name for dead in self.dead)]
        there = set(Replica.objects.filter(name__in=names).values_list("name", flat=True))
        return [name for name in names if name in there]

    @precondition(lambda self: self.known())
    @rule(at=some, stage=st.sampled_from(["fenced", "presumed", "presumed", "written off"]))
    def reap(self, at: int, stage: str) -> None:
        """Of the dead, or of a process that only was not heard of. Whoever does it may be killed half-way."""
        names = self.known()
        name = names[at % len(names)]
        replica = Replica.objects.filter(name=name)
        if not replica.exclude(fenced_at=None).exists():
            replica.update(heartbeat=LONG_AGO)
            windows.fence()
            self.oracle.fence(name)
        if stage != "fenced":
            replica.update(heartbeat=LONG_AGO, fenced_at=LONG_AGO)
            self.give_up(name, is_whole=stage == "written off")
            replica.update(fenced_at=Now())
        self.compare()

    def give_up(self, name: str, *, is_whole: bool) -> None:
        if is_whole:
            reaper.reap()
            self.oracle.lose(name)
        else:
            failpoints.arm("reap.before_write_off:raise")
            with suppress(failpoints.Failed):
                reaper.reap()
            failpoints.arm("")
            self.oracle.do(self.oracle.books.presume(name))

    def doubts(self) -> QuerySet[Entry]:
        """Whose calls are over, so that a provider can tell."""
        over = set(self.oracle.calls).difference(*(gateway.running for gateway in self.gateways))
        unconfirmed = Entry.objects.filter(request_id__in=over, kind=Kind.UNCONFIRMED)
        corrected = Entry.objects.filter(request_id__in=self.oracle.calls, kind=Kind.CORRECTION).values("request_id")
        return unconfirmed.exclude(request_id__in=corrected).order_by("pk")

    @precondition(lambda self: self.doubts().exists())
    @rule(at=some)
    def resolve(self, at: int) -> None:
        """A person has asked the provider."""
        entry = self.doubts()[at % self.doubts().count()]
        cost = self.oracle.truth.real[entry.request_id]
        services.resolve(entry, actor=None, cost=cost)
        self.oracle.resolve(entry.request_id, amount=cost)
        self.compare()

    # --- administration ----------------------------------------------------------------------------------------

    @rule(at=some, amount=st.sampled_from([10, *AMOUNTS]), overdraft=st.sampled_from(OVERDRAFTS))
    def change(self, at: int, amount: int, overdraft: int) -> None:
        found = self.budgets[at % len(self.budgets)]
        found.amount, found.overdraft = amount, overdraft
        Budget.objects.filter(pk=found.pk).update(amount=amount, overdraft=overdraft)
        self.oracle.terms[found.pk] = (amount, overdraft)

    @precondition(lambda self: self.now < BEGIN + 3 * DAY)
    @rule()
    def next_day(self) -> None:
        self.now += DAY

    # --- the end -----------------------------------------------------------------------------------------------

    def compare(self) -> None:
        self.oracle.compare()
        for gateway in self.gateways:
            self.cover(gateway)

    def cover(self, gateway: Gateway) -> None:
        """What is promised is on the lease that promised it, whatever was given back meanwhile."""
        books, truth = self.oracle.books, self.oracle.truth
        owed: dict[Any, int] = {}
        doubtful = set()
        for record in gateway.opened:
            call = self.oracle.calls[record.request_id]
            entries = books.entries.get(call.number)
            is_running = call.number in gateway.running
            for key in call.leases:
                if truth.beyond(call.number) or (entries is not None and not entries.is_confirmed):
                    doubtful.add(key)
                if entries is None:
                    owed[key] = owed.get(key, 0) + (call.worst if is_running else truth.real[call.number])
        for key, amount in owed.items():
            lease = books.leases[key]
            covered = not lease.is_open or key in doubtful or lease.outstanding + lease.credit >= amount
            require(covered, f"{key} has {lease} for {amount}")

    def teardown(self) -> None:
        """Everything comes to rest."""
        try:
            if hasattr(self, "oracle"):
                self.come_to_rest()
        finally:
            for gateway in self.gateways:
                gateway.kill(disk=False)
            self.loop.close()
            shutil.rmtree(self.folder_here, ignore_errors=True)

    def come_to_rest(self) -> None:
        while any(gateway.running for gateway in self.gateways):
            self.finish(0, [0], is_durable=True, is_known=True)
        for gateway in list(self.gateways):
            gateway.flush()
            ledger.post(gateway.journalled)
            self.oracle.post(gateway.journalled)
            self.oracle.acknowledge(gateway.journalled)
            gateway.close()
            self.gateways.remove(gateway)
            self.oracle.depart(gateway.name)
            self.compare()
        while any(dead.grave for dead in self.dead):
            self.adopt(0, False)
        for name in [name for name in self.known() if name in self.lost]:
            Replica.objects.filter(name=name).update(heartbeat=LONG_AGO, fenced_at=LONG_AGO)
            self.give_up(name, is_whole=True)
        self.compare()
        check_end(self.oracle.books, self.oracle.truth, gate=False, lost=self.lost)
