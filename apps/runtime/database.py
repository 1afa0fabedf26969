"""Asking the database from a thread: with a connection of its own, and not for ever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, close_old_connections, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

Answer = TypeVar("Answer")

# With what a call may be waiting for, and with other work. The server itself ends statements after half a minute.
PATIENCE_SECONDS = 5.0
LONG_PATIENCE_SECONDS = 60.0


class Patience:
    """Gives a database up that says nothing for so long: its connection is cut, and who waits gets the driver's error.

    The server's own time limits are for statements that it has got; this is for a network that swallows them. Made and
    used by one thread at a time; `run_out` is for others.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asked: BaseDatabaseWrapper | None = None

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Around what this thread asks."""
        if connection.vendor != "postgresql":
            yield
            return
        timer = threading.Timer(self._seconds, self.run_out)
        timer.daemon = True
        self._asked = connections[DEFAULT_DB_ALIAS]
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._asked = None

    def run_out(self) -> None:
        """Now, if something is asked. What is still connecting has a time limit of its own."""
        with self._lock:
            driver = self._asked.connection if self._asked is not None else None
            if driver is None or driver.closed:
                return
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(driver.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)


class DatabaseThread:
    """Questions are asked one after another. One per purpose: a slow one must not hold up the others."""

    def __init__(self, name: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience = Patience(patience_seconds)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def ask(self, question: Callable[..., Answer], *arguments: object) -> Answer:
        """Raises what the question raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._asked, question, *arguments)

    async def close(self) -> None:
        closing = asyncio.get_running_loop().run_in_executor(self._executor, connections.close_all)
        await asyncio.wait([closing], timeout=PATIENCE_SECONDS)
        self._patience.run_out()
        await closing
        self._executor.shutdown()

    def _asked(self, question: Callable[..., Answer], *arguments: object) -> Answer:
        with self._patience.asking():
            close_old_connections()
            return question(*arguments)
