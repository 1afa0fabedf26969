"""Prices that were entered late or corrected, carried into the ledger: differences are added, nothing is rewritten.

An attempt's price is right when its version is that of the card in force when its request came. Where it is not, the
next repricing is added, with that version and what it changes, and the budget windows are charged the difference.
What is unconfirmed is resolved first, at its frozen price; a cost without counters is what somebody said it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from apps.catalog import selectors as catalog
from apps.domain import ids, pricing
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.usage import ledger, rows
from apps.usage.models import Entry, Kind, Source, State
from apps.usage.rollups import UNPRICED

PAGE = ledger.BATCH
MISPRICED = "mispriced"
_COUNTERS = tuple(field.name for field in msgspec.structs.fields(TokenUsage))
_AMOUNTS = ("cost_nano", "low_nano", "high_nano")
# What a row is judged by; most of them are only looked at.
_JUDGED = (
    "kind", "usage_source", "price_version", "deployment_id", "model_name", "started_at", "reserved_nano",
    "overrun_nano", *_COUNTERS, *_AMOUNTS,
)  # fmt: skip


class Change(msgspec.Struct):
    """What repricing changes of a model: attempts, those among them that had no price, and their cost in nano-USD."""

    attempts: int = 0
    unpriced: int = 0
    before: int = 0
    after: int = 0


class Report(msgspec.Struct):
    """`attempts`: looked at. `models`: what was changed, by the name that callers used. Passed over: the `unconfirmed`,
    those `without_price` at their time, and by first entry those that were repriced `too_often`."""

    attempts: int = 0
    models: dict[str, Change] = msgspec.field(default_factory=dict)
    unconfirmed: int = 0
    without_price: int = 0
    too_often: list[UUID] = msgspec.field(default_factory=list)


class _Attempt:
    """All rows of an attempt, the first one first."""

    def __init__(self, first: Entry, later: Sequence[Entry]) -> None:
        self.first = first
        self.entries = [first, *later]
        self.truth = next((row for row in later if row.kind == Kind.CORRECTION), first)
        self.version = self.entries[-1].price_version
        self.slot = max(ids.slot_of(self.entries[-1].pk), ids.Slot.RESOLUTION) + 1

    @property
    def is_known(self) -> bool:
        return self.truth.kind != Kind.UNCONFIRMED

    @property
    def usage(self) -> TokenUsage:
        return TokenUsage(*(self.sum(name) for name in _COUNTERS))

    @property
    def has_counters(self) -> bool:
        return self.truth.usage_source != Source.NONE and self.usage.total > 0

    def sum(self, name: str) -> int:
        return sum(getattr(row, name) for row in self.entries)

    def repriced(self, card: PriceCard) -> dict[str, Any]:
        """The columns of the next repricing that differ from the truth's."""
        cost = pricing.cost(self.usage, card)
        overrun = max(0, cost - self.first.reserved_nano)
        return {
            **dict.fromkeys(rows.SUMMED, 0),
            **{name: cost - self.sum(name) for name in _AMOUNTS},
            "id": ids.in_slot(self.first.pk, slot=self.slot),
            "kind": Kind.REPRICE.value,
            "state": State.SETTLED.value,
            "overrun_nano": overrun - self.sum("overrun_nano"),
            "price_version": card.version,
            "error_code": UNPRICED if self.version is None else MISPRICED,
            "trail": (f"price {self.version or 'none'} -> {card.version}",),
        }


def reprice(
    deployments: Collection[int], *, since: datetime, until: datetime | None = None, dry_run: bool = False
) -> Report:
    """Calls that arrived from `since` to before `until`. A page is a transaction, so this may be ended at any time;
    what was repriced is not repriced again."""
    report = Report()
    history = {key: tuple(cards) for key, cards in catalog.price_history(deployments).items()}
    for page in _pages(list(history), since=since, until=until):
        changes: list[tuple[_Attempt, dict[str, Any]]] = []
        for attempt in page:
            report.attempts += 1
            if (fields := _judge(attempt, history, report)) is not None:
                changes.append((attempt, fields))
        new = {fields["id"] for _, fields in changes} if dry_run else _append(changes)
        for attempt, fields in changes:
            if fields["id"] in new:
                _count(report, attempt, fields)
    return report


@transaction.atomic
def _append(changes: Sequence[tuple[_Attempt, dict[str, Any]]]) -> set[UUID]:
    """Returns the ids of those that are new: another run may have been faster, or their month have been sealed."""
    truths = Entry.objects.in_bulk([attempt.truth.pk for attempt, _ in changes])
    there = [(truths[attempt.truth.pk], fields) for attempt, fields in changes if attempt.truth.pk in truths]
    return ledger.append([rows.of_entry(truth) | fields for truth, fields in there])


def _judge(attempt: _Attempt, history: Mapping[int, tuple[PriceCard, ...]], report: Report) -> dict[str, Any] | None:
    """The row to add; None where there is nothing to add, and then the report says why."""
    first = attempt.first
    assert first.deployment_id is not None
    card = pricing.card_at(history[first.deployment_id], int(first.started_at.timestamp()))
    if not attempt.is_known:
        report.unconfirmed += 1
    elif not attempt.has_counters:
        pass
    elif card is None:
        report.without_price += 1
    elif card.version == attempt.version:
        pass
    elif attempt.slot > ids.LAST_SLOT:
        report.too_often.append(first.pk)
    else:
        return attempt.repriced(card)
    return None


def _count(report: Report, attempt: _Attempt, fields: Mapping[str, Any]) -> None:
    change = report.models.setdefault(attempt.first.model_name, Change())
    before = attempt.sum("cost_nano")
    change.attempts += 1
    change.unpriced += fields["error_code"] == UNPRICED
    change.before += before
    change.after += before + fields["cost_nano"]


def _pages(deployments: Collection[int], *, since: datetime, until: datetime | None) -> Iterator[list[_Attempt]]:
    """Attempts in the order of their ids, along the primary key."""
    entries = Entry.objects.filter(deployment_id__in=deployments).order_by("pk").only(*_JUDGED)
    if until is not None:
        entries = entries.filter(pk__lt=_floor(until))
    firsts = entries.filter(kind__lt=Kind.CORRECTION)
    page = list(firsts.filter(pk__gte=_floor(since))[:PAGE])
    while page:
        yield _attempts(page)
        page = list(firsts.filter(pk__gt=page[-1].pk)[:PAGE])


def _attempts(firsts: Sequence[Entry]) -> list[_Attempt]:
    """What was added to them lies in the same milliseconds."""
    begin, end = (ids.milliseconds(entry.pk) for entry in (firsts[0], firsts[-1]))
    added = Entry.objects.filter(pk__gte=ids.floor(begin), pk__lt=ids.floor(end + 1), kind__gte=Kind.CORRECTION)
    later: dict[UUID, list[Entry]] = {}
    for entry in added.order_by("pk").only(*_JUDGED):
        later.setdefault(ids.in_slot(entry.pk, slot=ids.Slot.FIRST), []).append(entry)
    return [_Attempt(first, later.get(first.pk, [])) for first in firsts]


def _floor(moment: datetime) -> UUID:
    return ids.floor(int(moment.timestamp() * 1000))
