"""FOCUS files: every cent is in them once, both kinds of file say the same, and nothing in them calculates."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum

from apps.domain import money
from apps.keys.models import Key
from apps.tenants.models import Tenant
from apps.usage.focus import charges, columns, files
from apps.usage.models import HourlyRollup

DAYS = 3


@pytest.fixture
def span(db):
    """A small installation's days, from first to last."""
    call_command("seed_scale", tenants=3, keys=60, entries=300, days=DAYS, seed=3, verbosity=0)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=DAYS), today


def read(span, tenant=None):
    text = "".join(files.as_csv(charges.charges(*span, tenant=tenant)))
    return list(csv.DictReader(io.StringIO(text)))


def export(path, first, last, *more):
    call_command(
        "focus_export", str(path), "--from", f"{first:%Y-%m-%d}", "--to", f"{last:%Y-%m-%d}", *more, verbosity=0
    )


def spent(**of):
    return HourlyRollup.objects.filter(**of).aggregate(total=Sum("cost_nano"))["total"]


def test_the_file_holds_every_cent_once(span):
    rows = read(span)
    assert sum(Decimal(row["BilledCost"]) for row in rows) == money.dollars(spent())
    first = Tenant.objects.first()
    mine = read(span, first)
    assert {row["BillingAccountId"] for row in mine} == {first.slug}
    assert sum(Decimal(row["EffectiveCost"]) for row in mine) == money.dollars(spent(tenant=first))


def test_a_day_is_charged_within_itself_and_its_month(span):
    for row in read(span):
        begins, ends = (datetime.fromisoformat(row[f"ChargePeriod{end}"]) for end in ("Start", "End"))
        assert ends - begins == timedelta(days=1)
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["BillingPeriodEnd"]
        assert row["BillingPeriodStart"].endswith("-01T00:00:00Z")
        assert row["BillingPeriodEnd"].endswith("-01T00:00:00Z")
        assert int(row["x_Calls"]) > 0
        tokens = (row[f"x_{kind}Tokens"] for kind in ("Input", "CacheRead", "CacheWrite", "Output"))
        assert Decimal(row["ConsumedQuantity"]) == sum(map(Decimal, tokens))


def test_parquet_says_the_same(span, tmp_path):
    from pyarrow import parquet

    path = tmp_path / "charges.parquet"
    export(path, *span)
    table = parquet.read_table(path)
    assert table.column_names == list(columns.COLUMNS)
    assert sum(table.column("BilledCost").to_pylist()) == money.dollars(spent())
    written = read(span)
    assert len(written) == table.num_rows
    assert [row["SkuId"] for row in written] == table.column("SkuId").to_pylist()


def test_a_name_that_a_spreadsheet_would_calculate_is_made_text(span):
    Key.objects.update(name="=1+1")
    assert {row["ResourceName"] for row in read(span)} == {"'=1+1"}


def test_what_cannot_be_asked_for_is_told(db, tmp_path):
    at = datetime(2026, 11, 1, tzinfo=UTC)
    for first, last in ((at, at - timedelta(days=1)), (at, at + timedelta(days=366))):
        with pytest.raises(CommandError, match="366 days"):
            export(tmp_path / "a.csv", first, last)
    with pytest.raises(CommandError, match="no tenant nobody"):
        export(tmp_path / "a.csv", at, at, "--tenant", "nobody")
    with pytest.raises(CommandError, match=r"\.csv or \.parquet"):
        export(tmp_path / "a.xls", at, at)
