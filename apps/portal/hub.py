"""Those who look at live pages through this process, and what they are sent: a frame a second, the same one to all who
look at the same. Lives on the process's event loop; reads in a thread, and only while somebody looks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from apps.audit import selectors as audit
from apps.portal import feed
from apps.portal.feed import Subject
from apps.runtime.database import DatabaseThread

log = structlog.get_logger(__name__)

SECONDS = 1.0  # between frames
MOST = 200  # that look, in one process
MOST_EACH = 6  # of one visitor
REVIEW_SECONDS = 15.0  # of a session that ends without a word; whatever is recorded is noticed with the next frame
_AREAS = ("accounts", "tenants")


class Watcher:
    """One connection. `frame` is the newest that was not taken yet: who reads slowly gets fewer, and nothing heaps
    up. `review` asks again who it is, and is told None where they may look no more."""

    def __init__(self, subject: Subject, *, visitor: str, review: Callable[[], Awaitable[Subject | None]]) -> None:
        self.subject = subject
        self.visitor = visitor
        self.review = review
        self.reviewed_at = time.monotonic()
        self.ended = False
        self._frame: str | None = None
        self._news = asyncio.Event()

    async def next(self) -> str | None:
        """None: it is over."""
        await self._news.wait()
        self._news.clear()
        found, self._frame = self._frame, None
        return None if self.ended else found

    def tell(self, frame: str) -> None:
        self._frame = frame
        self._news.set()

    def end(self) -> None:
        self.ended = True
        self._news.set()


class Hub:
    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._visitors: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._revisions: tuple[int, ...] = ()

    def has_room(self, visitor: str) -> bool:
        return len(self._watchers) < MOST and self._visitors[visitor] < MOST_EACH

    def join(self, watcher: Watcher) -> None:
        self._watchers.add(watcher)
        self._visitors[watcher.visitor] += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="weir-live")

    async def leave(self, watcher: Watcher) -> None:
        """After the last one nothing is read, and nothing of it runs any more."""
        self._drop(watcher)
        if not self._watchers and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    def _drop(self, watcher: Watcher) -> None:
        if watcher in self._watchers:
            self._watchers.discard(watcher)
            self._visitors[watcher.visitor] -= 1
            self._visitors += Counter()  # without those that are down to nothing

    async def _run(self) -> None:
        thread, reader = DatabaseThread("live"), feed.Reader()
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._review(await thread.ask(_revisions))
                    subjects = {watcher.subject for watcher in self._watchers}
                    frames = await thread.ask(_read, reader, subjects)
                except Exception:
                    log.exception("live.read_failed")  # who hears nothing says so on the page
                    frames = {}
                for watcher in self._watchers:
                    if watcher.subject in frames:
                        watcher.tell(frames[watcher.subject])
                await asyncio.sleep(max(SECONDS / 2, SECONDS - (time.monotonic() - began)))
        finally:
            await thread.close()

    async def _review(self, revisions: tuple[int, ...]) -> None:
        """Whoever may look no more, or at something else, is cut off before the next frame."""
        has_moved, self._revisions = revisions != self._revisions, revisions
        now = time.monotonic()
        for watcher in tuple(self._watchers):
            if not has_moved and now - watcher.reviewed_at < REVIEW_SECONDS:
                continue
            if await watcher.review() != watcher.subject:
                self._drop(watcher)
                watcher.end()
            watcher.reviewed_at = time.monotonic()


def _revisions() -> tuple[int, ...]:
    found = audit.revisions()
    return tuple(found[area] for area in _AREAS)


def _read(reader: feed.Reader, subjects: set[Subject]) -> dict[Subject, str]:
    return reader.read(subjects, now=time.time())


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def here() -> Hub:
    """The event loop's own."""
    loop = asyncio.get_running_loop()
    for gone in [known for known in _hubs if known.is_closed()]:
        del _hubs[gone]
    return _hubs.setdefault(loop, Hub())
