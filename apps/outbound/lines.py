"""Requests of threads to one server that follow one another, by connections that stay open between them."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any

import aiohttp

from apps.outbound.documents import Reply, Stale, asked
from apps.outbound.download import Names
from apps.outbound.guard import Guard
from apps.outbound.pool import guarded_session


class Line:
    """As `documents.ask`, from any thread, for as long as the block lasts. Each connection that is made is judged."""

    def __init__(self, networks: Sequence[str], *, tls: ssl.SSLContext | None = None) -> None:
        self._guard, self._tls = Guard(networks), tls
        self._open: Future[aiohttp.ClientSession] = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._live(),), name="line", daemon=True)

    def __enter__(self) -> Line:
        self._thread.start()
        self._session = self._open.result()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join()

    def ask(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, seconds: float, most: int
    ) -> Reply:
        """Blocks. Raises Unavailable. Asks once more where a connection had been closed since it served last."""
        how: dict[str, Any] = {"headers": headers, "body": body, "seconds": seconds, "most": most}
        return asyncio.run_coroutine_threadsafe(self._asked(method, url, how), self._loop).result()

    async def _asked(self, method: str, url: str, how: dict[str, Any]) -> Reply:
        try:
            return await asked(self._session, self._guard, method, url, **how)
        except Stale:
            return await asked(self._session, self._guard, method, url, **how)

    async def _live(self) -> None:
        self._loop, self._is_over = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with guarded_session(self._guard, keep_alive=True, resolver=Names(), tls=self._tls) as session:
                self._open.set_result(session)
                await self._is_over.wait()
        except BaseException as error:
            if not self._open.done():
                self._open.set_exception(error)
            raise
