"""The one place that writes ledger entries and moves the budgets' counters with them. Synchronous.

An entry's id is made of its request, attempt and slot, so posting the same outcome again changes nothing: rows are
inserted where they are not there yet, and counters move by exactly the rows that were inserted, in one transaction.

An attempt has one first entry, which says what it cost or that nobody knows. A truth that finds an unconfirmed in its
place becomes the correction of it; an unconfirmed that finds anything is nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, transaction

from apps.domain import ids
from apps.quotas import windows
from apps.runtime.failpoints import failpoint
from apps.usage import partitions, rows, sealing, telling
from apps.usage.models import Entry, Kind, OpenAttempt
from apps.usage.records import Outcome

log = logging.getLogger(__name__)

# Large enough to be cheap, small enough not to keep others from the database for long.
BATCH = 400
_INTEGER = attrgetter("int")  # compared much faster than ids are

Charge = tuple[int, int | None, int]


def post(outcomes: Sequence[Outcome]) -> set[UUID]:
    """Records what is not recorded yet; returns the ids of the entries that are new. Safe to repeat.

    Raises DatabaseError; then nothing of a batch of `BATCH` was recorded.
    """
    new: set[UUID] = set()
    for start in range(0, len(outcomes), BATCH):
        batch: dict[UUID, Outcome] = {}
        for outcome in sorted(outcomes[start : start + BATCH], key=_is_doubt):
            batch.setdefault(entry_id(outcome), outcome)
        try:
            new |= _post(batch)
        except IntegrityError as error:
            if not partitions.is_missing(error):
                raise
            partitions.cover(list(batch))
            new |= _post(batch)
    return new


def post_each(outcomes: Sequence[Outcome]) -> tuple[set[UUID], list[Outcome]]:
    """As `post`, but an outcome that the ledger will never take does not hold up the others: those come back too."""
    try:
        return post(outcomes), []
    except (DataError, IntegrityError, OverflowError, ValueError) as error:
        if len(outcomes) == 1:
            log.error("the ledger refuses request %s: %s", outcomes[0].intent.request_id, error)
            return set(), [*outcomes]
        middle = len(outcomes) // 2
        new, refused = post_each(outcomes[:middle])
        more_new, more_refused = post_each(outcomes[middle:])
        return new | more_new, refused + more_refused


def entry_id(outcome: Outcome) -> UUID:
    intent = outcome.intent
    return ids.entry_id(intent.request_id, attempt=intent.attempt, slot=ids.Slot.FIRST)


@transaction.atomic
def append(fields: Sequence[Mapping[str, Any]]) -> set[UUID]:
    """Corrections and repricings that somebody asked for, by column; returns the ids of those that are new.

    No lease is known for them, so the windows themselves are charged.
    """
    ordered = sorted(fields, key=lambda row: row["id"].int)
    new = rows.insert([rows.of_fields(row) for row in ordered])
    windows.charge(
        (window_id, None, row["high_nano"]) for row in ordered if row["id"] in new for window_id in row["windows"]
    )
    telling.tell_later(row for row in ordered if row["id"] in new)
    return new


@transaction.atomic
def _post(batch: dict[UUID, Outcome]) -> set[UUID]:
    ordered = sorted(batch, key=_INTEGER)
    if sealed := sealing.known(ordered):  # sent once more, long after
        ordered = [entry for entry in ordered if entry not in sealed]
    new = rows.insert([rows.of_outcome(entry, batch[entry]) for entry in ordered])
    if new:
        telling.tell_first((entry, outcome) for entry, outcome in batch.items() if entry in new)  # as they ended
    charges = [charge for entry in new for charge in _charges(batch[entry], amount=rows.most(batch[entry]))]
    # What is left was sent before, or is late.
    if left := [entry for entry in ordered if entry not in new and not _is_doubt(batch[entry])]:
        late, differences = _correct({entry: batch[entry] for entry in left})
        new |= late
        charges += differences
    windows.charge(charges)
    if gated := [entry for entry in ordered if batch[entry].intent.gated]:
        OpenAttempt.objects.filter(pk__in=gated).delete()
    failpoint("forward.before_commit")
    return new


def _correct(truths: Mapping[UUID, Outcome]) -> tuple[set[UUID], list[Charge]]:
    """Corrects those of the entries that are unconfirmed. Returns new ids, and what to charge for them."""
    doubts = Entry.objects.filter(pk__in=truths, kind=Kind.UNCONFIRMED).order_by("pk").values("pk", *rows.SUMMED)
    corrections = {
        doubt["pk"]: rows.correction(rows.named(rows.of_outcome(doubt["pk"], truths[doubt["pk"]])), of=doubt)
        for doubt in doubts
    }
    if not corrections:
        return set(), []
    new = rows.insert([rows.of_fields(fields) for fields in corrections.values()])
    if new:
        telling.tell_later(fields for fields in corrections.values() if fields["id"] in new)
    _tell_contradictions([fields for fields in corrections.values() if fields["id"] not in new])
    charges = [
        charge
        for entry, fields in corrections.items()
        if fields["id"] in new
        for charge in _charges(truths[entry], amount=fields["high_nano"])
    ]
    return new, charges


def _tell_contradictions(corrections: Sequence[Mapping[str, Any]]) -> None:
    """An attempt is resolved once. Where a person was faster than the truth, the log tells how far off that was."""
    stored = Entry.objects.filter(pk__in=[fields["id"] for fields in corrections])
    costs = dict(stored.values_list("pk", "cost_nano")) if corrections else {}
    for fields in corrections:
        if (off := fields["cost_nano"] - costs.get(fields["id"], 0)) != 0:
            log.warning("request %s was resolved %d nano-USD off its late truth", fields["request_id"], -off)


def _charges(outcome: Outcome, *, amount: int) -> Iterator[Charge]:
    for window_id, lease_id in zip(outcome.intent.windows, outcome.intent.leases, strict=True):
        yield window_id, lease_id, amount


def _is_doubt(outcome: Outcome) -> bool:
    return outcome.state == "unconfirmed"
