"""What the metrics tell of the books: counted once a minute in the background, so that a scrape reads a few rows."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import transaction
from django.db.models import Sum

from apps.domain import money
from apps.quotas.models import BudgetWindow, Gap
from apps.tenants.models import Tenant
from apps.usage import selectors
from apps.usage.models import Figure, Verification

UNCONFIRMED, UNCONFIRMED_NANO, OVERRUN_NANO, GAP_NANO = "unconfirmed", "unconfirmed_nano", "overrun_nano", "gap_nano"
COUNTED_AT = "counted_at"  # in unix seconds
_NANO = (UNCONFIRMED_NANO, OVERRUN_NANO, GAP_NANO)


class Told(NamedTuple):
    """A figure; money in US dollars. `tenant`: a slug, or empty."""

    name: str
    tenant: str
    value: float


class Checked(NamedTuple):
    """When the books were last checked, and what was not true."""

    is_quick: bool
    at: datetime
    violations: int


def count() -> None:
    """Replaces the figures."""
    found = [
        Figure(name=OVERRUN_NANO, value=BudgetWindow.objects.aggregate(sum=Sum("overrun"))["sum"] or 0),
        Figure(name=GAP_NANO, value=gap()),
        Figure(name=COUNTED_AT, value=int(time.time())),
    ]
    for doubt in selectors.doubts():
        found.append(Figure(name=UNCONFIRMED, tenant_id=doubt.tenant_id, value=doubt.count))
        found.append(Figure(name=UNCONFIRMED_NANO, tenant_id=doubt.tenant_id, value=doubt.high))
    with transaction.atomic():
        Figure.objects.all().delete()
        Figure.objects.bulk_create(found)


def gap() -> int:
    """What may have been spent beside all that is recorded, in nano-USD."""
    return Gap.objects.filter(closed_at=None).aggregate(sum=Sum("amount"))["sum"] or 0


def read() -> list[Told]:
    """Two queries."""
    figures = list(Figure.objects.exclude(name=COUNTED_AT).values_list("name", "tenant_id", "value"))
    slugs = dict(Tenant.objects.filter(pk__in={tenant for _, tenant, _ in figures if tenant}).values_list("pk", "slug"))
    return [
        Told(name, slugs.get(tenant, str(tenant or "")), value / money.NANO if name in _NANO else float(value))
        for name, tenant, value in figures
    ]


def counted_at() -> datetime | None:
    """When a worker last counted, which it does every minute. One query."""
    found = Figure.objects.filter(name=COUNTED_AT).values_list("value", flat=True).first()
    return None if found is None else datetime.fromtimestamp(found, UTC)


def last_checks() -> list[Checked]:
    """The last quick and the last full verification that came to an end. Two queries, by the primary key."""
    found = []
    for is_quick in (True, False):
        done = Verification.objects.filter(is_quick=is_quick, failure="").order_by("-pk")
        if row := done.values_list("is_quick", "began_at", "violations").first():
            found.append(Checked(*row))
    return found
