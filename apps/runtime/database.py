"""Asking the database from a thread: with a connection of its own, and not for ever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, close_old_connections, connection, connections

Answer = TypeVar("Answer")

# With what a call may be waiting for, and with other work. The server itself ends statements after half a minute.
PATIENCE_SECONDS = 5.0
LONG_PATIENCE_SECONDS = 60.0


class Patience:
    """Gives a database up that says nothing for so long: its connection is cut, and who waits gets the driver's error.
    `each`: so long for every statement; else for a whole question, however many it takes.

    The server's own time limits are for statements that it has got; this is for a network that swallows them. Made and
    used by one thread at a time; `run_out` is for others.
    """

    def __init__(self, seconds: float, *, each: bool = False) -> None:
        self._seconds = seconds
        self._each = each
        self._lock = threading.Lock()
        self._question: _Question | None = None

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Around what this thread asks."""
        if connection.vendor != "postgresql":
            yield
            return
        question = _Question(connections[DEFAULT_DB_ALIAS])
        with self._lock:
            self._question = question
            self._wait(question, self._seconds)
        try:
            with connection.execute_wrapper(question.note) if self._each else contextlib.nullcontext():
                yield
        finally:
            with self._lock:
                self._question = None
            question.timer.cancel()

    def run_out(self) -> None:
        """Now, if something is asked. What is still connecting has a time limit of its own."""
        with self._lock:
            if self._question is not None:
                self._question.cut()

    def _wait(self, question: _Question, seconds: float) -> None:
        question.timer = threading.Timer(seconds, self._look, [question])
        question.timer.daemon = True
        question.timer.start()

    def _look(self, question: _Question) -> None:
        """A timer may come a moment too late: what is asked by then is another question, and nothing of its."""
        with self._lock:
            if question is not self._question:
                return
            if (left := question.heard_at + self._seconds - time.monotonic()) > 0:
                self._wait(question, left)
            else:
                question.cut()


class _Question:
    """`heard_at`: when the database last said something, on the monotonic clock."""

    timer: threading.Timer

    def __init__(self, database: Any) -> None:
        self._database = database
        self.heard_at = time.monotonic()

    def note(self, execute: Callable[..., Answer], *arguments: Any) -> Answer:
        """Around each statement, as Django has it."""
        self.heard_at = time.monotonic()
        try:
            return execute(*arguments)
        finally:
            self.heard_at = time.monotonic()

    def cut(self) -> None:
        driver = self._database.connection
        if driver is None or driver.closed:
            return
        gone = (OSError, self._database.Database.Error)
        with contextlib.suppress(*gone), socket.socket(fileno=os.dup(driver.fileno())) as line:
            # If it is open still, the number was its own when it was copied, and not another socket's already.
            if not driver.closed:
                line.shutdown(socket.SHUT_RDWR)


class DatabaseThread:
    """Questions are asked one after another. One per purpose: a slow one must not hold up the others."""

    def __init__(self, name: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience = Patience(patience_seconds)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._is_closing = False

    async def ask(self, question: Callable[..., Answer], *arguments: object) -> Answer:
        """Raises what the question raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._asked, question, *arguments)

    async def close(self) -> None:
        """Behind what is being asked, which gets PATIENCE_SECONDS and no more: then its connection is cut, and the next
        one that it opens. Who had an answer meanwhile may have asked again: that is answered, too, and so patiently."""
        self._is_closing = True
        for _ in range(2):  # behind what was asked before, then behind what was asked meanwhile
            closing = asyncio.get_running_loop().run_in_executor(self._executor, connections.close_all)
            while not (await asyncio.wait([closing], timeout=PATIENCE_SECONDS))[0]:
                self._patience.run_out()
            await closing
        self._executor.shutdown()

    def _asked(self, question: Callable[..., Answer], *arguments: object) -> Answer:
        try:
            with self._patience.asking():
                close_old_connections()
                return question(*arguments)
        finally:
            if self._is_closing:  # nothing may come after it
                connections.close_all()
