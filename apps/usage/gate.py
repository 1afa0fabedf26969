"""The first-byte gate (WEIR_FIRST_BYTE_GATE=database): no client gets a byte of an answer of which only one machine
knows.

An attempt's intent goes to the database too, after the journal has it and while its upstream is already at work. One
thread puts all that wait into one transaction. The posting of the outcome takes the row away again.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from django.db import close_old_connections, connection
from django.db.models import Exists, OuterRef

from apps.domain import errors, ids
from apps.runtime.database import Patience
from apps.usage import pages
from apps.usage.models import Entry, OpenAttempt
from apps.usage.records import Intent

log = logging.getLogger(__name__)

# At most 50 transactions a second.
BATCH_SECONDS = 0.02
# How long an answer that is there waits for the database, and the thread for what the database says.
PATIENCE_SECONDS = 5.0
_RETRY_SECONDS = 0.25


class Passage:
    """One attempt at the gate."""

    __slots__ = ("future", "intent", "is_over", "is_tried")

    def __init__(self, intent: Intent, future: asyncio.Future[None]) -> None:
        self.intent = intent
        self.future = future
        self.is_tried = False
        self.is_over = False

    async def open(self) -> None:
        """Returns when the database knows of the attempt. Raises Unavailable when it does not answer."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.future
        except TimeoutError:
            raise refusal() from None

    def end(self) -> None:
        """Before the outcome is said. Its posting removes the row; one that comes after that is taken away by the
        thread, which looks here when it has written it."""
        self.is_over = True


class Gate:
    """Of one process and one event loop. `replica` is the name of its journal."""

    def __init__(self, replica: str) -> None:
        self.replica = replica
        self.is_shut = False  # the database does not answer
        self._queue: queue.SimpleQueue[Passage | None] = queue.SimpleQueue()
        self._waiting: list[Passage] = []
        self._late: list[UUID] = []
        self._patience = Patience(PATIENCE_SECONDS)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
            self._thread.start()

    async def close(self) -> None:
        """After the last call: nobody waits any more."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def put(self, intent: Intent) -> Passage:
        """Does not wait."""
        assert self._loop is not None, "the gate is not started"
        passage = Passage(intent, self._loop.create_future())
        self._queue.put(passage)
        return passage

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        is_closing = False
        while not is_closing:
            is_closing = self._gather()
            began = time.monotonic()
            try:
                with self._patience.asking():
                    close_old_connections()
                    self._write()
                self._shut(None)
            except Exception as error:
                # Whatever it is, the thread has to live; who waits is told when his patience ends.
                self._shut(error)
            time.sleep(0 if is_closing else max(0.0, began + BATCH_SECONDS - time.monotonic()))
        connection.close()

    def _gather(self) -> bool:
        """Takes what has come. True: it is the end."""
        try:
            found = self._queue.get(timeout=_RETRY_SECONDS if self.is_shut else None)
            while found is not None:
                self._waiting.append(found)
                found = self._queue.get_nowait()
        except queue.Empty:
            return False
        return True

    def _write(self) -> None:
        wanted = [passage for passage in self._waiting if not passage.is_over]
        if wanted:
            for passage in wanted:
                passage.is_tried = True  # a try may have succeeded and only its answer be lost
            rows = [_row(passage.intent, self.replica) for passage in wanted]
            OpenAttempt.objects.bulk_create(rows, ignore_conflicts=True)
            self._open(wanted)
        over = [passage for passage in self._waiting if passage.is_over and passage.is_tried]
        self._late += [entry_id(passage.intent) for passage in over]
        self._waiting = []
        if self.is_shut and not wanted:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        if self._late:
            # While nothing has taken its place the row stays: the outcome may be on this machine only.
            posted = Exists(Entry.objects.filter(pk=OuterRef("pk")))
            late = OpenAttempt.objects.filter(pk__in=self._late)
            late.filter(posted).delete()
            self._late = list(late.values_list("pk", flat=True))

    def _open(self, passages: Sequence[Passage]) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_settle, passages)

    def _shut(self, error: Exception | None) -> None:
        if error is not None and not self.is_shut:
            log.warning("the ledger does not take intents, no call is begun: %s", error)
        elif error is None and self.is_shut:
            log.warning("the ledger takes intents again")
        self.is_shut = error is not None


def refusal() -> errors.Unavailable:
    return errors.Unavailable("the ledger cannot be reached", code="ledger_unavailable", retry_after=1)


def entry_id(intent: Intent) -> UUID:
    """Of the row, and of the ledger entry that takes its place."""
    return ids.entry_id(intent.request_id, attempt=intent.attempt)


def _row(intent: Intent, replica: str) -> OpenAttempt:
    return OpenAttempt(
        id=entry_id(intent),
        request_id=intent.request_id,
        attempt=intent.attempt,
        replica=replica,
        intent=pages.encoder.encode(intent),
        started_at=datetime.fromtimestamp(intent.started_at, UTC),
    )


def _settle(passages: Sequence[Passage]) -> None:
    for passage in passages:
        if not passage.future.done():
            passage.future.set_result(None)
