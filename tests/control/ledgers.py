"""Books with a bit of everything in them, true to the unit; and the means to make them untrue."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from msgspec.structs import replace

from apps.catalog.models import Price
from apps.domain import pricing
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.quotas import services as quotas
from apps.quotas.models import BudgetWindow, Lease, Replica
from apps.usage import append_only, ledger, rollups
from apps.usage.models import Entry
from apps.usage.records import Outcome
from tests import factories
from tests.money.calls import hit, intent, outcome

NOW = datetime.now(UTC)
# In the forenoon: hours later it is the same day still.
RECENTLY = (NOW - timedelta(days=3)).replace(hour=9, minute=30)
RATES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
USAGE = TokenUsage(in_fresh=1_234, in_cache_read=77, in_cache_write_5m=5, in_cache_write_1h=3, out_total=321)
AMOUNT = 10**12


class Books:
    """A tenant with a budget, a lease of it, and a priced deployment."""

    def __init__(self, *, at: datetime = RECENTLY) -> None:
        self.at = at
        self.tenant = factories.tenant()
        self.project = factories.project(self.tenant)
        self.price: Price = factories.price(input=3_000_000_007, output=15_000_000_001, cache_read=300_000_003)
        self.card = PriceCard(
            version=self.price.pk, effective_from=0, **{rate: getattr(self.price, rate) for rate in RATES}
        )
        self.budget = quotas.create_budget(actor=None, tenant=self.tenant, amount=AMOUNT)
        span = {"starts": at - timedelta(days=1), "ends": NOW + timedelta(days=1)}
        self.window = BudgetWindow.objects.create(
            budget=self.budget, limit=AMOUNT, ceiling=AMOUNT, held=AMOUNT // 2, **span
        )
        self.replica = Replica.objects.create(name=f"replica of {self.tenant}", heartbeat=datetime.now(UTC))
        self.lease = Lease.objects.create(window=self.window, replica=self.replica, epoch=1, granted=AMOUNT // 2)

    def call(self, *, at: datetime | None = None, attempt: int = 1, **fields: Any) -> Outcome:
        """A call that the provider counted, not recorded yet."""
        cost = pricing.cost(USAGE, self.card)
        promised = intent(
            at=(at or self.at).timestamp(),
            tenant_id=self.tenant.pk,
            project_id=self.project.pk,
            deployment_id=self.price.deployment_id,
            card=self.card,
            reserved=cost + 1_000,
            windows=(self.window.pk,),
            leases=(self.lease.pk,),
        )
        return outcome(replace(promised, attempt=attempt), **{"cost": cost, "usage": USAGE} | fields)

    def doubt(self, **fields: Any) -> Outcome:
        """A call that nobody knows the cost of."""
        unknown = {"state": "unconfirmed", "status": "interrupted", "usage": TokenUsage(), "usage_source": "none"}
        return self.call(**unknown | {"cost": 700, "low": 0, "high": 5_000} | fields)

    def hit(self, **fields: Any) -> Outcome:
        """A call whose answer had been given before."""
        asked = replace(self.call().intent, reserved=0, windows=(), leases=())
        return hit(asked, **{"saved": pricing.cost(USAGE, self.card), "saved_tokens": USAGE.total} | fields)

    def again(self, first: Outcome, **fields: Any) -> Outcome:
        """Another attempt of the same request."""
        number = replace(first.intent, attempt=first.intent.attempt + 1)
        return replace(first, intent=number, **fields)

    def resolved(self, doubt: Outcome) -> Outcome:
        """The truth about it."""
        cost = pricing.cost(USAGE, self.card)
        known: dict[str, Any] = {"usage": USAGE, "usage_source": "provider", "low": None, "high": None}
        return replace(doubt, state="settled", status="ok", cost=cost, **known)

    def fill(self) -> None:
        """Calls of several hours, with a second attempt, a void one, a doubt and one that was resolved."""
        calls = [self.call(at=self.at + timedelta(minutes=20 * count)) for count in range(12)]
        failed = self.call(state="void", cost=0, usage=TokenUsage(), usage_source="none", status="upstream_error")
        self.doubts = [self.doubt(), self.doubt()]
        ledger.post([*calls, failed, self.again(failed, state="settled"), *self.doubts])
        ledger.post([self.resolved(self.doubts[0])])
        settle()

    def settled(self) -> int:
        self.window.refresh_from_db()
        return self.window.settled


def settle() -> None:
    """Lets an hour pass over the rows that there are, and rolls them up."""
    plant("UPDATE usage_entry SET settled_at = %s", moment(datetime.now(UTC) - timedelta(hours=1)))
    rollups.roll_up()


def moment(of: datetime) -> Any:
    """As a parameter of a query."""
    return connection.ops.adapt_datetimefield_value(of)


def entry(of: Outcome) -> Entry:
    return Entry.objects.get(pk=ledger.entry_id(of))


@contextlib.contextmanager
def unguarded() -> Iterator[Any]:
    """A cursor that may do to the books what nobody may."""
    append_only.unprotect(connection)
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        append_only.protect(connection)


def plant(statement: str, *parameters: Any) -> None:
    """Something untrue. Ids are given as they are stored."""
    with unguarded() as cursor:
        cursor.execute(statement, list(parameters))
        assert cursor.rowcount, "nothing was planted"
