"""Everything a process needs to answer calls, started once and closed in order.

`running()` starts it on first use, for servers that send no lifespan events (Daphne).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.gateway import metrics, names
from apps.gateway.attempt import Accounts
from apps.gateway.configuration import Configuration
from apps.gateway.conversations import conversations
from apps.gateway.kept import make_store
from apps.gateway.semantic import Semantic
from apps.gateway.shelf import Shelf
from apps.gateway.standing import standing
from apps.gateway.waiting import waiting
from apps.outbound.client import Outbound
from apps.quotas import replicas
from apps.quotas.counters import make_limiter
from apps.runtime import lifespan as lifespans
from apps.runtime.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from apps.domain.limits.decision import Stand
    from apps.domain.snapshot import Limit

log = structlog.get_logger(__name__)


class Engine:
    """The data plane's standing parts."""

    def __init__(self) -> None:
        self.max_body_bytes: int = settings.WEIR_MAX_BODY_BYTES
        self.configuration = Configuration(on_change=self._configured)
        self.ticker = Ticker()
        self.outbound = Outbound(ticker=self.ticker)
        self.names = names.analyzer(self.outbound)
        self.explaining = asyncio.Semaphore(1)  # looks into one request at a time
        self.limiter = make_limiter()
        self.accounts = Accounts(self.configuration.used)
        self.shelf = Shelf(make_store())
        self.semantic = Semantic()
        waiting.live = replicas.count
        self.loop: asyncio.AbstractEventLoop | None = None  # on which all of it lives
        self._lock: IO[str] | None = None

    async def start(self) -> None:
        """Raises ImproperlyConfigured when another gateway process serves this embedded installation, and under a wrong
        keyring."""
        self.loop = asyncio.get_running_loop()
        self._lock = _embedded_lock()
        await self.configuration.verify()
        await self.accounts.start()
        await self.configuration.start()
        await self.limiter.start()
        standing.start()
        self.shelf.start()
        await self.outbound.warm()
        log.info("gateway.started", revision=self.configuration.snapshot.revision)

    async def close(self) -> None:
        """After the last call: settle, forward, give leases back. The parts do not wait for each other: each may have
        a store that does not answer."""
        parts = (self.configuration, self.accounts, self.limiter, standing, self.outbound, self.shelf, self.semantic)
        faults = await asyncio.gather(*(part.close() for part in parts), return_exceptions=True)
        for part, fault in zip(parts, faults, strict=True):
            if fault is not None:
                log.error("gateway.close_failed", target=type(part).__name__, exc_info=fault)
        conversations.forget()
        metrics.tell()
        if self._lock is not None:
            self._lock.close()
        log.info("gateway.stopped")

    def _configured(self) -> None:
        self.outbound.set_private_networks(self.configuration.snapshot.private_networks)
        waiting.configure(self.configuration.snapshot)
        self.semantic.configure(self.configuration.snapshot)


async def stands_elsewhere(limits: Sequence[Limit]) -> list[Stand] | None:
    """What is left of limits by the counters that gateways share, for a process that is none; None: they do not share
    any, or those are out of reach."""
    if not settings.REDIS_URL:
        return None
    limiter = make_limiter()
    try:
        return await limiter.stands(limits)
    finally:
        await limiter.close()


current: Engine | None = None
_starting: asyncio.Task[Engine] | None = None


async def running() -> Engine:
    """The process's engine, started if it is not."""
    global _starting
    if current is not None:
        return current
    if _starting is None:
        _starting = asyncio.create_task(_start())
    try:
        return await asyncio.shield(_starting)
    except Exception:
        _starting = None
        raise


async def stop() -> None:
    global current, _starting
    if current is not None:
        engine, current, _starting = current, None, None
        await engine.close()


async def _start() -> Engine:
    global current
    engine = Engine()
    try:
        await engine.start()
    except BaseException:
        await engine.close()  # its locks and threads would stand in the way of the next try
        raise
    current = engine
    return engine


# ASGI lifespan: start before the first call, close after the last.
lifespan = lifespans.lifespan(running, stop, failed="gateway.start_failed")


def _embedded_lock() -> IO[str] | None:
    """One gateway process without Redis: limits and leases of a second one would not add up."""
    if settings.REDIS_URL:
        return None
    path = Path(settings.VAR_DIR) / "gateway.lock"
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        raise ImproperlyConfigured(
            f"another gateway process ({lock.read().strip()}) serves this installation; more than one needs REDIS_URL."
        ) from None
    lock.truncate(0)
    lock.write(f"pid {os.getpid()}")
    lock.flush()
    return lock
