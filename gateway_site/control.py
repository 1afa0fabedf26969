"""What a process that serves people and no calls begins and ends with: nothing runs there but what is asked for."""

from __future__ import annotations

import structlog

from apps.catalog import canary
from apps.runtime import lifespan as lifespans
from apps.runtime.database import LONG_PATIENCE_SECONDS, DatabaseThread

log = structlog.get_logger(__name__)


async def _start() -> None:
    """Refuses to go on under a wrong keyring: what is entered in the admin would be sealed for nobody to open."""
    thread = DatabaseThread("control", patience_seconds=LONG_PATIENCE_SECONDS)
    try:
        await thread.ask(canary.verify)
    finally:
        await thread.close()
    log.info("control.started")


async def _stop() -> None:
    log.info("control.stopped")


lifespan = lifespans.lifespan(_start, _stop, failed="control.start_failed")
