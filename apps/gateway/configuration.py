"""The current snapshot and the keys that are warm: what the data plane knows of the control plane.

A door: the only room that reads the catalog, tenants, keys, issuers and rules. A poller asks for the revisions once a
second (a tiny query in a thread of its own), forgets keys that changed at once and rebuilds the snapshot meanwhile;
whatever fails, the last good snapshot stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from asgiref.sync import sync_to_async
from django.conf import settings

from apps.audit import selectors as audit
from apps.catalog import canary, vault
from apps.catalog import selectors as catalog
from apps.catalog.uses import Uses
from apps.domain import errors, keys
from apps.domain.snapshot import UNRESTRAINED, Principal, Snapshot
from apps.gateway import bearers
from apps.gateway.keyring import Keyring
from apps.gateway.tally import tally
from apps.gateway.underway import Underway
from apps.keys import callers, issuers, peppers, uses
from apps.keys import selectors as key_selectors
from apps.outbound import signing
from apps.policies import selectors as policies
from apps.policies.findings import Findings
from apps.quotas import replicas
from apps.quotas import selectors as quotas
from apps.runtime import clock
from apps.runtime.database import LONG_PATIENCE_SECONDS, DatabaseThread
from apps.runtime.state import state
from apps.tenants import selectors as tenants
from apps.usage import refusals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from apps.domain.snapshot import Budget

log = structlog.get_logger(__name__)

# A change here may alter what any cached principal may do, so all of them are looked up again.
_CLEARS_KEYS = ("accounts", "quotas")
_NOT_IN_SNAPSHOT = {"keys", "usage", "sign_in", "reads"}
_USES_FLUSH_SECONDS = 30.0
EMPTY = Snapshot(revision=-1, compiled_at=0.0, models={}, tenants={}, projects={})


class Configuration:
    """`snapshot` is replaced whole, never edited. One per process; lives on the process's event loop."""

    def __init__(self, *, on_change: Callable[[], None]) -> None:
        self.snapshot = EMPTY
        self._on_change = on_change
        self._salted = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=32)
        self.keyring = Keyring(capacity=settings.WEIR_KEY_CACHE)
        self.tokens = Keyring(capacity=settings.WEIR_KEY_CACHE)  # apart: there is no end of new ones
        self.underway = Underway()
        self._revisions: dict[str, int] = {}  # of the snapshot
        self._keys_revisions: dict[str, int] = {}  # of what is warm; a snapshot that fails does not hold it back
        self.uses = uses.Uses()
        self.used = Uses()  # of credentials
        self.findings = Findings()
        self._uses_flushed = time.monotonic()
        self._changes = DatabaseThread("changes")  # a revocation waits for nobody: none of the others is as quick
        self._compiler = DatabaseThread("snapshot", patience_seconds=LONG_PATIENCE_SECONDS)
        self._look_ups = DatabaseThread("look-ups")
        self._noting = DatabaseThread("last-uses", patience_seconds=LONG_PATIENCE_SECONDS)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._poller: asyncio.Task[None] | None = None

    async def verify(self) -> None:
        """Refuses to go on under a keyring that cannot open what is sealed."""
        await self._compiler.ask(canary.verify)
        await self._compiler.ask(peppers.warm)

    async def start(self) -> None:
        """Loads the first snapshot. Raises what the database raises: without a configuration nothing can be served."""
        await self.refresh()
        self._poller = asyncio.create_task(self._poll(), name="weir-configuration")

    async def close(self) -> None:
        for task in (self._poller, *self._tasks.values()):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        # A database that says nothing holds up the end of a process once, not once for each of its threads.
        noted = asyncio.create_task(self._noting.ask(self._flush))
        counted = asyncio.create_task(self._count_refusals())
        threads = (self._noting, self._changes, self._compiler, self._look_ups)
        await asyncio.gather(*(thread.close() for thread in threads))
        faults = await asyncio.gather(noted, counted, return_exceptions=True)
        tally.forget()
        for fault in faults:
            if fault is not None:
                raise fault

    # --- keys ------------------------------------------------------------------------------------------------

    def known(self, key: str) -> Principal | None:
        """A warm key's principal, or a warm token's, without a database. None: not warm, or neither of them."""
        digest = self._digest(key)
        return self.keyring.get(digest) or self._known_token(digest)

    def _known_token(self, digest: bytes) -> Principal | None:
        principal = self.tokens.get(digest)
        return principal if principal is not None and clock.now() < principal.until else None

    async def look_up(self, key: str) -> Principal | None:
        """A cold key's principal by one query; concurrent askers share it. Junk is refused by its checksum first.
        Raises AuthenticationFailed for a token that is refused."""
        public_id, digest = keys.public_id(key), self._digest(key)
        if public_id is not None:
            return await self.keyring.load(digest, public_id, lambda: self._look_ups.ask(_principal, key, self.uses))
        grant = keys.public_id(key, prefix=keys.OF_ACCESS)
        if grant is not None:
            return await self.tokens.load(digest, grant, lambda: self._look_ups.ask(_granted, key))
        if not bearers.is_shaped(key):
            return None
        return await self.tokens.load(digest, "", lambda: self._bearer(key))

    async def _bearer(self, token: str) -> Principal:
        """What is refused is not remembered: it may be good later."""
        verified = await bearers.verified(token, self.snapshot)
        try:
            return await self._look_ups.ask(_caller, verified)
        except callers.Unwelcome as fault:
            raise bearers.refused(fault.reason, verified.issuer) from None

    def _digest(self, key: str) -> bytes:
        """What a warm key is remembered by, in this process only. Not the stored digest: OpenSSL's HMAC hands the
        interpreter to other threads, which costs a call some 90 µs when the journal is busy; this costs 1 µs."""
        digest = self._salted.copy()
        digest.update(key.encode())
        return digest.digest()

    async def managed_settings(self, principal: Principal) -> dict[str, Any] | None:
        """What is settled for a coding agent's person; None: nothing. Raises Unavailable."""
        whose = (principal.tenant_id, principal.project_id, principal.user_id)
        try:
            return await self._look_ups.ask(policies.managed_settings, *whose)
        except Exception as error:
            log.exception("configuration.look_up_failed")
            raise errors.Unavailable("settings cannot be looked up right now", retry_after=1) from error

    async def left(self, budgets: Sequence[Budget], now: float) -> Mapping[int, quotas.Left] | None:
        """What has been used of budgets; None: nobody can say now. For who only wants to look."""
        try:
            return await self._look_ups.ask(quotas.left, budgets, now)
        except Exception:
            log.exception("configuration.look_up_failed")
            return None

    def _flush(self) -> None:
        """What calls have left to be written: what policies did and found, and when keys and credentials were used. One
        that fails holds up none of the others."""
        with contextlib.ExitStack() as each:
            for part in (self.findings, self.used, self.uses, self.findings.interventions):
                each.callback(part.flush)

    async def _count_refusals(self) -> None:
        """The same batch again until it is known to be written; what has gathered meanwhile after it."""
        while (batch := tally.take()) is not None:
            await self._noting.ask(refusals.write, replicas.name(), batch)
            tally.done()

    # --- snapshot --------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(settings.WEIR_REFRESH_SECONDS)
            vault.sweep()
            self.underway.sweep(self.snapshot)
            try:
                current = await self._forget_keys()
            except Exception:
                log.exception("configuration.refresh_failed", revision=self.snapshot.revision)
                continue
            if recalled := self.uses.recalled():
                self.keyring.forget(recalled)
            self._begin("configuration.review_failed", self._review)
            self._begin("configuration.refresh_failed", self._take_up, current)
            if done := self.findings.interventions:
                self._begin("configuration.interventions_not_written", self._noting.ask, done.flush)
            if tally:
                self._begin("configuration.refusals_not_counted", self._count_refusals)
            if time.monotonic() - self._uses_flushed >= _USES_FLUSH_SECONDS:
                self._uses_flushed = time.monotonic()
                self._begin("configuration.uses_not_written", self._noting.ask, self._flush)

    async def refresh(self) -> None:
        """Take up what has changed since the last time."""
        current = await self._forget_keys()
        await self._review()
        await self._take_up(current)

    async def _forget_keys(self) -> dict[str, int]:
        """Once for each change: what is looked up from now on has it. Returns the revisions."""
        current = await self._changes.ask(_revisions)
        changed = _changed(self._keys_revisions, current)
        if changed.intersection(_CLEARS_KEYS):
            self.keyring.clear()
            self.tokens.clear()
            self.underway.doubt(None)
        elif "keys" in changed:
            stale = await self._changes.ask(_changed_keys, self._keys_revisions.get("keys", 0))
            self.keyring.forget(stale)
            self.tokens.forget(stale)
            self.underway.doubt(stale)
        self._keys_revisions = current
        return current

    async def _review(self) -> None:
        """Calls of keys that have changed end if their key has."""
        await self.underway.review(lambda public_ids: self._changes.ask(_ends, public_ids))
        self.underway.sweep(self.snapshot)

    async def _take_up(self, current: dict[str, int]) -> None:
        """A snapshot of these revisions or later ones. It may take long: a keyring is asked, a catalog is large."""
        if self.snapshot.revision < 0 or _changed(self._revisions, current) - _NOT_IN_SNAPSHOT:
            self.snapshot = await self._compiler.ask(_compile, sum(current.values()))
            self._on_change()
            self.underway.sweep(self.snapshot)
        self._revisions = current
        state.snapshot_revision = self.snapshot.revision
        state.snapshot_at = time.time()

    def _begin(self, failed: str, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Something that the poller does not wait for. Not twice at a time; `failed` is the event if it fails."""
        if failed not in self._tasks:
            self._tasks[failed] = asyncio.create_task(self._logged(failed, work, *arguments))

    async def _logged(self, failed: str, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        try:
            await work(*arguments)
        except Exception:
            log.exception(failed, revision=self.snapshot.revision)
        finally:
            del self._tasks[failed]


def _revisions() -> dict[str, int]:
    clock.compare()
    return audit.revisions()


def _changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {area for area, number in after.items() if before.get(area) != number}


def _principal(key: str, seen: uses.Uses) -> Principal | None:
    """One key with what restrains it and its user."""
    try:
        principal = key_selectors.principal(key, outdated=seen.outdated, missed=seen.missed)
        if principal is None:
            return None
        return None if principal is None else _restrained(principal)
    except Exception as error:
        log.exception("configuration.look_up_failed")
        raise errors.Unavailable("keys cannot be checked right now", retry_after=1) from error


def _caller(verified: bearers.Verified) -> Principal:
    """Whom a token names, with what restrains its user. Raises Unwelcome."""
    try:
        return _restrained(callers.of_claims(verified.issuer, verified.claims, until=verified.until))
    except callers.Unwelcome:
        raise
    except callers.Outdated:
        raise errors.Unavailable("the issuer of this token has just been changed", retry_after=1) from None
    except Exception as error:
        log.exception("configuration.look_up_failed")
        raise errors.Unavailable("tokens cannot be checked right now", retry_after=1) from error


def _granted(token: str) -> Principal | None:
    """Whose program presents it, with what restrains them."""
    try:
        principal = callers.of_access_token(token)
        return None if principal is None else _restrained(principal)
    except Exception as error:
        log.exception("configuration.look_up_failed")
        raise errors.Unavailable("tokens cannot be checked right now", retry_after=1) from error


def _restrained(principal: Principal) -> Principal:
    key_rules, user_rules = quotas.rules_of(principal.key_id, principal.user_id, principal.tenant_id)
    return msgspec.structs.replace(principal, key_rules=key_rules, user_rules=user_rules)


def _changed_keys(revision: int) -> list[str]:
    return [*key_selectors.changed_since(revision), *callers.changed_since(revision)]


def _ends(public_ids: Sequence[str]) -> dict[str, float]:
    """When each of these callers may call no more; see `key_selectors.ends`."""
    return key_selectors.ends(public_ids) | callers.ends(public_ids)


def outline() -> Snapshot:
    """All that calls depend on, as it is at this moment, for who only wants to look: no secret is opened."""
    return _compile(sum(audit.revisions().values()), opens=False)


def principal_of(key_id: int) -> Principal | None:
    """Who calls with a key, and what restrains them, for who only wants to look."""
    principal = key_selectors.principal_of(key_id)
    return None if principal is None else _restrained(principal)


def keys_beginning(public_id: str) -> list[int]:
    """Those whose public part begins so; of many, some."""
    return key_selectors.beginning(public_id)


async def left_elsewhere(budgets: Sequence[Budget], now: float) -> Mapping[int, quotas.Left]:
    """As `Configuration.left`, for a process that is no gateway."""
    return await sync_to_async(quotas.left)(budgets, now)


def _compile(revision: int, *, opens: bool = True) -> Snapshot:
    now = int(clock.now())
    book = quotas.rule_book()
    active_tenants, active_projects = tenants.active_tenants(), tenants.active_projects()
    models = catalog.snapshot_models(now, opens=opens)
    if opens and any(
        way.provider.protocol.startswith("bedrock") for model in models.values() for way in model.deployments
    ):
        signing.warm()
    return Snapshot(
        revision=revision,
        compiled_at=time.time(),
        models=models,
        tenants={tenant: book.tenants.get(tenant, UNRESTRAINED) for tenant in active_tenants},
        projects={project: book.projects.get(project, UNRESTRAINED) for project in active_projects},
        model_rules=book.models,
        endpoints=catalog.snapshot_endpoints(),
        endpoint_rules=book.endpoints,
        issuers=issuers.snapshot_issuers(),
        policies=policies.snapshot_policies(),
        cachings=policies.snapshot_cachings(),
        on_outage={tenant: policy for tenant, policy in active_tenants.items() if policy != "lease"},
        private_networks=(*catalog.private_networks(), *settings.WEIR_PRIVATE_NETWORKS),
        cors_origins=frozenset(settings.WEIR_CORS_ORIGINS),
    )
