"""When a credential was last sent to its provider: gathered in memory by the data plane, written in batches."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Q

from apps.catalog.models import Credential

GRAIN_SECONDS = 60.0


class Uses:
    """One per gateway process, on its event loop but for `flush`. Bounded by the credentials there are."""

    def __init__(self) -> None:
        self._noted: dict[int, float] = {}
        self._pending: dict[int, float] = {}

    def note(self, credential_id: int, *, at: float) -> None:
        """`at` in unix seconds. Of a minute, the first counts."""
        if at - self._noted.get(credential_id, 0.0) >= GRAIN_SECONDS:
            self._noted[credential_id] = self._pending[credential_id] = at

    def flush(self) -> None:
        """Writes what is pending; raises what the database raises, and then keeps it."""
        pending, self._pending = self._pending, {}
        try:
            touch({pk: datetime.fromtimestamp(at, UTC) for pk, at in pending.items()})
        except Exception:
            self._pending = {**pending, **self._pending}
            raise


@transaction.atomic
def touch(uses: Mapping[int, datetime]) -> None:
    """Never backwards, and not within a minute of what is there. Not recorded, and no news to other processes."""
    for pk, at in sorted(uses.items()):  # in one order, so that two processes wait for each other
        before = Q(last_used_at=None) | Q(last_used_at__lte=at - timedelta(seconds=GRAIN_SECONDS))
        Credential.objects.filter(before, pk=pk).update(last_used_at=at)
