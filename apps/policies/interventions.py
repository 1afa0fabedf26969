"""What policies did to calls, one by one: gathered in memory by the data plane and written in batches.

A door: the guard notes, the configuration's poller writes, about once a second.
"""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import QuerySet

from apps.domain import ids
from apps.policies.models import Intervention

if TYPE_CHECKING:
    from apps.domain.snapshot import Principal

log = structlog.get_logger(__name__)

MOST_PENDING = 20_000  # while the database is away
MOST_KEPT = 1_000_000
_BATCH = 500
_AT_ONCE = 1_000
_MOST_TOLD = 50
# Ids must differ, not be secret.
_dice = random.Random(secrets.randbits(256))  # noqa: S311


class _Noted(NamedTuple):
    id: UUID
    at: float
    request_id: UUID
    attempt: int
    whose: Principal
    policy_id: int
    policy_name: str
    action: str
    is_answer: bool
    kinds: dict[str, int]


class Interventions:
    """One per gateway process. `note` is called on the event loop, `flush` by one thread at a time."""

    def __init__(self) -> None:
        self._pending: deque[_Noted] = deque()
        self._lost = 0

    def __len__(self) -> int:
        """How many are not written yet."""
        return len(self._pending)

    def note(
        self,
        request_id: UUID,
        whose: Principal,
        *,
        at: float,
        policy: tuple[int, str],
        action: str,
        kinds: Mapping[str, int],
        attempt: int = 0,
        is_answer: bool = False,
    ) -> None:
        """`at` in unix seconds; `policy` is its id and its name. Nothing that a caller wrote comes here."""
        if len(self._pending) >= MOST_PENDING:
            self._lost += 1
            return
        identifier = ids.request_id(now_ms=int(at * 1000), random_bits=_dice.getrandbits(62))
        self._pending.append(
            _Noted(identifier, at, request_id, attempt, whose, *policy, action, is_answer, dict(kinds))
        )

    def flush(self) -> None:
        """Writes what is pending; raises what the database raises, and then keeps what it did not take."""
        while self._pending:
            batch = [self._pending.popleft() for _ in range(min(_BATCH, len(self._pending)))]
            try:
                Intervention.objects.bulk_create([_row(noted) for noted in batch], ignore_conflicts=True)
            except BaseException:
                self._pending.extendleft(reversed(batch))
                raise
        if self._lost:
            lost, self._lost = self._lost, 0
            log.warning(
                "policies.interventions_lost", count=lost, reason=f"more than {MOST_PENDING} were to be written"
            )


def _row(noted: _Noted) -> Intervention:
    return Intervention(
        id=noted.id,
        at=datetime.fromtimestamp(noted.at, UTC),
        request_id=noted.request_id,
        attempt=noted.attempt,
        tenant_id=noted.whose.tenant_id,
        project_id=noted.whose.project_id,
        key_id=noted.whose.key_id,
        user_id=noted.whose.user_id,
        policy_id=noted.policy_id,
        policy_name=noted.policy_name,
        action=noted.action,
        is_answer=noted.is_answer,
        kinds=noted.kinds,
    )


def of_request(request_id: UUID, *, tenant_id: int) -> list[Intervention]:
    """What policies did to one call of the tenant, in order. One query."""
    return list(Intervention.objects.filter(request_id=request_id, tenant=tenant_id).order_by("id")[:_MOST_TOLD])


def forget(now: datetime) -> int:
    """Those past WEIR_INTERVENTION_DAYS, and the oldest beyond MOST_KEPT."""
    end = now - timedelta(days=settings.WEIR_INTERVENTION_DAYS)
    count = _delete(Intervention.objects.filter(id__lt=ids.floor(int(end.timestamp() * 1000))))
    for last in Intervention.objects.order_by("-id").values_list("pk", flat=True)[MOST_KEPT : MOST_KEPT + 1]:
        count += _delete(Intervention.objects.filter(id__lte=last))
    return count


def _delete(which: QuerySet[Intervention]) -> int:
    """A part at a time, so that no statement takes long."""
    count = 0
    while rows := list(which.order_by("id").values_list("pk", flat=True)[:_AT_ONCE]):
        count += Intervention.objects.filter(pk__in=rows).delete()[0]
    return count
