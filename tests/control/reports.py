"""Books whose calls went to one provider, and that provider's reports of them."""

from __future__ import annotations

import datetime
import json

from msgspec.structs import replace

from apps.catalog.models import Price
from apps.domain import money
from apps.reconciliation import services, working
from apps.usage import ledger
from tests import factories
from tests.control.ledgers import RECENTLY, USAGE, Books, settle

DAY = RECENTLY.date()
MODEL, DATED = "claude-9", "claude-9-20260101"


class Office:
    """Books whose calls went to one provider, by two credentials."""

    def __init__(self) -> None:
        self.books = Books()
        self.actor = factories.user(is_staff=True, is_superuser=True)
        self.provider = Price.objects.get(pk=self.books.price.pk).deployment.provider
        self.credentials = [factories.credential(self.provider, alias=alias) for alias in ("main", "spare")]
        self.cost = self.books.call().cost

    def calls(self, count=4, *, credential="main", model=MODEL, **fields):
        made = []
        for number in range(count):
            call = self.books.call(at=RECENTLY + datetime.timedelta(minutes=45 * number), **fields)
            named = {"credential": credential, "upstream_model": model, "provider_id": self.provider.pk}
            made.append(replace(call, intent=replace(call.intent, **named)))
        ledger.post(made)
        settle()

    def upload(self, *results, shape="anthropic_cost", day=DAY, **options):
        report = services.upload(
            actor=self.actor, provider=self.provider, shape=shape, body=body(*results, day=day), **options
        )
        working.work()
        report.refresh_from_db()
        return report

    def post(self, report, *statuses, **options):
        chosen = statuses or services.USUAL
        made = services.post(report, actor=self.actor, version=report.version, statuses=chosen, **options)
        working.work()
        made.refresh_from_db()
        return made


def body(*results, day=DAY):
    span = {"starting_at": f"{day}T00:00:00Z", "ending_at": f"{day + datetime.timedelta(days=1)}T00:00:00Z"}
    return json.dumps({"data": [{**span, "results": list(results)}], "has_more": False}).encode()


def billed(nano, model=DATED, workspace=None):
    cents = f"{money.dollars(nano) * 100:f}"
    return {"amount": cents, "currency": "USD", "model": model, "workspace_id": workspace, "cost_type": "tokens"}


def used(count, model=DATED, key="apikey_1"):
    made = {"ephemeral_5m_input_tokens": count * USAGE.in_cache_write_5m}
    made |= {"ephemeral_1h_input_tokens": count * USAGE.in_cache_write_1h}
    tokens = {"uncached_input_tokens": count * USAGE.in_fresh, "cache_read_input_tokens": count * USAGE.in_cache_read}
    return tokens | {
        "cache_creation": made,
        "output_tokens": count * USAGE.out_total,
        "model": model,
        "api_key_id": key,
    }
