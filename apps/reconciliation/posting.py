"""Differences carried into the ledger, and taken back. In the background, a day a transaction; doing it again, or half,
or twice at once, posts once: each day says for itself whether it was done, in the transaction that does it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from django.db import transaction
from django.utils import timezone

from apps.reconciliation.comparing import begin_of, grouped
from apps.reconciliation.grouping import Group
from apps.reconciliation.models import AdjustedDay, Adjustment
from apps.usage import adjustments
from apps.usage.adjustments import Share


def post(adjustment: Adjustment) -> None:
    """All that waits of it."""
    for day in _days(adjustment, AdjustedDay.State.WAITING):
        adjustments.cover(begin_of(day))
        _post_day(adjustment, day)
    _end(adjustment, before=Adjustment.State.WAITING, after=Adjustment.State.POSTED)


def take_back(adjustment: Adjustment) -> None:
    for day in _days(adjustment, AdjustedDay.State.POSTED):
        _undo_day(adjustment, day)
    is_left = adjustment.items.filter(state=AdjustedDay.State.POSTED).exists()
    _end(
        adjustment,
        before=Adjustment.State.UNDOING,
        after=Adjustment.State.POSTED if is_left else Adjustment.State.UNDONE,
    )


def _days(adjustment: Adjustment, state: AdjustedDay.State) -> list[date]:
    found = adjustment.items.filter(state=state).order_by("day").values_list("day", flat=True)
    return list(found.distinct())


@transaction.atomic
def _post_day(adjustment: Adjustment, day: date) -> None:
    adjustments.alone()
    report = adjustment.report
    items = list(adjustment.items.filter(day=day, state=AdjustedDay.State.WAITING))
    if not items:
        return
    counted = adjustments.count(report.provider_id, begin_of(day))
    _, groups = grouped(report, counted)
    weights = adjustments.weights(report.provider_id, begin_of(day))
    for item in items:
        ways = groups.get(Group(item.model, item.credential), [])
        there = sum(counted[way].cost for way in ways)
        if there != item.counted_nano or adjustments.is_sealed(begin_of(day)):
            item.state = AdjustedDay.State.CHANGED
            item.save(update_fields=["state"])
            continue
        shares = _shares(adjustment, item, [weight for way in ways for weight in weights[way]])
        if not shares:  # nobody is there whose it could be
            item.state = AdjustedDay.State.CHANGED
            item.save(update_fields=["state"])
            continue
        note = f"adjustment {adjustment.pk}: {adjustment.note or 'as the provider reports'}"
        item.rows = adjustments.post(shares, name=f"{item.pk}", provider_id=report.provider_id, note=note)
        item.state = AdjustedDay.State.POSTED
        item.save(update_fields=["state", "rows"])
    Adjustment.objects.filter(pk=adjustment.pk).update(claimed_at=timezone.now())


def _shares(adjustment: Adjustment, item: AdjustedDay, among: Sequence[adjustments.Weight]) -> list[Share]:
    """Over those who called; what nobody called is the project's that was chosen for it."""
    used = [weight for weight in among if weight.cost > 0 or weight.tokens > 0 or weight.calls > 0]
    if used:
        return adjustments.shared(item.amount_nano, used)
    project = adjustment.project
    if project is None:
        return []
    subject = (project.tenant_id, project.pk, None, None, None, "", None)
    return [Share(begin_of(item.day), (item.credential, item.model), subject, item.model, item.amount_nano)]


@transaction.atomic
def _undo_day(adjustment: Adjustment, day: date) -> None:
    """What is sealed meanwhile stays: its rows are gone, and their sums are not to be changed."""
    adjustments.alone()
    if adjustments.is_sealed(begin_of(day)):
        return
    for item in adjustment.items.filter(day=day, state=AdjustedDay.State.POSTED):
        adjustments.take_back(f"{item.pk}", day=begin_of(day), note=f"adjustment {adjustment.pk} taken back")
        item.state = AdjustedDay.State.UNDONE
        item.save(update_fields=["state"])
    Adjustment.objects.filter(pk=adjustment.pk).update(claimed_at=timezone.now())


def _end(adjustment: Adjustment, *, before: str, after: str) -> None:
    ended = Adjustment.objects.filter(pk=adjustment.pk, state=before)
    ended.update(state=after, done_at=timezone.now(), claimed_at=None)
