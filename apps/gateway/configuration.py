"""The current snapshot and the keys that are warm: what the data plane knows of the control plane.

A door: the only room that reads the catalog, tenants, keys and rules. A poller asks for the revisions once a second
(a tiny query in a thread of its own) and rebuilds what changed; whatever fails, the last good snapshot stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from typing import TYPE_CHECKING

import msgspec
import structlog
from django.conf import settings

from apps.audit import selectors as audit
from apps.catalog import canary
from apps.catalog import selectors as catalog
from apps.domain import errors, keys
from apps.domain.snapshot import UNRESTRAINED, Principal, Snapshot
from apps.gateway.keyring import Keyring
from apps.keys import peppers, uses
from apps.keys import selectors as key_selectors
from apps.quotas import selectors as quotas
from apps.runtime.database import DatabaseThread
from apps.runtime.state import state
from apps.tenants import selectors as tenants

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

# A change here may alter what any cached principal may do, so all of them are looked up again.
_CLEARS_KEYS = ("accounts", "quotas")
_USES_FLUSH_SECONDS = 30.0
EMPTY = Snapshot(revision=-1, compiled_at=0.0, models={}, tenants={}, projects={})


class Configuration:
    """`snapshot` is replaced whole, never edited. One per process; lives on the process's event loop."""

    def __init__(self, *, on_change: Callable[[], None]) -> None:
        self.snapshot = EMPTY
        self._on_change = on_change
        self._salt = secrets.token_bytes(32)
        self.keyring = Keyring(capacity=settings.WEIR_KEY_CACHE)
        self._revisions: dict[str, int] = {}  # of the snapshot
        self._keys_revisions: dict[str, int] = {}  # of what is warm; a snapshot that fails does not hold it back
        self.uses = uses.Uses()
        self._uses_flushed = time.monotonic()
        self._refresher = DatabaseThread("configuration")
        self._look_ups = DatabaseThread("look-ups")
        self._noting = DatabaseThread("last-uses")  # may wait for a writer, and a revocation must not wait with it
        self._flushing: asyncio.Task[None] | None = None
        self._poller: asyncio.Task[None] | None = None

    async def verify(self) -> None:
        """Refuses to go on under a keyring that cannot open what is sealed."""
        await self._refresher.ask(canary.verify)
        await self._refresher.ask(peppers.warm)

    async def start(self) -> None:
        """Loads the first snapshot. Raises what the database raises: without a configuration nothing can be served."""
        await self.refresh()
        self._poller = asyncio.create_task(self._poll(), name="weir-configuration")

    async def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller
        try:
            await self._noting.ask(self.uses.flush)
        finally:
            for thread in (self._refresher, self._look_ups, self._noting):
                await thread.close()

    # --- keys ------------------------------------------------------------------------------------------------

    def known(self, key: str) -> Principal | None:
        """A warm key's principal, without a database. None: not warm, or not a key."""
        return self.keyring.get(self._digest(key))

    async def look_up(self, key: str) -> Principal | None:
        """A cold key's principal by one query; concurrent askers share it. Junk is refused by its checksum first."""
        public_id = keys.public_id(key)
        if public_id is None:
            return None
        digest = self._digest(key)
        return await self.keyring.load(digest, public_id, lambda: self._look_ups.ask(_principal, key, self.uses))

    def _digest(self, key: str) -> bytes:
        """What a warm key is remembered by, in this process only. Not the stored digest: OpenSSL's HMAC hands the
        interpreter to other threads, which costs a call some 90 µs when the journal is busy; this costs 1 µs."""
        return hashlib.blake2b(key.encode(), key=self._salt, digest_size=32).digest()

    # --- snapshot --------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(settings.WEIR_REFRESH_SECONDS)
            try:
                await self.refresh()
                self._flush_uses_if_due()
            except Exception:
                log.exception("configuration.refresh_failed", revision=self.snapshot.revision)

    async def refresh(self) -> None:
        """Take up what has changed since the last time."""
        current = await self._refresher.ask(audit.revisions)
        await self._forget_keys(current)
        changed = _changed(self._revisions, current)
        if self.snapshot.revision >= 0 and not changed:
            state.snapshot_at = time.time()
            return
        if self.snapshot.revision < 0 or changed - {"keys"}:
            self.snapshot = await self._refresher.ask(_compile, sum(current.values()))
            self._on_change()
        self._revisions = current
        state.snapshot_revision = self.snapshot.revision
        state.snapshot_at = time.time()

    async def _forget_keys(self, current: dict[str, int]) -> None:
        """Once for each change: what is looked up from now on has it."""
        changed = _changed(self._keys_revisions, current)
        if changed.intersection(_CLEARS_KEYS):
            self.keyring.clear()
        elif "keys" in changed:
            stale = await self._refresher.ask(key_selectors.changed_since, self._keys_revisions.get("keys", 0))
            self.keyring.forget(stale)
        self._keys_revisions = current

    def _flush_uses_if_due(self) -> None:
        if time.monotonic() - self._uses_flushed >= _USES_FLUSH_SECONDS and self._flushing is None:
            self._uses_flushed = time.monotonic()
            self._flushing = asyncio.create_task(self._flush_uses())

    async def _flush_uses(self) -> None:
        try:
            await self._noting.ask(self.uses.flush)
        except Exception:
            log.exception("configuration.uses_not_written")
        finally:
            self._flushing = None


def _changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {area for area, number in after.items() if before.get(area) != number}


def _principal(key: str, seen: uses.Uses) -> Principal | None:
    """One key with what restrains it and its user."""
    try:
        principal = key_selectors.principal(key, outdated=seen.outdated)
    except Exception as error:
        log.exception("configuration.look_up_failed")
        raise errors.Unavailable("keys cannot be checked right now", retry_after=1) from error
    if principal is None:
        return None
    key_rules, user_rules = quotas.rules_of(principal.key_id, principal.user_id, principal.tenant_id)
    return msgspec.structs.replace(principal, key_rules=key_rules, user_rules=user_rules)


def _compile(revision: int) -> Snapshot:
    now = int(time.time())
    book = quotas.rule_book()
    active_tenants, active_projects = tenants.active_tenants(), tenants.active_projects()
    return Snapshot(
        revision=revision,
        compiled_at=time.time(),
        models=catalog.snapshot_models(now),
        tenants={tenant: book.tenants.get(tenant, UNRESTRAINED) for tenant in active_tenants},
        projects={project: book.projects.get(project, UNRESTRAINED) for project in active_projects},
        model_rules=book.models,
        private_networks=(*catalog.private_networks(), *settings.WEIR_PRIVATE_NETWORKS),
        cors_origins=frozenset(settings.WEIR_CORS_ORIGINS),
    )
