"""Warm keys: a bounded memory of digests, loaded once however many ask, forgotten when a key changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from apps.domain.snapshot import Principal


class Keyring:
    """Digest to principal. Unknown digests are remembered too, so that a leaked but dead key costs no query a call.

    Never holds a key in clear. Oldest entries go first when `capacity` is reached.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._principals: dict[bytes, Principal] = {}
        self._digests: dict[str, set[bytes]] = {}  # by public id, to forget
        self._unknown: dict[bytes, str] = {}
        self._loading: dict[bytes, asyncio.Future[tuple[int, Principal | None]]] = {}
        self._generation = 0
        self.loads = 0  # fetches so far

    def get(self, digest: bytes) -> Principal | None:
        return self._principals.get(digest)

    async def load(
        self, digest: bytes, public_id: str, fetch: Callable[[], Awaitable[Principal | None]]
    ) -> Principal | None:
        """Fetches a digest that is not warm; askers at the same time share one fetch."""
        while digest not in self._unknown:
            loading = self._loading.get(digest)
            if loading is None:
                loading = asyncio.ensure_future(self._fetch(digest, public_id, fetch))
                self._loading[digest] = loading
                loading.add_done_callback(lambda _: self._loading.pop(digest, None))
            generation, principal = await asyncio.shield(loading)
            if generation == self._generation:  # else a revocation came between the answer and whoever awaits it
                return principal
        return None

    async def _fetch(
        self, digest: bytes, public_id: str, fetch: Callable[[], Awaitable[Principal | None]]
    ) -> tuple[int, Principal | None]:
        while True:
            generation = self._generation
            self.loads += 1
            principal = await fetch()
            if generation == self._generation:  # else a revocation may have passed us by: read again
                self._remember(digest, public_id, principal)
                return generation, principal

    def _remember(self, digest: bytes, public_id: str, principal: Principal | None) -> None:
        self._digests.setdefault(public_id, set()).add(digest)
        if principal is None:
            self._unknown[digest] = public_id
            self._shrink(self._unknown)
        else:
            self._principals[digest] = principal
            self._shrink(self._principals)

    def _shrink(self, memory: dict[bytes, Principal] | dict[bytes, str]) -> None:
        if len(memory) > self._capacity:
            oldest = next(iter(memory))
            kept = memory.pop(oldest)
            public_id = kept if isinstance(kept, str) else kept.public_id
            digests = self._digests.get(public_id)
            if digests is not None:
                digests.discard(oldest)
                if not digests:
                    del self._digests[public_id]

    def forget(self, public_ids: Iterable[str]) -> None:
        """Drops these keys, known or unknown; the next call looks them up again."""
        self._generation += 1
        for public_id in public_ids:
            for digest in self._digests.pop(public_id, ()):
                self._principals.pop(digest, None)
                self._unknown.pop(digest, None)

    def clear(self) -> None:
        self._generation += 1
        self._principals.clear()
        self._digests.clear()
        self._unknown.clear()
