"""Where periods begin and end, in the time zones that make it hard."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.limits import budget
from apps.domain.snapshot import Budget

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Africa/Cairo", "America/Havana",
         "Pacific/Apia", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu"]  # fmt: skip


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def borders(period, zone: str, now: float) -> tuple[str, str]:
    span = budget.span(period, timezone=zone, now=now)
    return tuple(f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}" for moment in (span.starts, span.ends))


def test_days_weeks_and_months_begin_at_local_midnight():
    now = at("2026-11-21 03:30")
    assert borders("day", "UTC", now) == ("2026-11-21 00:00", "2026-11-22 00:00")
    assert borders("day", "America/New_York", now) == ("2026-11-20 05:00", "2026-11-21 05:00")
    assert borders("week", "UTC", now) == ("2026-11-16 00:00", "2026-11-23 00:00")
    assert borders("month", "Asia/Kolkata", now) == ("2026-10-31 18:30", "2026-11-30 18:30")


def test_december_is_followed_by_january():
    assert borders("month", "UTC", at("2026-12-31 23:59")) == ("2026-12-01 00:00", "2027-01-01 00:00")


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_on_which_the_clock_changes_is_as_long_as_it_is(day, hours):
    span = budget.span("day", timezone="Europe/Berlin", now=at(f"{day} 12:00", "Europe/Berlin"))
    assert span.ends - span.starts == hours * 3600


def test_a_month_in_which_the_clock_changes_counts_the_hour():
    span = budget.span("month", timezone="Europe/Berlin", now=at("2026-10-10 12:00", "Europe/Berlin"))
    assert span.ends - span.starts == 31 * 86_400 + 3600


def test_where_the_clock_skips_midnight_the_day_begins_at_the_jump():
    """Cairo, 24 April 2026: 23:59 is followed by 01:00."""
    assert borders("day", "Africa/Cairo", at("2026-04-24 12:00")) == ("2026-04-23 22:00", "2026-04-24 21:00")


def test_where_midnight_comes_twice_the_day_begins_at_the_first():
    """Havana, 1 November 2026: at 01:00 it is 00:00 again."""
    assert borders("day", "America/Havana", at("2026-11-01 12:00")) == ("2026-11-01 04:00", "2026-11-02 05:00")


@given(
    period=st.sampled_from(["day", "week", "month"]),
    zone=st.sampled_from(ZONES),
    now=st.integers(int(at("2010-01-01")), int(at("2037-12-31"))),
)
def test_periods_contain_their_moment_and_join_without_gap_or_overlap(period, zone, now):
    span = budget.span(period, timezone=zone, now=now)
    assert span.starts <= now < span.ends
    assert budget.span(period, timezone=zone, now=span.starts) == span
    assert budget.span(period, timezone=zone, now=span.ends - 1) == span
    assert budget.span(period, timezone=zone, now=span.ends).starts == span.ends


def test_a_refusal_says_the_period_and_when_it_ends():
    ends = int(at("2026-12-01 00:00"))
    assert budget.refusal(rule("month", timezone="UTC"), cost=5, left=0, ends=ends) == (
        "spend limit reached (monthly; resets 2026-12-01 00:00 UTC)"
    )
    assert budget.refusal(rule("day", timezone="Europe/Berlin"), cost=5, left=-3, ends=ends) == (
        "spend limit reached (daily; resets 2026-12-01 01:00 Europe/Berlin)"
    )


def test_a_call_too_dear_for_what_is_left_is_told_so_and_not_that_the_budget_is_spent():
    ends = int(at("2026-12-01 00:00"))
    told = budget.refusal(rule("month", timezone="UTC"), cost=615_936_000, left=400_000_000, ends=ends)
    assert told == (
        "this call could cost up to $0.615936, and $0.40 is left of the monthly budget of this key "
        "(resets 2026-12-01 00:00 UTC); set or lower max_tokens (OpenAI: max_completion_tokens) or shorten the prompt"
    )
    told = budget.refusal(rule("month", timezone="UTC"), cost=1_500_000_000, left=400_000_000, ends=ends)
    assert "$1.00 is all of the monthly budget of this key" in told


def rule(period, *, timezone):
    return Budget(id=1, scope="key", amount=1_000_000_000, period=period, timezone=timezone)
