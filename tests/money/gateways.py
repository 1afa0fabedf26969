"""A gateway process's money, without its calls: a lease book and a journal that can be killed at any point."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from apps.domain.snapshot import Budget
from apps.quotas.leases import LeaseBook
from apps.quotas.slices import Hold
from apps.usage import ledger
from apps.usage.forwarder import _Chores
from apps.usage.gate import Gate, Passage
from apps.usage.journal import Journal
from apps.usage.records import Intent, Outcome
from tests.money.calls import outcome

Found = TypeVar("Found")


@dataclass(slots=True)
class Running:
    intent: Intent
    hold: Hold
    real: int
    passage: Passage | None = None


@dataclass(slots=True)
class Gateway:
    """`said`: outcomes that are not on the disk yet. `sent`: the last page that the ledger is known to have."""

    name: str
    folder: Path
    loop: asyncio.AbstractEventLoop
    book: LeaseBook
    journal: Journal
    gate: Gate | None = None
    running: dict[UUID, Running] = field(default_factory=dict)
    said: list[Outcome] = field(default_factory=list)
    journalled: list[Outcome] = field(default_factory=list)
    opened: list[Intent] = field(default_factory=list)
    sent: int = 0

    @classmethod
    def start(cls, name: str, *, folder: Path, loop: asyncio.AbstractEventLoop, has_gate: bool) -> Gateway:
        book, journal = LeaseBook(name, shared=True), Journal(folder / "alive" / name, name=name)
        found = cls(name, folder, loop, book, journal, Gate(name) if has_gate else None)
        found.run(journal.start())
        if found.gate is not None:
            found.run(found.gate.start())
        return found

    def run(self, work: Awaitable[Found]) -> Found:
        """With all that it has set off in the background."""

        async def whole() -> Found:
            result = await work
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others)
            return result

        return self.loop.run_until_complete(whole())

    def reserve(self, rules: Sequence[Budget], *, worst: int, expected: int, now: float) -> Hold:
        """As after some time: what was refused before is not remembered."""
        for found in self.book._slices.values():
            found.refused_need = 0
        return self.run(self.book.reserve(rules, amount=worst, expected=expected, now=now))

    def begin(self, intent: Intent, hold: Hold, *, real: int) -> None:
        """On the disk, and if it is gated in the database, before anything else happens."""

        async def journalled() -> None:
            await self.journal.intent(intent)
            if intent.gated and self.gate is not None:
                running.passage = self.gate.put(intent)
                await running.passage.open()

        running = self.running[intent.request_id] = Running(intent, hold, real)
        self.run(journalled())
        self.opened.append(intent)

    def extend(self, request: UUID, *, amount: int, real: int) -> bool:
        """`real`: what it really costs more. The disk is told how much is reserved now."""
        running = self.running[request]
        if not self.run(self.book.extend_by_asking(running.hold, amount=amount)):
            return False
        running.real += real
        self.journal.checkpoint(request, 1, 0, reserved=running.hold.amount)
        self.run(self.journal.flush())
        return True

    def finish(self, request: UUID, *, is_known: bool) -> None:
        running = self.running.pop(request)
        if running.passage is not None:
            running.passage.end()
        most = running.hold.amount
        # A doubt does not widen a doubt, and of a stream that was given more the gate's record holds the less.
        is_known = is_known or (running.intent.gated and most > running.intent.reserved)
        doubt = {"state": "unconfirmed", "cost": 0, "low": 0, "high": most}
        told = outcome(running.intent, **({"cost": running.real} if is_known else doubt))
        self.book.settle(running.hold, amount=running.real if is_known else most)
        self.said.append(told)

    def flush(self) -> None:
        async def all_said() -> None:
            for told in self.said:
                self.journal.outcome(told)
            await self.journal.flush()

        if self.said:
            self.run(all_said())
            self.journalled += self.said
            self.said = []

    def unsent(self) -> list[tuple[int, list[Outcome]]]:
        """Pages of the journal that the ledger is not known to have."""
        reader = self.journal.reader()
        found = [(page.id, page.outcomes) for page in reader.closed(after=self.sent, limit=ledger.BATCH)]
        reader.close()
        return found

    def tidy(self) -> None:
        """Gives back what lies idle, as after some time."""
        self.run(self.book._tidy(time.time() + 3600))

    def close(self) -> None:
        """A clean end, when everything is forwarded."""
        self.journal.forwarded(through=self.journal.last_closed)
        reader = self.journal.reader()
        _Chores(self.journal, reader).end()
        reader.close()
        self.run(self._closed())

    def kill(self, *, disk: bool) -> Path | None:
        """Where its journal is found. What this test's process needs to end is ended where nobody looks."""
        grave = None
        if disk:
            grave = self.folder / "dead" / self.name
            shutil.copytree(self.journal.directory, grave)
        self.run(self._gone())
        shutil.rmtree(self.journal.directory, ignore_errors=True)
        return grave

    async def _closed(self) -> None:
        if self.gate is not None:
            await self.gate.close()
        await self.journal.close()
        await self.book.close()

    async def _gone(self) -> None:
        if self.gate is not None:
            await self.gate.close()
        await self.journal.close()
        await self.book._authority.close()
