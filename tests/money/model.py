"""An executable model of the accounting: processes, their disks and a database, interleaved at random by seed.

Processes take leases, promise, stream, settle, forward in pieces and twice; they are killed, taken for dead while they
go on promising (zombies, until they are written off), and lose their disks; answers of the database are lost after it
has committed, and transactions wait for each other's locks. After every step the invariants of docs/money.md must hold.

    python -m tests.money.model <seeds> [<mutant>]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.money.model_books import FENCED, Ask, Books, Lock, Transaction, Window
from tests.money.model_process import Heir, Process
from tests.money.model_rules import Truth, Violation, check, check_end, check_memory

STEPS = (60, 400)
PROCESSES = 3
LOST = 0.15  # of answers


@dataclass(slots=True, eq=False)
class Work:
    """A transaction under way. `answer` gets its result; None when nobody waits for it any more."""

    transaction: Transaction
    answer: Callable[[Any], None] | None
    held: set[Lock]
    wants: Lock | None = None


class World:
    def __init__(
        self, seed: int, *, books: type[Books] = Books, process: type[Process] = Process, heir: type[Heir] = Heir
    ):
        self.dice = dice = random.Random(seed)
        self.gate = dice.random() < 0.5
        self.overruns = 0.05 if dice.random() < 0.5 else 0.0
        amounts = [100, 250, 600]
        self.books = books(
            {n: Window(dice.choice(amounts), dice.choice([0, 40, 150])) for n in range(dice.randint(1, 3))}
        )
        self.truth = Truth()
        self._process, self._heir = process, heir
        self.processes: list[Process] = []
        self.heirs: list[Heir] = []
        self.lost: list[str] = []
        self.cut_off: set[str] = set()  # those that ask rarely, and so find out late that they were fenced
        self.working: dict[tuple[str, str], Work] = {}  # by whose it is and which thread's
        self.orphans: list[Work] = []
        self.locks: dict[Lock, Work] = {}
        self._count = 0
        for _ in range(PROCESSES):
            self.start()

    # --- running -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        for _ in range(self.dice.randint(*STEPS)):
            self.step()
            self.check()
        self.end()
        check_end(self.books, self.truth, gate=self.gate, lost=self.lost)

    def check(self) -> None:
        check(self.books, self.truth)
        check_memory(self.books, [found for process in self.processes for found in process.slices.values()])

    def step(self) -> None:
        dice = self.dice
        for work in [*self.working.values(), *self.orphans]:
            if dice.random() < 0.6:
                self.work_on(work)
        process, chance = dice.choice(self.processes), dice.random()
        for limit, action in ACTIONS:
            if chance < limit:
                action(self, process)
                break
        for heir in self.heirs:
            self.inherit(heir)

    def end(self) -> None:
        """Everything comes to rest: calls end, journals are forwarded or adopted, lost ones are written off."""
        for process in self.processes:
            self.settle_down(process)
        while any(not heir.is_done for heir in self.heirs):
            for heir in self.heirs:
                self.inherit(heir)
            self.drain()
        for name in self.lost:
            for chore in (self.books.fence, self.books.presume, self.books.write_off, self.books.presume):
                self.finish_off(chore(name))

    def settle_down(self, process: Process) -> None:
        self.drain()
        for number in list(process.running):
            self.truth.acknowledge(number)
            process.finish(number, amount=self.truth.real[number])
        process.flush()
        self.finish_off(self.books.post(process.outcomes))
        keeps = process.give_back()
        self.finish_off(self.books.release(keeps))
        self.finish_off(self.books.depart(process.name, keeps))

    # --- what processes do -------------------------------------------------------------------------------------

    def start(self) -> None:
        self._count += 1
        if self.dice.random() < 0.3:
            self.cut_off.add(f"run {self._count}")
        self.processes.append(self._process(f"run {self._count}", self.gate))

    def ask(self, process: Process) -> None:
        if process.epoch is None:
            self.begin(
                process, "leases", self.books.register(process.name), lambda epoch: setattr(process, "epoch", epoch)
            )
            return
        dice = self.dice
        if process.slices and process.name in self.cut_off and dice.random() < 0.9:
            return
        windows = dice.sample(list(self.books.windows), len(self.books.windows))
        asks = [Ask(n, dice.randint(1, 40), dice.choice([50, 120, 300]), dice.choice([0, 30, 90])) for n in windows]

        def answered(answer: Any) -> None:
            if answer == FENCED:
                process.start_anew()
            else:
                process.granted(asks, answer)

        self.begin(process, "leases", self.books.acquire(process.name, process.epoch, asks), answered)

    def admit(self, process: Process) -> None:
        dice = self.dice
        windows = dice.sample(list(self.books.windows), dice.randint(1, len(self.books.windows)))
        worst = dice.randint(1, 40)
        number = self.truth.count + 1
        running = process.admit(number, windows, expected=dice.randint(1, worst), worst=worst)
        if running is None:
            self.ask(process)
        else:
            real = dice.choice([0, dice.randint(0, worst), worst, worst])
            self.truth.begin(running.call, worst + dice.randint(1, 40) if dice.random() < self.overruns else real)
            if self.gate:
                self.tell(process)

    def tell(self, process: Process) -> None:
        calls = [running.call for number, running in process.running.items() if number not in process.told]

        def answered(answer: Any) -> None:
            process.told |= {call.number for call in calls} if answer is not None else set()

        if calls:
            self.begin(process, "gate", self.books.tell(calls), answered)

    def deliver(self, process: Process) -> None:
        for running in process.running.values():
            if process.may_deliver(running) and self.dice.random() < 0.5:
                self.truth.delivered.add(running.call.number)

    def finish(self, process: Process) -> None:
        if process.running:
            number = self.dice.choice(list(process.running))
            process.finish(number, amount=self.truth.real[number])
            if self.dice.random() < 0.8:
                process.flush()

    def forward(self, process: Process) -> None:
        """Some of what is not known to be there, in any order, now and then twice."""
        dice = self.dice
        process.flush()
        upto = dice.randint(process.sent, len(process.outcomes))
        batch = process.outcomes[process.sent : upto] * dice.choice([1, 1, 2])
        dice.shuffle(batch)

        def answered(answer: Any) -> None:
            process.sent = process.sent if answer is None else upto

        self.begin(process, "ledger", self.books.post(batch), answered)

    def give_back(self, process: Process) -> None:
        if (process.name, "leases") not in self.working:
            self.begin(process, "leases", self.books.release(process.give_back()), lambda answer: None)

    def kill(self, process: Process) -> None:
        """Its journal is kept for whoever finds it, or lost. What the database was doing for it may end or not."""
        self.processes.remove(process)
        for owner, thread in list(self.working):
            if owner == process.name:
                work = self.working.pop((owner, thread))
                if self.dice.random() < 0.5:
                    work.answer = None
                    self.orphans.append(work)
                else:
                    self.let_go(work)
        if self.dice.random() < 0.7:
            self.truth.acknowledged |= {told.call.number for told in process.outcomes}
            self.heirs.append(self._heir(process, self.books))
        else:
            self.lost.append(process.name)
        self.start()

    # --- what others do about them -----------------------------------------------------------------------------

    def reap(self, process: Process) -> None:
        """Of anybody: the paused look like the dead. Their journals may turn up after all."""
        books, name = self.books, self.dice.choice([*self.lost, process.name])
        chores = [books.presume, books.presume, books.write_off] if name in books.fenced else [books.fence]
        chore = self.dice.choice(chores)
        if chore == books.write_off and name == process.name:
            process.expire()
        self.begin_once(("reaper", name), chore(name), lambda answer: None)

    def inherit(self, heir: Heir) -> None:
        if not heir.is_done and (heir.dead.name, "heir") not in self.working:

            def answered(answer: Any) -> None:
                heir.stage += answer is not None
                if self.dice.random() < 0.1:
                    heir.stage = 0

            self.begin_once((heir.dead.name, "heir"), heir.next(), answered)

    def change(self, process: Process) -> None:
        """An administrator has other ideas of a budget."""
        window = self.dice.choice(list(self.books.windows.values()))
        window.change(amount=self.dice.choice([80, 300, 800]), overdraft=self.dice.choice([0, 40, 150]))

    # --- transactions ------------------------------------------------------------------------------------------

    def begin(self, process: Process, thread: str, transaction: Transaction, answer: Callable[[Any], None]) -> None:
        self.begin_once((process.name, thread), transaction, answer)

    def begin_once(self, whose: tuple[str, str], transaction: Transaction, answer: Callable[[Any], None]) -> None:
        if whose not in self.working:
            self.working[whose] = Work(transaction, answer, set())

    def work_on(self, work: Work) -> None:
        """One lock further, or to its end."""
        try:
            if work.wants is None:
                work.wants = next(work.transaction)
            while self.locks.setdefault(work.wants, work) is work:
                work.held.add(work.wants)
                work.wants = next(work.transaction)
                if self.dice.random() < 0.3:
                    return
            self.look_for_a_deadlock(work)
        except StopIteration as done:
            self.let_go(work)
            self.forget(work)
            if work.answer is not None:
                is_lost = self.dice.random() < LOST and done.value != FENCED
                work.answer(None if is_lost else done.value if done.value is not None else ())

    def look_for_a_deadlock(self, first: Work) -> None:
        work, seen = first, {id(first)}
        while work.wants is not None and work.wants in self.locks:
            work = self.locks[work.wants]
            if work.wants is None or self.locks.get(work.wants) is work:
                return
            if id(work) in seen:
                raise Violation("L1 transactions wait for each other")
            seen.add(id(work))

    def let_go(self, work: Work) -> None:
        for lock in work.held:
            del self.locks[lock]
        work.held.clear()

    def forget(self, work: Work) -> None:
        self.orphans = [known for known in self.orphans if known is not work]
        self.working = {whose: known for whose, known in self.working.items() if known is not work}

    def drain(self) -> None:
        while self.working or self.orphans:
            self.work_on(self.dice.choice([*self.working.values(), *self.orphans]))
            self.check()

    def finish_off(self, transaction: Transaction) -> None:
        self.drain()
        for _ in transaction:
            pass


ACTIONS: list[tuple[float, Callable[[World, Process], None]]] = [
    (0.02, World.ask), (0.52, World.admit), (0.60, World.tell), (0.66, World.deliver), (0.84, World.finish),
    (0.92, World.forward), (0.94, World.give_back), (0.98, World.reap), (0.99, World.kill), (0.995, World.change),
]  # fmt: skip


def violations(seeds: range, mutant: str = "", *, enough: int | None = None) -> list[tuple[int, str]]:
    """Seed and what it violated; stops when there are `enough`."""
    from tests.money.model_mutants import MUTANTS

    parts = MUTANTS[mutant]._asdict() if mutant else {}
    parts.pop("seeds", None)
    found = []
    for seed in seeds:
        try:
            World(seed, **parts).run()
        except Violation as violation:
            found.append((seed, str(violation)))
            if len(found) == enough:
                break
    return found


if __name__ == "__main__":
    name = sys.argv[2] if len(sys.argv) > 2 else ""
    bad = violations(range(int(sys.argv[1])), name)
    print(name or "design", "violations", len(bad), "of", sys.argv[1], *bad[:3])
    sys.exit(bool(bad) is not bool(name))
