"""The whole of it, in order, telling how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from django.db import connection
from django.db.models import F

from apps.audit.models import Revision
from apps.catalog import services as catalog
from apps.domain import ids
from apps.domain.snapshot import PriceCard
from apps.tenants.models import Tenant
from apps.usage import days as calendar
from apps.usage import partitions, rollups
from apps.usage.scale import calls, people, tables

Tell = Callable[[str], object]
OFFERS = {  # nano-USD per million tokens, in and out
    "large": (5_000_000_000, 25_000_000_000),
    "medium": (3_000_000_000, 15_000_000_000),
    "small": (1_000_000_000, 5_000_000_000),
    "tiny": (250_000_000, 2_000_000_000),
}
VENDORS = {
    "anthropic": ("anthropic_messages", "messages", "https://api.anthropic.com"),
    "openai": ("openai_chat", "chat_completions", "https://api.openai.com/v1"),
    "other": ("openai_chat", "chat_completions", "https://llm.example.com/v1"),
}


class NotEmpty(Exception):
    """There are tenants: this is somebody's installation."""


def build(*, tenants: int, keys: int, entries: int, days: int, seed: int, tell: Tell) -> None:
    """Raises NotEmpty. Takes about as long as the database needs to write it: minutes for millions."""
    if Tenant.objects.exists():
        raise NotEmpty
    now, random = datetime.now(UTC), Random(seed)  # noqa: S311  # it shall repeat
    clock = time.monotonic()

    def told(what: str) -> None:
        tell(f"{time.monotonic() - clock:7.1f} s  {what}")

    partitions.ensure(now)
    begins = [now - timedelta(days=day) for day in range(days + 1)]
    partitions.cover([ids.floor(int(day.timestamp()) * 1000) for day in begins])
    served = _catalog(now - timedelta(days=days + 2))
    world = people.populate(tenants=tenants, keys=keys, now=now, random=random)
    told(f"{tenants:,} tenants with {keys:,} keys")
    calls.remember(world, served, entries=entries, days=days, now=now, random=random)
    told(f"{entries:,} calls of {days} days")
    tables.analyze()
    calendar.roll_up(now)  # knows all time zones before there are hours
    rollups.roll_up()
    calendar.roll_up(now)
    told("summed up")
    tables.analyze()
    Revision.objects.update(number=F("number") + 1)  # gateways that are running read everything anew
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")
        told("vacuumed")


def _catalog(priced_from: datetime) -> list[calls.Served]:
    """Three vendors with four models each."""
    found = []
    for vendor, (protocol, endpoint, base_url) in VENDORS.items():
        provider = catalog.create_provider(
            actor=None,
            name=vendor.title(),
            vendor=vendor if vendor in ("anthropic", "openai") else "openai_compatible",
            protocol=protocol,
            base_url=base_url,
        )
        for size, (paid_in, paid_out) in OFFERS.items():
            name = f"{vendor}-{size}"
            model = catalog.create_model(actor=None, name=name)
            at = catalog.create_deployment(model, actor=None, provider=provider, upstream_model=name)
            price = catalog.set_price(at, actor=None, effective_from=priced_from, input=paid_in, output=paid_out)
            card = PriceCard(
                version=price.pk,
                effective_from=int(priced_from.timestamp()),
                input=price.input,
                output=price.output,
                cache_read=price.cache_read,
                cache_write_5m=price.cache_write_5m,
                cache_write_1h=price.cache_write_1h,
            )
            found.append(
                calls.Served(
                    model=model.pk,
                    provider=provider.pk,
                    deployment=at.pk,
                    name=name,
                    protocol=protocol,
                    endpoint=endpoint,
                    card=card,
                )
            )
    return found
