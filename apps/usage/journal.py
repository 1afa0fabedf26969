"""What this process has promised and done, on its own disk before anybody else knows of it.

One thread writes; all that is waiting is committed together. An intent is awaited just before the upstream sees a
byte, so there is never a call in flight that a successor would not know of; an outcome is written within milliseconds,
but nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from pathlib import Path
from uuid import UUID

import msgspec
from django.conf import settings

from apps.domain import errors
from apps.quotas import replicas
from apps.runtime import clock
from apps.runtime.failpoints import failpoint
from apps.usage import pages
from apps.usage.ballast import Ballast
from apps.usage.records import Checkpoint, Intent, Outcome

log = logging.getLogger(__name__)

_INTENT, _CHECKPOINT, _OUTCOME, _FLUSH, _REFUSED, _STOP = range(6)
_GROUP = 1024
# The file is cut when so many pages are in the ledger, or when nothing has been said for a second.
_CUT_PAGES = 512
_IDLE_SECONDS = 1.0
_RETRY_SECONDS = 0.1
# An outcome nobody waits for may wait this long for company.
_LINGER_SECONDS = 0.005
_LAST_TRIES_SECONDS = 10.0
# Who only looks whether a journal is held holds it himself for a moment.
_LOOKED_AT_SECONDS = 0.05

_Item = tuple[int, pages.Attempt | None, msgspec.Raw | None, "asyncio.Future[None] | None"]


class Journal:
    """Of one process and one event loop. `name` is also that of the leases whose spending it records."""

    def __init__(self, directory: Path | str | None = None, *, name: str | None = None) -> None:
        self.name = name or replicas.name()
        self.directory = Path(directory or settings.WEIR_JOURNAL_DIR)
        self.path = self.directory / f"{self.name}.journal"
        self.on_outcomes = threading.Event()
        self.owed: set[int] = set()  # leases of what the ledger refused; the forwarder's
        self._said: list[_Item] = []  # by the loop, and not handed over yet
        self._due: asyncio.TimerHandle | asyncio.Handle | None = None
        self._is_soon = False
        self._queue: queue.SimpleQueue[list[_Item]] = queue.SimpleQueue()
        self._open: dict[pages.Attempt, tuple[msgspec.Raw, msgspec.Raw | None]] = {}
        self._carried: list[_Item] = []
        self._forwarded = 0
        self._cut = 0
        self.last_closed = 0
        self._keep = False
        self._lock: pages.Lock | None = None
        self._file: pages.File | None = None
        self._ballast: Ballast | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Opens the file. Raises Unavailable if it cannot be."""
        if self._thread is not None:
            return
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._open_file)
        except (OSError, sqlite3.Error) as error:
            raise errors.Unavailable(f"the journal cannot be opened: {error}") from error
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    async def close(self, *, keep: bool = False) -> None:
        """Writes what is waiting. The file goes if the ledger has all that is in it, unless it is to be kept: whoever
        recovers it returns its leases."""
        if self._thread is None:
            return
        self._keep = keep
        self._said.append((_STOP, None, None, None))
        self._hand_over()
        await asyncio.to_thread(self._thread.join)
        self._thread = None

    # --- what the data plane says ------------------------------------------------------------------------------

    def intent(self, record: Intent) -> asyncio.Future[None]:
        """Done when it is durable. Its exception is Unavailable when it cannot be written."""
        assert self._loop is not None, "the journal is not started"
        future: asyncio.Future[None] = self._loop.create_future()
        self._said.append((_INTENT, (record.request_id, record.attempt), _encoded(record), future))
        if not self._is_soon:
            self._is_soon = True
            if self._due is not None:
                self._due.cancel()
            self._due = self._loop.call_soon(self._hand_over)
        return future

    def checkpoint(
        self, request_id: UUID, attempt: int, output_tokens: int, response_id: str = "", *, reserved: int = 0
    ) -> None:
        record = Checkpoint(at=clock.now(), output_tokens=output_tokens, response_id=response_id, reserved=reserved)
        self._say((_CHECKPOINT, (request_id, attempt), _encoded(record), None))

    def outcome(self, record: Outcome) -> None:
        self._say((_OUTCOME, (record.intent.request_id, record.intent.attempt), _encoded(record), None))

    async def flush(self) -> None:
        """Returns when all that was said before is durable."""
        assert self._loop is not None, "the journal is not started"
        future: asyncio.Future[None] = self._loop.create_future()
        self._said.append((_FLUSH, None, None, future))
        self._hand_over()
        await future

    def _say(self, item: _Item) -> None:
        self._said.append(item)
        if self._due is None:
            assert self._loop is not None, "the journal is not started"
            self._due = self._loop.call_later(_LINGER_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        """To the writer's thread. Waking it takes the interpreter away from the loop, so it is done once for many."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._is_soon = False
        said, self._said = self._said, []
        if said:
            self._queue.put(said)

    # --- what the forwarder says -------------------------------------------------------------------------------

    def reader(self) -> pages.File:
        """A connection of its own for another thread."""
        return pages.File(self.path)

    def forwarded(self, *, through: int) -> None:
        """The ledger has every outcome up to that page."""
        self._forwarded = through

    @property
    def forwarded_through(self) -> int:
        return self._forwarded

    def refuse(self, record: Outcome) -> None:
        """Puts aside what the ledger will not take."""
        self.owed |= {*record.intent.leases}
        self._queue.put([(_REFUSED, None, _encoded(record), None)])

    # --- the writer's thread -----------------------------------------------------------------------------------

    def _open_file(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = pages.Lock.take(self.path)
        if self._lock is None:
            time.sleep(_LOOKED_AT_SECONDS)
            self._lock = pages.Lock.take(self.path)
        if self._lock is None:
            raise OSError(f"{self.path.name} belongs to a living process")
        self._file = pages.File(self.path, power_safe=settings.WEIR_DURABILITY == "power")
        size = settings.WEIR_BALLAST_MB * 1024 * 1024
        self._ballast = Ballast(pages.ballast(self.path), size=size, probe=self._file.probe)
        self._ballast.look()

    def _run(self) -> None:
        assert self._ballast is not None
        give_up_at: float | None = None
        while give_up_at is None or (self._carried and time.monotonic() < give_up_at):
            forwarded = self._forwarded  # all that was said before this number is gathered now
            group = self._gather()
            if any(item[0] == _STOP for item in group):
                give_up_at = time.monotonic() + _LAST_TRIES_SECONDS
            if self._ballast.is_full:
                group = self._refused(group, self._ballast.refusal())
            try:
                self._write(group)
            except Exception as error:
                # Whatever it is, the thread has to live, or calls would wait for it for ever.
                self._carry(group, error)
            else:
                if len(group) < _GROUP:  # else there is more, perhaps an outcome that the ledger refused
                    self._cut_if_due(through=forwarded, idle=not group)
            self._ballast.look()
        self._shut()

    def _gather(self) -> list[_Item]:
        group = self._carried
        self._carried = []
        try:
            group += self._queue.get(timeout=_RETRY_SECONDS if group else _IDLE_SECONDS)
            while len(group) < _GROUP:
                group += self._queue.get_nowait()
        except queue.Empty:
            pass
        return group

    def _write(self, group: list[_Item]) -> None:
        assert self._file is not None
        opened = pages.Opened([], [])
        closed: list[msgspec.Raw] = []
        refused: list[msgspec.Raw] = []
        for kind, key, raw, _ in group:
            if raw is None:
                continue
            if kind == _INTENT:
                opened.intents.append(raw)
            elif kind == _CHECKPOINT and key is not None:
                opened.checkpoints.append((*key, raw))
            elif kind == _OUTCOME:
                closed.append(raw)
            elif kind == _REFUSED:
                refused.append(raw)
        if refused:
            self._file.refuse(refused)
        if opened.intents:
            failpoint("journal.intent.before_commit")
        if closed:
            failpoint("journal.outcome.before_commit")
        if opened.intents or opened.checkpoints or closed:
            page = self._file.append(
                at=time.time(),
                opened=pages.encoder.encode(opened) if opened.intents or opened.checkpoints else None,
                closed=pages.encoder.encode(closed) if closed else None,
            )
            if closed:
                self.last_closed = page
        if opened.intents:
            failpoint("journal.intent.after_commit")
        if closed:
            failpoint("journal.outcome.after_commit")
        self._note(group)
        self._resolve([future for *_, future in group if future is not None], None)
        if closed:
            self.on_outcomes.set()

    def _note(self, group: list[_Item]) -> None:
        """Keeps what is open, to write it again when the file is cut."""
        for kind, key, raw, _ in group:
            if key is None or raw is None:
                continue
            if kind == _INTENT:
                self._open[key] = (raw, None)
            elif kind == _OUTCOME:
                self._open.pop(key, None)
            elif kind == _CHECKPOINT and key in self._open:
                self._open[key] = (self._open[key][0], raw)

    def _cut_if_due(self, *, through: int, idle: bool) -> None:
        assert self._file is not None
        if through - self._cut < (1 if idle else _CUT_PAGES):
            return
        still = pages.Opened(
            [intent for intent, _ in self._open.values()],
            [(*key, checkpoint) for key, (_, checkpoint) in self._open.items() if checkpoint is not None],
        )
        try:
            self._file.cut(through=through, at=time.time(), opened=pages.encoder.encode(still) if self._open else None)
        except Exception as error:
            log.error("the journal cannot be cut: %s", error)
        else:
            self._cut = through

    def _carry(self, group: list[_Item], error: Exception) -> None:
        """Intents fail: their calls are not made. What has happened is written as soon as that is possible."""
        assert self._ballast is not None
        if self._ballast.give_up(error):
            refusal = self._ballast.refusal()
        else:
            log.error("the journal cannot be written: %s", error)
            refusal = errors.Unavailable(f"the journal cannot be written: {error}", retry_after=1)
        left = self._refused(group, refusal)
        self._carried = [item for item in left if item[0] in (_CHECKPOINT, _OUTCOME, _FLUSH, _REFUSED)]

    def _refused(self, group: list[_Item], refusal: errors.Unavailable) -> list[_Item]:
        """The group without its intents, which fail."""
        self._resolve([future for kind, _, _, future in group if kind == _INTENT and future is not None], refusal)
        return [item for item in group if item[0] != _INTENT]

    def _resolve(self, futures: list[asyncio.Future[None]], error: Exception | None) -> None:
        assert self._loop is not None
        if futures and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_settle, futures, error)

    def _shut(self) -> None:
        assert self._file is not None
        assert self._lock is not None
        assert self._ballast is not None
        is_done = not (self._open or self._carried) and self._forwarded >= self.last_closed
        is_done = is_done and not self._keep and not self._file.count_refused()
        self._file.close()
        self._ballast.remove()
        if is_done:
            pages.remove(self.path)
            self._lock.remove()
        else:
            self._lock.release()


def _encoded(record: Intent | Checkpoint | Outcome) -> msgspec.Raw:
    return msgspec.Raw(pages.encoder.encode(record))


def _settle(futures: list[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
