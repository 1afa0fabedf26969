"""What calls under one snapshot have in common, found out once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from apps.domain.snapshot import Snapshot

_MOST = 4096
Key = TypeVar("Key")
Found = TypeVar("Found")


class Known(Generic[Key, Found]):
    """Of one event loop. Nothing of an older snapshot is held on to."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._found: dict[Key, Found] = {}

    def under(self, snapshot: Snapshot) -> dict[Key, Found]:
        """To look up in, and to add to."""
        if self._snapshot is not snapshot or len(self._found) >= _MOST:
            self._snapshot, self._found = snapshot, {}
        return self._found
