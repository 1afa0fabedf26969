"""When a key was last used, gathered in memory by the data plane and written in batches, at the grain of a minute.

With them go the digests that are due to be made with another pepper.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from apps.catalog.keyrings.ring import KeyringUnavailable
from apps.keys import peppers, rotation, services
from apps.keys.peppers import Outdated

GRAIN_SECONDS = 60.0
_BATCH = 500


class Uses:
    """One per gateway process. `note` is called on every request and does no more than it must."""

    def __init__(self) -> None:
        self._noted: dict[int, float] = {}
        self._pending: dict[int, tuple[float, str, str]] = {}
        self._outdated: dict[Outdated, None] = {}  # as a set in order; bounded by the secrets there are
        self._missed: dict[str, None] = {}
        self._recalled: dict[str, None] = {}

    def note(self, key_id: int, *, at: float, address: str, agent: bytes) -> None:
        """`at` in unix seconds; `agent` is the raw User-Agent."""
        if at - self._noted.get(key_id, 0.0) < GRAIN_SECONDS:
            return
        self._noted[key_id] = at
        self._pending[key_id] = (at, address, agent.decode("latin-1")[:100])

    def outdated(self, found: Outdated) -> None:
        """From any thread."""
        self._outdated[found] = None

    def missed(self, public_id: str) -> None:
        """Its new digest could not be made. From any thread."""
        self._missed[public_id] = None

    def recalled(self) -> list[str]:
        """Keys that are to be looked up again, now that their new digests can be made. On the event loop."""
        return [self._recalled.popitem()[0] for _ in range(len(self._recalled))]

    def flush(self) -> None:
        """Writes what is pending; raises what the database raises, and then keeps it."""
        pending, self._pending = self._pending, {}
        try:
            services.touch(
                [
                    (key_id, datetime.fromtimestamp(at, UTC), address, agent)
                    for key_id, (at, address, agent) in pending.items()
                ]
            )
        except Exception:
            self._pending = {**pending, **self._pending}
            raise
        self._make_anew()
        self._recall()
        if len(self._noted) > 100_000:
            self._noted.clear()

    def _make_anew(self) -> None:
        """What fails stays: its key is warm, and would not be looked up again."""
        due = list(self._outdated)
        for start in range(0, len(due), _BATCH):
            batch = due[start : start + _BATCH]
            rotation.make_anew(batch)
            for each in batch:
                self._outdated.pop(each, None)

    def _recall(self) -> None:
        """A warm key would not be looked up again by itself."""
        if not self._missed:
            return
        with contextlib.suppress(KeyringUnavailable):
            peppers.warm()
            self._recalled |= {self._missed.popitem()[0]: None for _ in range(len(self._missed))}
