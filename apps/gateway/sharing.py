"""What replicas tell one another of deployments and credentials: through a hash in Redis, read by all twice a second.

No call ever waits for it. What is told goes out with the next reading, at once; while Redis is away each replica goes
by what it knows itself, and when it is back each says again what still holds.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from apps.runtime.standings import KEY
from apps.runtime.state import state

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.5
DEADLINE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0
_SCRIPT = Path(__file__).with_name("standing.lua")


class News(NamedTuple):
    """`age`: seconds since it was told."""

    field: str
    text: bytes
    age: float


class Sharing:
    """`before` is called before each reading, to tell; `on_news` with what has changed since the last one, this
    process's own words too; `on_fields` with the names of all that there is; `on_up` and `on_down` when Redis comes
    and goes. Without a `url` there is nobody to share with: `before` is called all the same."""

    def __init__(
        self,
        url: str,
        *,
        before: Callable[[], None],
        on_news: Callable[[News], None],
        on_fields: Callable[[list[str]], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        self._url = url
        self._before, self._on_news, self._on_fields = before, on_news, on_fields
        self._on_up, self._on_down = on_up, on_down
        self._redis: Any = None
        self._run: Any = None
        self._told: dict[str, tuple[float, bytes]] = {}
        self._read: dict[str, bytes] = {}
        self._wake = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._is_closing = False
        self._failures = 0
        self.is_up = False

    def start(self) -> None:
        if self._url:
            import redis.asyncio as redis  # 15 MB that a process without a Redis need not hold

            self._redis = redis.Redis.from_url(
                self._url, socket_timeout=DEADLINE_SECONDS, socket_connect_timeout=DEADLINE_SECONDS, max_connections=1
            )
            self._run = self._redis.register_script(_SCRIPT.read_text(encoding="utf-8"))
            state.standing_shared = False
        self._working = asyncio.create_task(self._work(), name="weir-sharing")

    async def close(self) -> None:
        self._is_closing = True
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        if self._redis is not None:
            with contextlib.suppress(Exception):
                await self._redis.aclose()
        state.standing_shared = None

    def tell(self, field: str, text: bytes, *, seconds: float) -> None:
        """Worth keeping for so long."""
        if self._redis is not None:
            self._told[field] = (seconds, text)
            self._wake.set()

    async def _work(self) -> None:
        while not self._is_closing:
            pause = PAUSE_SECONDS
            try:
                self._before()
                if self._redis is not None:
                    await self._exchange()
            except Exception as error:
                self._down(error)
                pause = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2 ** min(self._failures, 8))
            if self._is_closing:  # the client can swallow a cancel
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
                    if not self.is_up:
                        await asyncio.sleep(pause)

    async def _exchange(self) -> None:
        self._wake.clear()
        told, self._told = self._told, {}
        arguments = [part for field, (seconds, text) in told.items() for part in (field, int(seconds * 1000), text)]
        async with asyncio.timeout(DEADLINE_SECONDS):
            answer = await self._run(keys=[KEY], args=arguments)
        now, fields = int(answer[0]), [name.decode() for name in answer[1::2]]
        read = dict(zip(fields, answer[2::2], strict=True))
        if not self.is_up:
            self._up()
        self._on_fields(fields)
        before, self._read = self._read, read
        for field, value in read.items():
            if before.get(field) != value:
                at, _, text = value.split(b"|", 2)
                self._on_news(News(field, text, max(0.0, (now - int(at)) / 1000)))

    def _up(self) -> None:
        self.is_up = state.standing_shared = True
        if self._failures:
            log.warning("sharing.resumed")
        self._failures = 0
        self._on_up()

    def _down(self, error: Exception) -> None:
        if not self._failures:
            log.warning("sharing.alone", error=str(error) or type(error).__name__)
        self._failures += 1
        self._told.clear()
        self.is_up = state.standing_shared = False
        self._on_down()
