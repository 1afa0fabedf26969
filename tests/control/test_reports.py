"""A report is what the ledger's rows come to, wherever its parts are read from."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from apps.domain import ids, money
from apps.quotas import services as quotas
from apps.quotas.models import BudgetWindow
from apps.tenants.models import Tenant
from apps.usage import days, ledger, rollups
from apps.usage.models import DailyRollup, Entry, Level, Watermark
from apps.usage.reports import breakdowns, forecasts, spans, tables
from apps.usage.reports.sources import DIMENSIONS, LIVE, Amounts, Question, Scope, standing
from tests import factories
from tests.control.ledgers import moment, plant
from tests.money.calls import hit, intent, outcome

pytestmark = pytest.mark.django_db

# Two days after the clocks went back in New York, at a quarter past an hour.
NOW = datetime(2026, 11, 3, 15, 15, tzinfo=UTC)
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")


def call(tenant_id: int, hours_ago: float, cost: int, subject: int, **fields: Any) -> Any:
    whose = {"project_id": 1 + subject % 2, "user_id": subject % 3 or None, "key_id": subject, "model_id": subject % 4}
    told = {"provider_id": subject % 2 or None, "endpoint": ("messages", "responses")[subject % 2]}
    at = (NOW - timedelta(hours=hours_ago)).timestamp()
    return outcome(intent(at=at, tenant_id=tenant_id, **whose, **told), cost=cost, **fields)


def sum_up() -> None:
    """As the worker does whenever it comes by, here an hour ago."""
    arrived = {datetime.fromtimestamp(ids.milliseconds(entry) / 1000, UTC) for entry in _ids()}
    for hour in {rollups.hour_of(one) for one in arrived}:
        rollups.compute(hour)
    Watermark.objects.update(at=NOW - timedelta(hours=1))


def _ids() -> list[Any]:
    return list(Entry.objects.values_list("pk", flat=True))


def naive(question: Question, span: spans.Span, dimension: str | None) -> dict[tuple[Any, int], Amounts]:
    """By value and bucket, row by row."""
    found: dict[tuple[Any, int], Amounts] = {}
    for entry in Entry.objects.all():
        arrived = datetime.fromtimestamp(ids.milliseconds(entry.pk) / 1000, UTC)
        if not span.starts <= arrived < span.ends:
            continue
        if any(getattr(entry, column) != value for column, value in question.conditions()):
            continue
        value = getattr(entry, DIMENSIONS[dimension]) if dimension else None
        key = (value, _bucket(span, arrived))
        found[key] = found.get(key, Amounts()).plus(_amounts(entry))
    return found


def _bucket(span: spans.Span, arrived: datetime) -> int:
    """By the clock on the wall, where buckets are days."""
    if span.step == "day":
        return (arrived.astimezone(ZoneInfo(span.zone)).date() - span.first).days
    return next(number for number in reversed(range(len(span.marks))) if span.marks[number] <= arrived)


def _amounts(entry: Entry) -> Amounts:
    is_call = not entry.is_difference
    summed = {name: getattr(entry, name) for name in rollups.COUNTERS}
    tokens = entry.in_fresh + entry.in_cache_read + entry.out_total
    return Amounts(
        calls=int(is_call),
        errors=int(is_call and entry.status not in ("ok", "client_gone")),
        unconfirmed=int(entry.kind == 2) - int(entry.kind == 3),
        unpriced=int(entry.kind == 1 and tokens > 0 and entry.price_version is None),
        latency_ms=entry.latency_ms if is_call else 0,
        hits=int(entry.cached is not None),
        saved_nano=entry.saved_nano or 0,
        saved_tokens=entry.saved_tokens or 0,
        estimated=int(entry.kind in (1, 3) and entry.usage_source == "estimated"),
        **summed,
    )


def assert_equal(question: Question, span: spans.Span, dimension: str | None, *, top: int = 3) -> None:
    found = breakdowns.break_down(question, span, standing(question.scope, NOW), dimension=dimension, top=top)
    expected = naive(question, span, dimension)
    total = Amounts()
    by_value: dict[Any, Amounts] = {}
    for (value, _), amounts in expected.items():
        total = total.plus(amounts)
        by_value[value] = by_value.get(value, Amounts()).plus(amounts)
    assert found.total.amounts == total
    assert found.total.points == [
        sum(amounts.cost_nano for (_, bucket), amounts in expected.items() if bucket == number)
        for number in range(len(span.marks))
    ]
    if dimension is None:
        return
    ranked = sorted((-amounts.cost_nano, -amounts.calls) for amounts in by_value.values())
    assert [(-one.amounts.cost_nano, -one.amounts.calls) for one in found.slices] == ranked[:top]
    assert {one.value: one.amounts for one in found.slices}.items() <= by_value.items()
    for one in found.slices:
        assert one.points == [
            expected.get((one.value, number), Amounts()).cost_nano for number in range(len(span.marks))
        ]
    assert (found.other is not None, found.others) == (len(by_value) > top, max(0, len(by_value) - top))


# --- any report -----------------------------------------------------------------------------------------------------

CALLS = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.floats(-0.2, 24 * 9, allow_nan=False),
        st.integers(0, 10**9),
        st.integers(1, 6),
        st.sampled_from(["ok", "timeout", "estimated", "unconfirmed", "unpriced", "hit"]),
    ),
    min_size=1,
    max_size=8,
)
SPANS = st.one_of(
    st.sampled_from(list(spans.PRESETS)),
    st.tuples(st.integers(0, 8), st.integers(0, 8)).map(lambda pair: tuple(sorted(pair, reverse=True))),
)
WHERE = st.dictionaries(
    st.sampled_from(["project", "user", "key", "model", "provider", "endpoint"]), st.integers(1, 3), max_size=2
)


def _post(tenants: list[Tenant], calls: Any) -> None:
    made = []
    for whose, hours_ago, cost, subject, kind in calls:
        told: dict[str, Any] = {
            "timeout": {"status": "timeout", "latency_ms": 7},
            "estimated": {"usage_source": "estimated"},
            "unconfirmed": {"state": "unconfirmed", "low": 0, "high": cost + 5},
        }.get(kind, {})
        one = call(tenants[whose].pk, hours_ago, cost, subject, **told)
        if kind == "unpriced":
            one = replace(one, intent=replace(one.intent, card=None))
        made.append(hit(one.intent, saved=cost) if kind == "hit" else one)
    ledger.post(made)


def _span(asked: Any, zone: str) -> spans.Span:
    if isinstance(asked, str):
        return spans.preset(asked, zone, NOW)
    today = NOW.astimezone(ZoneInfo(zone)).date()
    return spans.chosen(*(today - days_ago * spans.DAY for days_ago in asked), zone)


def _where(told: dict[str, int]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (name, "messages" if name == "endpoint" else None if name in ("user", "provider") and value == 3 else value)
        for name, value in told.items()
    )


@given(
    CALLS, CALLS, SPANS, WHERE, st.sampled_from(ZONES), st.sampled_from([None, *DIMENSIONS]), st.sampled_from("nbax")
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_report_is_what_the_rows_come_to(db, calls, late, asked, where, zone, dimension, summed_up):
    """Days may be summed up never, before some hours changed, after that, or both."""
    with transaction.atomic():
        tenants = [factories.tenant(timezone=zone), factories.tenant(timezone=zone)]
        _post(tenants, calls)
        sum_up()
        if summed_up in "bx":
            days.roll_up(NOW)
        _post(tenants, late)
        sum_up()
        if summed_up in "ax":
            days.roll_up(NOW)
        for scope in (Scope(tenants[0].pk, zone), Scope(tenants[0].pk, zone, user_id=1), Scope(None)):
            assert_equal(Question(scope, _where(where)), _span(asked, scope.zone), dimension)
        transaction.set_rollback(True)


# --- where its parts are read ---------------------------------------------------------------------------------------


def test_days_that_are_over_are_read_from_days(tenant_of_a_month):
    """A wrong day shows in the report, and no wrong hour does."""
    question = Question(Scope(tenant_of_a_month.pk))
    before = total(question, "30d")
    plant("UPDATE usage_hourlyrollup SET cost_nano = cost_nano + 1000 WHERE hour < %s", moment(NOW - 2 * spans.DAY))
    assert total(question, "30d") == before
    row = DailyRollup.objects.filter(day=NOW.date() - 2 * spans.DAY, level=Level.NARROW).latest("pk")
    DailyRollup.objects.filter(pk=row.pk).update(cost_nano=F("cost_nano") + 7)
    assert total(question, "30d").cost_nano == before.cost_nano + 7


@pytest.fixture
def tenant_of_a_month(db) -> Tenant:
    tenant = factories.tenant()
    ledger.post([call(tenant.pk, 11 * number + 0.5, 1_000 + number, 1 + number % 6) for number in range(60)])
    sum_up()
    days.roll_up(NOW)
    return tenant


def total(question: Question, name: str) -> Amounts:
    span = spans.preset(name, question.scope.zone, NOW)
    return breakdowns.break_down(question, span, standing(question.scope, NOW)).total.amounts


def test_a_report_asks_little_and_never_scans_the_ledger(tenant_of_a_month, django_assert_max_num_queries):
    scope = Scope(tenant_of_a_month.pk)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if connection.vendor == "postgresql":  # whose planner reads so small a table whole
            cursor.execute("SET enable_seqscan = off")
    span = spans.preset("30d", "UTC", NOW)
    with django_assert_max_num_queries(4):
        now = standing(scope, NOW)
    for dimension in ("model", "key"):
        with CaptureQueriesContext(connection) as queries:
            breakdowns.break_down(Question(scope), span, now, dimension=dimension, compared=NOW)
        assert len(queries) <= 4
        for query in queries:
            with connection.cursor() as cursor:
                explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
                cursor.execute(f"{explain} {query['sql']}")
                plan = " ".join(str(row) for row in cursor.fetchall())
            assert "Seq Scan on usage" not in plan
            assert "SCAN usage" not in plan


def test_who_has_not_been_summed_up_for_long_is_told_how_old_the_figures_are(tenant_of_a_month):
    scope = Scope(tenant_of_a_month.pk)
    assert standing(scope, NOW).as_of == NOW
    Watermark.objects.update(at=NOW - 3 * LIVE)
    assert standing(scope, NOW).as_of == NOW - 3 * LIVE
    plant("UPDATE usage_entry SET settled_at = %s", moment(NOW - 3 * LIVE))
    assert standing(scope, NOW).as_of == NOW, "nobody has called since"


# --- spans ----------------------------------------------------------------------------------------------------------


def test_days_have_as_many_hours_as_their_time_zone_gives_them():
    autumn = spans.chosen(date(2026, 10, 30), date(2026, 11, 2), "America/New_York")
    assert [after - mark for mark, after in pairwise((*autumn.marks, autumn.ends))] == [
        timedelta(hours=hours) for hours in (24, 24, 25, 24)
    ]
    one = spans.chosen(date(2026, 11, 1), date(2026, 11, 1), "America/New_York")
    assert (one.step, len(one.marks)) == ("hour", 25)
    assert tables.bucket_labels(one)[1:3] == ["2026-11-01 01:00-0400", "2026-11-01 01:00-0500"]


def test_the_month_begins_where_the_tenant_lives():
    span = spans.preset("month", "Pacific/Auckland", datetime(2026, 10, 31, 12, tzinfo=UTC))
    assert (span.first, span.last) == (date(2026, 11, 1), date(2026, 11, 1))
    assert spans.preset("24h", "Asia/Kolkata", NOW).ends == NOW.replace(minute=0) + timedelta(hours=1)


@pytest.mark.parametrize(("name", "days_ago"), [("7d", 7), ("30d", 30), ("month", 3)])
def test_the_span_before_is_as_long_and_goes_as_far(name, days_ago):
    span = spans.preset(name, "UTC", NOW)
    earlier = spans.before(span, NOW)
    assert earlier.starts == span.starts - timedelta(days=days_ago)
    assert earlier.ends == NOW.replace(minute=0) + timedelta(hours=1) - timedelta(days=days_ago)
    over = spans.chosen(date(2026, 10, 1), date(2026, 10, 9), "UTC")
    assert spans.before(over, NOW).ends == over.starts


@pytest.mark.parametrize("pair", [(date(2026, 1, 2), date(2026, 1, 1)), (date(2025, 1, 1), date(2026, 1, 2))])
def test_what_is_no_span_is_refused(pair):
    with pytest.raises(ValueError, match=r"ends before|No more than"):
        spans.chosen(*pair, "UTC")


def test_the_span_before_is_what_is_compared_with():
    tenant = factories.tenant()
    ledger.post([call(tenant.pk, 24 * ago, 100 * (ago + 1), 1) for ago in range(14)])
    sum_up()
    days.roll_up(NOW)
    question = Question(Scope(tenant.pk))
    span = spans.preset("7d", "UTC", NOW)
    found = breakdowns.break_down(question, span, standing(question.scope, NOW), dimension="model", compared=NOW)
    assert (found.total.amounts.cost_nano, found.total.before.cost_nano) == (2_800, 7_700)
    assert [tables.change(now, before) for now, before in ((15, 10), (5, 10), (5, 0), (0, 7))] == [50, -50, None, -100]


# --- tables and forecasts -------------------------------------------------------------------------------------------


def test_tables_say_the_sums_of_the_breakdown_to_the_last_digit(tenant_of_a_month):
    question, span = Question(Scope(tenant_of_a_month.pk)), spans.preset("7d", "UTC", NOW)
    found = breakdowns.break_down(question, span, standing(question.scope, NOW), dimension="key", top=2, compared=NOW)
    headings, rows = tables.of_slices(found)
    assert [row[0] for row in rows] == [*(f"key {one.value}" for one in found.slices), "Other", "Total"]
    column = headings.index("cost_usd")
    assert money.nano(rows[-1][column]) == found.total.amounts.cost_nano
    for name in ("cost_usd", "calls", "input_tokens", "cost_before_usd"):
        column = headings.index(name)
        assert sum(row[column] for row in rows[:-1]) == rows[-1][column]
    headings, rows = tables.of_buckets(found, span)
    assert headings == ["day (UTC)", *(f"key {one.value} usd" for one in found.slices), "Other usd", "Total usd"]
    assert [sum(row[1:-1]) for row in rows] == [row[-1] for row in rows]
    assert sum(row[-1] for row in rows) == money.dollars(found.total.amounts.cost_nano)


def test_a_month_goes_on_as_the_last_full_days_did():
    tenant = factories.tenant()
    ledger.post([call(tenant.pk, 24 * ago, 700, 1) for ago in range(1, 5)] + [call(tenant.pk, 1, 50, 1)])
    sum_up()
    question = Question(Scope(tenant.pk))
    found = forecasts.month(question, standing(question.scope, NOW), NOW)
    left = datetime(2026, 12, 1, tzinfo=UTC) - NOW
    assert (found.spent, found.daily) == (2 * 700 + 50, 700)
    assert found.expected == found.spent + 700 * int(left.total_seconds()) // 86_400
    assert forecasts.mean([0, 0]) is None


def test_the_day_on_which_usage_began_is_no_full_one():
    assert forecasts.mean([0, 0, 6]) is None
    assert forecasts.mean([0, 6, 4, 2]) == 3
    assert forecasts.mean([1, 2, 3, 4, 5, 6, 7]) == 4, "it may have begun before"
    assert forecasts.mean([0, 1, 2, 3, 4, 5, 6, 7]) == 4, "of seven days it began on the first"
    assert forecasts.mean([9, 0, 0, 0, 0, 0, 0, 7]) == 1, "days without a call count too"


@pytest.mark.parametrize(("limit", "is_used_up"), [(10_000, True), (10**9, False)])
def test_a_budget_is_used_up_when_its_last_days_say(limit, is_used_up):
    tenant = factories.tenant()
    budget = quotas.create_budget(actor=None, tenant=tenant, amount=limit)
    ledger.post([call(tenant.pk, 24 * ago, 700, 1) for ago in range(1, 9)])
    sum_up()
    starts, ends = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    BudgetWindow.objects.create(budget=budget, starts=starts, ends=ends, limit=limit, ceiling=limit, settled=1_400)
    scope = Scope(tenant.pk)
    ((window, subject),) = forecasts.nearest(scope, NOW, 3)
    found = forecasts.burn(window, subject, scope, standing(scope, NOW), NOW)
    assert [left for _, left in found.left] == [limit, limit - 700, limit - 1_400, limit - 1_400]
    assert [moment for moment, _ in found.left] == [starts, starts + spans.DAY, starts + 2 * spans.DAY, NOW]
    assert found.daily == 700
    assert found.exhausted_at == (NOW + (limit - 1_400) / 700 * spans.DAY if is_used_up else None)
    assert found.ahead[-1][0] == (found.exhausted_at or ends)
    assert not forecasts.nearest(Scope(tenant.pk, user_id=5), NOW, 3)
