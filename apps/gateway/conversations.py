"""Where conversations were answered, so that they stay there: prompt caches and signed thinking hold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 50_000  # some 150 bytes each
SECONDS = 3600.0  # no prompt cache lasts longer without a call


class Conversations:
    """Of one process, on its event loop; the oldest go first."""

    def __init__(self, *, most: int = MOST, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._places: dict[tuple[int, int], tuple[int, float]] = {}

    def forget(self) -> None:
        self._places.clear()

    def place(self, model_id: int, conversation: int) -> int | None:
        """The deployment; None: nobody knows, or it was too long ago."""
        found = self._places.get((model_id, conversation))
        return found[0] if found is not None and found[1] > self._now() else None

    def remember(self, model_id: int, conversation: int, *, deployment_id: int) -> None:
        key = (model_id, conversation)
        self._places.pop(key, None)
        self._places[key] = (deployment_id, self._now() + SECONDS)
        while len(self._places) > self._most:
            del self._places[next(iter(self._places))]


conversations = Conversations()
"""This process's."""
