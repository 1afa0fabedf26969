"""What a person says of usage. The ledger is only added to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from django.core.exceptions import ValidationError
from django.db import transaction

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import selectors as catalog
from apps.domain import money, pricing, settlement
from apps.domain.tokens import NOTHING, TokenUsage
from apps.quotas.models import MOST_NANO
from apps.usage import ledger, rows
from apps.usage.models import Entry, Kind, Source, State

COUNTERS = tuple(field.name for field in msgspec.structs.fields(TokenUsage))
# Costs that an unconfirmed entry itself names.
SAID = {"nothing": "", "estimate": "cost_nano", "all": "high_nano"}


def resolve(
    entry: Entry, *, actor: Any, note: str = "", cost: int | str | None = None, usage: TokenUsage | None = None
) -> Entry:
    """What an unconfirmed attempt really cost; returns its correction. Saying the same again changes nothing.

    Either `cost`, in nano-USD or one of SAID, or `usage`, at the price that was frozen when the call began. Budgets
    are charged the difference; a cost above all that was reserved is recorded whole. Raises ValidationError for a cost
    or a counter that cannot be, and for what was resolved otherwise.
    """
    if (cost is None) == (usage is None):
        raise TypeError("either a cost or usage")
    if entry.kind != Kind.UNCONFIRMED:
        raise ValidationError("Only the cost of an unconfirmed entry can be told.")
    truth = _of_usage(entry, usage) if usage is not None else _of_cost(entry, cost)
    told = f"resolved: {note}" if note else "resolved by hand"
    fields = rows.correction(rows.of_entry(entry) | truth | {"trail": (told,)}, of=rows.of_entry(entry))
    with transaction.atomic():
        if ledger.append([fields]):
            _record(entry, actor=actor, cost=truth["cost_nano"], note=note)
    stored = Entry.objects.get(pk=fields["id"])
    if any(getattr(stored, name) != fields[name] for name in rows.SUMMED):
        total = money.exact(entry.cost_nano + stored.cost_nano)
        raise ValidationError(f"This has been resolved at {stored.settled_at:%Y-%m-%d %H:%M} UTC: it cost {total}.")
    return stored


def _of_cost(entry: Entry, cost: int | str | None) -> dict[str, Any]:
    if isinstance(cost, str):
        if cost not in SAID:
            raise ValidationError(f"Say a cost in nano-USD, or one of {', '.join(SAID)}.")
        cost = getattr(entry, SAID[cost]) if SAID[cost] else 0
    assert cost is not None
    if cost < 0:
        raise ValidationError("A cost is not below zero.")
    if cost > MOST_NANO:
        raise ValidationError("A cost is not above what can be counted.")
    counters = dict.fromkeys(COUNTERS, 0) if cost == 0 else {}
    return _truth(entry, cost=cost, source=Source.NONE) | counters


def _of_usage(entry: Entry, usage: TokenUsage) -> dict[str, Any]:
    if not settlement.plausible(usage) or usage.out_reasoning > usage.out_total:
        raise ValidationError("These counters cannot be.")
    if usage == NOTHING:
        return _of_cost(entry, 0)
    card = catalog.price_card(entry.price_version) if entry.price_version is not None else None
    cost = pricing.cost(usage, card) if card is not None else 0
    return _truth(entry, cost=cost, source=Source.PERSON) | msgspec.structs.asdict(usage)


def _truth(entry: Entry, *, cost: int, source: Source) -> dict[str, Any]:
    state = State.VOID if cost == 0 and source == Source.NONE else State.SETTLED
    amounts = dict.fromkeys(("cost_nano", "low_nano", "high_nano"), cost)
    overrun = max(0, cost - entry.reserved_nano)
    return {**amounts, "overrun_nano": overrun, "usage_source": source.value, "state": state.value}


def _record(entry: Entry, *, actor: Any, cost: int, note: str) -> None:
    before: Mapping[str, Any] = {name: getattr(entry, name) for name in ("low_nano", "cost_nano", "high_nano")}
    after = {"cost_nano": cost, "note": note}
    audit.record(actor=actor, action="usage.resolved", target=entry, area=Area.USAGE, before=before, after=after)
