"""A thread that asks the database for an event loop, with a connection of its own that it closes when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import close_old_connections, connections

Answer = TypeVar("Answer")


class DatabaseThread:
    """Questions are asked one after another. One per purpose: a slow one must not hold up the others."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def ask(self, question: Callable[..., Answer], *arguments: object) -> Answer:
        """Raises what the question raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, _asked, question, *arguments)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, connections.close_all)
        self._executor.shutdown()


def _asked(question: Callable[..., Answer], *arguments: object) -> Answer:
    close_old_connections()
    return question(*arguments)
