"""Questions that mean the same: what was asked before, by its vector, and under which key its answer is kept.

Only ever among those of one scope: one tenant, and a digest of all else that must be equal. Who reads the index reads
no question and no answer, and no digest that could be guessed: scopes and keys are under a key of this installation's.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import os
import uuid
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from apps.outbound.vectors import MOST_DIMENSIONS, Generations, Near, Point, vectors
from apps.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from apps.domain.snapshot import Cachings, Snapshot

log = logging.getLogger(__name__)
Result = TypeVar("Result")

DEADLINE_SECONDS = 0.5  # which a call may lose to a slow index
_NONCE = 12
_NAMESPACE = uuid.UUID("6d7bb1f5-19f5-4c0f-a2f9-64d31b22ac0e")


class Vector(NamedTuple):
    """`space`: who made it, for only the vectors of one maker are comparable."""

    numbers: list[float]
    space: str


class Unavailable(Exception):
    """Nothing can be compared now; its text says why, in words for the ledger."""


class Place(NamedTuple):
    """Where a question is among others: what it is compared with."""

    vector: list[float]
    scope: str
    tenant_id: int


class Alike(NamedTuple):
    """A question that was asked before. `key`: of its answer."""

    key: bytes
    near: Near


class Semantic:
    """Of one event loop."""

    def __init__(self) -> None:
        secret = settings.SECRET_KEY.encode()
        self._naming = hmac.digest(secret, b"scopes of questions", hashlib.sha256)
        self._seal = AESGCM(hmac.digest(secret, b"keys of kept answers", hashlib.sha256))
        self._most: int = settings.WEIR_QDRANT_ENTRIES
        self._known: Cachings | None = None

    def configure(self, snapshot: Snapshot) -> None:
        """Opens the index when a policy needs it, and drops what was thrown away."""
        cachings = snapshot.cachings
        if cachings == self._known:
            return
        self._known = cachings
        policies = {f"model {number}": caching for number, caching in cachings.models.items()}
        policies |= {f"key {number}": caching for number, caching in cachings.keys.items()}
        if not any(caching.semantic for caching in policies.values()) and not vectors.is_open:
            return
        current = Generations({name: caching.generation for name, caching in policies.items()}, cachings.generations)
        vectors.open()
        _left_alone(vectors.submit(lambda: vectors.sweep(most=self._most, current=current)))

    async def close(self) -> None:
        self._known = None
        await asyncio.to_thread(vectors.close)

    async def place(self, rest: bytes, *, tenant_id: int, embed: Callable[[], Awaitable[Vector]]) -> Place:
        """`rest`: the digest of what must be equal. Nobody is asked for a vector that could not be used. Raises
        Unavailable, and what `embed` does."""
        if not vectors.is_up:
            vectors.open()
            raise Unavailable("the index is not available")
        vector = await embed()
        numbers = vector.numbers
        if not 0 < len(numbers) <= MOST_DIMENSIONS or not math.isfinite(length := math.hypot(*numbers)) or not length:
            raise Unavailable("its vector is none")
        scope = hmac.digest(self._naming, b"%b%b" % (rest, vector.space.encode()), hashlib.sha256).hex()
        return Place(numbers, scope, tenant_id)

    async def find(self, place: Place, *, threshold: float) -> list[Alike]:
        """The likest first. Raises Unavailable."""
        found = vectors.submit(
            lambda: vectors.nearest(place.vector, scope=place.scope, tenant=place.tenant_id, threshold=threshold)
        )
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                near = await asyncio.wrap_future(found)
        except TimeoutError:
            vectors.rest("the index takes too long")
            raise Unavailable("the index takes too long") from None
        except Exception as error:  # whatever the client raises: it has been told to the log
            raise Unavailable("the index does not answer") from error
        opened = ((self._opened(one.ref, scope=place.scope), one) for one in near)
        return [Alike(key, one) for key, one in opened if key]

    def keep(
        self,
        place: Place,
        key: bytes,
        *,
        model_id: int,
        policy: str,
        generation: int,
        of_tenant: int,
        ttl: float,
        size: int,
    ) -> None:
        """That an answer of so many bytes is kept under `key`. Waits for nobody."""
        if not vectors.is_up:
            return
        now = clock.now()
        nonce = os.urandom(_NONCE)
        point = Point(
            id=str(uuid.uuid5(_NAMESPACE, place.scope + hmac.digest(self._naming, key, hashlib.sha256).hex())),
            vector=place.vector,
            scope=place.scope,
            ref=(nonce + self._seal.encrypt(nonce, key, place.scope.encode())).hex(),
            tenant=place.tenant_id,
            model=model_id,
            policy=policy,
            generation=generation,
            of_tenant=of_tenant,
            kept_at=now,
            expires=now + ttl,
            size=size,
        )
        _left_alone(vectors.submit(lambda: vectors.put(point, most=self._most)))

    def used(self, place: Place, alike: Alike, *, saved: int) -> None:
        if vectors.is_up:
            _left_alone(vectors.submit(lambda: vectors.used(alike.near, size=len(place.vector), saved=saved)))

    def drop(self, place: Place, alike: Alike) -> None:
        """Its answer is not there any more."""
        if vectors.is_up:
            _left_alone(vectors.submit(lambda: vectors.drop([alike.near.id], size=len(place.vector))))

    def _opened(self, ref: str, *, scope: str) -> bytes:
        try:
            sealed = bytes.fromhex(ref)
            return self._seal.decrypt(sealed[:_NONCE], sealed[_NONCE:], scope.encode())
        except (InvalidTag, ValueError):
            return b""


def _left_alone(future: Future[Any]) -> None:
    """What goes wrong with it has been logged; nobody waits for it."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
