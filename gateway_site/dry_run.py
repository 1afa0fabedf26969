"""Asking the gateway what would become of a call: for the admin's page and for the management API."""

from __future__ import annotations

import asyncio

from asgiref.sync import async_to_sync, sync_to_async

from apps.domain.explanation import Explanation
from apps.gateway import configuration, engine, vantage
from apps.gateway.explain import NOBODY, Asked, explain
from apps.gateway.networks import ANYWHERE
from apps.runtime import walls


@walls.as_installation()
def explained(
    endpoint: str, body: bytes, *, key_id: int | None, address: str | None, shows_all: bool
) -> Explanation | None:
    """None: the key's user is shut off, or has left the tenant. `key_id` None: nobody in particular asks."""
    principal = NOBODY if key_id is None else configuration.principal_of(key_id)
    if principal is None:
        return None
    asked = Asked(endpoint, body, principal, client=(address, 0) if address else ANYWHERE)
    return async_to_sync(_explained)(asked, shows_all=shows_all)


async def _explained(asked: Asked, *, shows_all: bool) -> Explanation:
    """In the gateway's own process by what it sees just now."""
    running = engine.current
    if running is not None and running.loop is asyncio.get_running_loop():
        return await explain(asked, vantage.inside(running, shows_all=shows_all))
    return await explain(asked, await sync_to_async(vantage.outside)(shows_all=shows_all))
