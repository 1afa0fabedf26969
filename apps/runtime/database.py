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

Answer = TypeVar("Answer")

# With what a call may be waiting for, and with other work. The server itself ends statements after half a minute.
PATIENCE_SECONDS = 5.0
LONG_PATIENCE_SECONDS = 60.0


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Gives a database up that says nothing for so long: its connection is cut, and who waits gets the driver's error.

    The server's own time limits are for statements that it has got; this is for a network that swallows them.
    """
    if connection.vendor != "postgresql":
        yield
        return
    watch = _Watch()
    timer = threading.Timer(seconds, watch.cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        watch.end()


class _Watch:
    """Of the connection of the thread that makes it."""

    def __init__(self) -> None:
        self._connection = connections[DEFAULT_DB_ALIAS]
        self._lock = threading.Lock()
        self._is_over = False

    def end(self) -> None:
        with self._lock:
            self._is_over = True

    def cut(self) -> None:
        """On another thread. What is connecting has a time limit of its own."""
        with self._lock:
            driver = self._connection.connection
            if self._is_over or driver is None or driver.closed:
                return
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(driver.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)


class DatabaseThread:
    """Questions are asked one after another. One per purpose: a slow one must not hold up the others."""

    def __init__(self, name: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience = patience_seconds
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def ask(self, question: Callable[..., Answer], *arguments: object) -> Answer:
        """Raises what the question raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._asked, question, *arguments)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, connections.close_all)
        self._executor.shutdown()

    def _asked(self, question: Callable[..., Answer], *arguments: object) -> Answer:
        with patience(self._patience):
            close_old_connections()
            return question(*arguments)
