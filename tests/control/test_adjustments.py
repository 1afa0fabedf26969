"""Adjustments are rows of their own: the books stay true with them, they are posted once and taken back once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import Sum
from msgspec.structs import replace

from apps.usage import adjustments, days, ledger
from apps.usage.adjustments import Share
from apps.usage.books import verify
from apps.usage.models import Entry, HourlyRollup, Kind
from tests.control.ledgers import NOW, USAGE, Books, plant, settle

pytestmark = pytest.mark.django_db
PROVIDER, WAY = 77, ("main", "claude-9")
NAMED = {"provider_id": PROVIDER, "note": "a report"}


@pytest.fixture
def books(db) -> Books:
    """Six calls of one way in three hours, one of another way, and one of another provider."""
    made = Books()
    made.day = made.at.replace(hour=0, minute=0, second=0, microsecond=0)
    made.calls = [_at(made.call(at=made.at + timedelta(minutes=20 * count)), *WAY) for count in range(6)]
    others = [_at(made.call(), "main", "claude-1"), _at(made.call(), *WAY, provider=1)]
    doubt = _at(made.doubt(), "spare", "claude-9")
    ledger.post([*made.calls, *others, doubt])
    settle()
    return made


def _at(call, credential, model, provider=PROVIDER):
    named = {"credential": credential, "upstream_model": model, "provider_id": provider}
    return replace(call, intent=replace(call.intent, **named))


def violations():
    return [(found.name, found.offenders) for found in verify.run().findings if found.violations]


def spent(**of):
    return HourlyRollup.objects.filter(**of).aggregate(total=Sum("cost_nano"))["total"]


def shares(books, amount):
    found = adjustments.weights(PROVIDER, books.day)[WAY]
    parts = adjustments.shared(amount, found)
    assert sum(share.amount for share in parts) == amount
    return parts


def test_a_day_is_counted_by_credential_and_upstream_model(books):
    found = adjustments.count(PROVIDER, books.day)
    assert set(found) == {WAY, ("main", "claude-1"), ("spare", "claude-9")}
    whole = found[WAY]
    assert (whole.calls, whole.cost, whole.doubt, whole.open) == (6, sum(call.cost for call in books.calls), 0, 0)
    assert whole.tokens == tuple(6 * getattr(USAGE, name) for name in adjustments.COUNTERS)
    assert (found["spare", "claude-9"].open, found["spare", "claude-9"].doubt) == (1, 5_000)
    assert adjustments.count(PROVIDER, books.day + adjustments.DAY) == {}


@pytest.mark.parametrize("amount", [7, 1_000_003, -5])
def test_an_adjustment_is_in_ledger_rollups_and_days_to_the_unit_and_the_books_stay_true(books, amount):
    before, settled = spent(), books.settled()
    parts = shares(books, amount)
    assert adjustments.post(parts, name="1", **NAMED) == sum(share.amount != 0 for share in parts)
    assert adjustments.post(parts, name="1", **NAMED) == 0
    settle()
    days.roll_up(NOW)
    assert spent() == before + amount
    assert Entry.objects.filter(kind=Kind.ADJUSTMENT).aggregate(total=Sum("cost_nano"))["total"] == amount
    assert adjustments.count(PROVIDER, books.day)[WAY].cost == sum(call.cost for call in books.calls) + amount
    assert adjustments.count(PROVIDER, books.day)[WAY].calls == 6
    assert books.settled() == settled
    assert violations() == []


def test_what_is_taken_back_leaves_nothing_and_is_taken_back_once(books):
    before = spent()
    adjustments.post(shares(books, 12_345), name="1", **NAMED)
    adjustments.post(shares(books, 55), name="2", **NAMED)
    assert adjustments.take_back("1", day=books.day, note="wrong") == 3  # hours
    assert adjustments.take_back("1", day=books.day, note="wrong") == 0
    settle()
    assert spent() == before + 55
    assert violations() == []


def test_nobody_comes_to_less_than_nothing_in_any_hour(books):
    """Weir has counted more than was billed at all."""
    whole = adjustments.count(PROVIDER, books.day)[WAY].cost
    adjustments.post(shares(books, -whole), name="1", **NAMED)
    settle()
    assert HourlyRollup.objects.filter(cost_nano__lt=0).count() == 0
    assert adjustments.count(PROVIDER, books.day)[WAY].cost == 0
    assert violations() == []


def test_what_had_no_price_is_shared_by_tokens_and_what_had_no_tokens_by_calls(books):
    hours = [books.day, books.day + timedelta(hours=1)]
    subject = (1, 1, None, None, None, "messages", None)
    by_tokens = [
        adjustments.Weight(hour, WAY, subject, "claude", 0, tokens, 1)
        for hour, tokens in zip(hours, (1, 3), strict=True)
    ]
    assert [share.amount for share in adjustments.shared(8, by_tokens)] == [2, 6]
    by_calls = [
        adjustments.Weight(hour, WAY, subject, "claude", 0, 0, calls) for hour, calls in zip(hours, (3, 1), strict=True)
    ]
    assert [share.amount for share in adjustments.shared(8, by_calls)] == [6, 2]


@pytest.mark.parametrize(
    "change",
    [
        "cost_nano = cost_nano + 1",
        "in_fresh = 1",
        "low_nano = low_nano - 1",
        "cost_nano = 0, low_nano = 0, high_nano = 0",
    ],
)
def test_an_adjustment_that_is_none_is_named(books, change):
    share = Share(books.day, WAY, (books.tenant.pk, books.project.pk, None, None, None, "", None), "claude", 99)
    adjustments.post([share], name="1", **NAMED)
    settle()
    plant(f"UPDATE usage_entry SET {change} WHERE kind = 5")
    assert "I5.adjusted" in [name for name, _ in violations()]


def test_a_reversal_that_is_not_the_opposite_is_named(books):
    adjustments.post(shares(books, 12_345), name="1", **NAMED)
    adjustments.take_back("1", day=books.day, note="wrong")
    settle()
    change = "cost_nano = cost_nano - 1, low_nano = low_nano - 1, high_nano = high_nano - 1"
    plant(f"UPDATE usage_entry SET {change} WHERE kind = 5 AND cost_nano < 0")
    assert "I5.adjusted" in [name for name, _ in violations()]
