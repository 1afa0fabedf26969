"""The chargeback file in the portal: for those who see all usage, of their own tenant, and recorded."""

from __future__ import annotations

import csv
import io

import pytest

from apps.audit.models import Record
from tests.portal.visitor import errors

NOVEMBER = {"first": "2026-11-01", "last": "2026-11-30", "kind": "csv"}


def test_those_who_pay_take_a_file_away_and_that_is_recorded(visit, vera):
    assert "FOCUS 1.0" in visit(vera).text("costs-focus")
    answer = visit(vera).get("costs-focus", NOVEMBER)
    assert answer["Content-Disposition"] == 'attachment; filename="acme-focus-2026-11-01-2026-11-30.csv"'
    (heading,) = csv.reader(io.StringIO(b"".join(answer.streaming_content).decode()))
    assert heading[0] == "AvailabilityZone"
    assert Record.objects.get(action="charges.exported").after == NOVEMBER
    parquet = visit(vera).get("costs-focus", NOVEMBER | {"kind": "parquet"})
    assert b"".join(parquet.streaming_content).startswith(b"PAR1")


def test_developers_and_strangers_do_not(visit, bob, charlie):
    assert visit(bob).get("costs-focus", NOVEMBER).status_code == 403
    assert visit(charlie).get("costs-focus", NOVEMBER).status_code == 404
    assert not Record.objects.filter(action="charges.exported").exists()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("first", {"first": "yesterday"}),
        ("first", {"first": ""}),
        ("last", {"last": "2026-10-31"}),
        ("last", {"last": "2027-11-30"}),
        ("kind", {"kind": "pdf"}),
    ],
)
def test_what_cannot_be_is_told_at_its_field(visit, vera, field, values):
    assert field in errors(visit(vera).get("costs-focus", NOVEMBER | values))
    assert not Record.objects.filter(action="charges.exported").exists()
