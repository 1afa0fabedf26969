"""From this process's journal to the ledger, in batches, for as long as it takes.

One thread. When the database is away it waits and tries again, the journal keeps everything, and `state.journal_lag`
tells how far behind the ledger is. It also adopts what dead neighbours left in the same folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import sys
import threading
import time
from datetime import UTC, date, datetime

from django.db import Error, close_old_connections, connection

from apps.runtime.database import LONG_PATIENCE_SECONDS, PATIENCE_SECONDS, Patience
from apps.runtime.failpoints import failpoint
from apps.runtime.state import state
from apps.usage import journals, ledger, pages, partitions, reaper, recovery
from apps.usage.journal import Journal

log = logging.getLogger(__name__)

# At most 20 transactions a second; where there is much to do, a larger batch costs a third a row of what small ones do.
BATCH_SECONDS = 0.05
_BUSY_SECONDS = 0.3
_BUSY_ROWS = 20
_LOOK_SECONDS = 0.5
_TIDY_SECONDS = 2.0
_ADOPT_SECONDS = 10.0
_SLOWEST_RETRY_SECONDS = 5.0
# How long the end of a process waits for a database that does not answer; the journal stays for a successor.
CLOSE_SECONDS = 10.0


class Forwarder:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._closing = threading.Event()
        self._patience = Patience(LONG_PATIENCE_SECONDS, each=True)  # a journal that is taken over may be long
        self._give_up_at = float("inf")
        self._through = 0
        self._failures = 0
        self._rows = 0  # of the last batch
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """After the journal."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)
            self._thread.start()

    async def close(self, *, patience: float = CLOSE_SECONDS) -> None:
        """Returns when the ledger has all outcomes, or after `patience` seconds. Before the leases are returned."""
        if self._thread is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._journal.flush(), patience)
        self._give_up_at = time.monotonic() + patience
        self._closing.set()
        self._journal.on_outcomes.set()
        while self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, patience)
            self._patience.run_out()
            patience = PATIENCE_SECONDS  # of what it asks last
        self._thread = None

    async def flush(self) -> None:
        """Returns when the ledger has every outcome that was said before."""
        await self._journal.flush()
        through = self._journal.last_closed
        while self._through < through:
            self._journal.on_outcomes.set()
            await asyncio.sleep(BATCH_SECONDS / 5)

    def _run(self) -> None:
        reader = self._journal.reader()
        chores = _Chores(self._journal, reader)
        try:
            while not self._step(reader, chores, pause=self._pause()):
                pass
            with self._patience.asking():
                chores.end()
        finally:
            reader.close()
            connection.close()

    def _pause(self) -> float:
        """Seconds until the next batch."""
        if self._failures:
            return min(0.1 * 2**self._failures, _SLOWEST_RETRY_SECONDS)
        return _BUSY_SECONDS if _BUSY_ROWS <= self._rows < ledger.BATCH else BATCH_SECONDS

    def _step(self, reader: pages.File, chores: _Chores, *, pause: float) -> bool:
        """Waits for something to do and does it. True: it is over."""
        closing = self._closing.is_set()
        if not closing:
            self._journal.on_outcomes.wait(_LOOK_SECONDS)
            self._closing.wait(pause)
        self._journal.on_outcomes.clear()
        try:
            with self._patience.asking():
                close_old_connections()
                more = self._forward(reader)
                chores.run()
            self._failures = 0
        except Exception as error:
            # Whatever it is, the journal keeps what happened and the thread has to live.
            more = True
            self._failures += 1
            state.forwards_failed += 1
            log.warning("the ledger cannot be written, trying again: %s", error)
            if closing:
                time.sleep(0.1)
        chores.look()
        if more:
            self._journal.on_outcomes.set()
        return closing and (not more or time.monotonic() > self._give_up_at)

    def _forward(self, reader: pages.File) -> bool:
        """Moves one batch. Returns whether there may be more."""
        batch = reader.closed(after=self._through, limit=ledger.BATCH)
        if not batch:
            self._rows = 0
            state.journal_lag = 0.0
            return False
        state.journal_lag = max(0.0, time.time() - batch[0].at)
        outcomes = [outcome for page in batch for outcome in page.outcomes]
        _, refused = ledger.post_each(outcomes)
        failpoint("forward.after_commit")
        for outcome in refused:
            self._journal.refuse(outcome)
        self._rows = len(outcomes)
        state.entries_forwarded += len(outcomes) - len(refused)
        self._through = batch[-1].id
        self._journal.forwarded(through=self._through)
        return len(outcomes) >= ledger.BATCH or self._closing.is_set()


class _Chores:
    """What is done now and then beside forwarding."""

    def __init__(self, journal: Journal, reader: pages.File) -> None:
        self._journal = journal
        self._reader = reader
        self._tidied = time.monotonic()
        self._adopted = float("-inf")
        self._looked = float("-inf")
        self._gaps: set[int] = set()
        self._day: date | None = None

    def run(self) -> None:
        now = time.monotonic()
        if now - self._tidied > _TIDY_SECONDS:
            self._tidied = now
            self._reader.tidy()
        if now - self._adopted > _ADOPT_SECONDS:
            self._adopted = now
            self._adopt()
            self._close_gaps()
        today = datetime.now(UTC)
        if today.date() != self._day:
            partitions.ensure(today)
            self._day = today.date()

    def look(self) -> None:
        """What lies in the folder, for those who ask this process; also while the database is away."""
        now = time.monotonic()
        if now - self._looked <= _ADOPT_SECONDS:
            return
        self._looked = now
        try:
            found = journals.survey(self._journal.directory)
        except OSError as error:
            log.warning("the folder of journals cannot be read: %s", error)
        else:
            state.journals_orphaned, state.outcomes_refused = found.orphaned, found.refused

    def end(self) -> None:
        """Nothing is said any more."""
        try:
            self._close_gaps()
            self._close_gaps()
        except (Error, sqlite3.Error) as error:
            log.warning("gaps stay open until this journal is recovered: %s", error)

    def _adopt(self) -> None:
        try:
            recovery.adopt(self._journal.directory)
        except (sqlite3.Error, OSError) as error:
            log.warning("a journal in this folder cannot be recovered yet: %s", error)

    def _close_gaps(self) -> None:
        """This process's own, if it was given up while it was only paused: gaps of leases that no call holds any more,
        and of which the ledger has everything. Who reserves has an intent within milliseconds, so that a gap that is
        seen twice in a row has nothing to come."""
        found = reaper.gaps(self._journal.name)
        if known := found & self._gaps:
            busy = {lease for intent, _ in self._reader.open_attempts() for lease in intent.leases}
            for page in self._reader.closed(after=self._journal.forwarded_through, limit=sys.maxsize):
                busy |= {lease for outcome in page.outcomes for lease in outcome.intent.leases}
            reaper.close_gaps(self._journal.name, leases=known - busy - self._journal.owed)
        self._gaps = found
