"""How often policies find something, gathered in memory by the data plane and written in batches, by the hour.

A door: the guard notes, the configuration's poller writes.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.policies.interventions import Interventions
from apps.policies.models import DataPolicy, Tally
from apps.tenants.models import Tenant

_HOUR, _DAY = 3_600, 86_400
KEPT = timedelta(days=90)
_MOST_PENDING = 50_000  # while the database is away


class Found(NamedTuple):
    """`hour` in unix seconds; `action` is what was done: flag, block, route, mask or stop."""

    policy_id: int
    tenant_id: int
    hour: int
    kind: str
    action: str
    is_answer: bool


class Findings:
    """One per gateway process. `note` is called where something was found, and does no more than it must. What was done
    about it is told call by call in `interventions`, which are written by themselves, and sooner."""

    def __init__(self) -> None:
        self.interventions = Interventions()
        self._pending: Counter[Found] = Counter()
        self._swept = -math.inf

    def note(
        self,
        policy_id: int,
        kind: str,
        *,
        action: str,
        tenant_id: int,
        at: float,
        is_answer: bool = False,
        count: int = 1,
    ) -> None:
        """`at` in unix seconds. On the event loop."""
        found = Found(policy_id, tenant_id, int(at) // _HOUR * _HOUR, kind, action, is_answer)
        if found in self._pending or len(self._pending) < _MOST_PENDING:
            self._pending[found] += count

    def flush(self) -> None:
        """Writes what is pending; raises what the database raises, and then keeps it. In another thread."""
        pending, self._pending = self._pending, Counter()
        if not pending:
            return
        try:
            _write(pending)
        except Exception:
            self._pending.update(pending)
            raise
        if time.monotonic() - self._swept >= _DAY:
            self._swept = time.monotonic()
            Tally.objects.filter(hour__lt=timezone.now() - KEPT).delete()


@transaction.atomic
def _write(pending: Counter[Found]) -> None:
    """In one order, so that no two processes wait for each other. What is no more is not counted."""
    policies = set(DataPolicy.objects.values_list("pk", flat=True))
    tenants = set(Tenant.objects.filter(pk__in={found.tenant_id for found in pending}).values_list("pk", flat=True))
    for found, count in sorted(pending.items()):
        if found.policy_id not in policies or found.tenant_id not in tenants:
            continue
        key = {**found._asdict(), "hour": datetime.fromtimestamp(found.hour, UTC)}
        rows = Tally.objects.filter(**key)
        if not rows.update(count=F("count") + count):
            Tally.objects.bulk_create([Tally(**key)], ignore_conflicts=True)
            rows.update(count=F("count") + count)
