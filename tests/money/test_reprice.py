"""Prices that came late: carried into the ledger by differences, once, whatever interrupts it."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.db.models import Sum

from apps.catalog import selectors as catalog
from apps.catalog.models import Deployment
from apps.domain import pricing
from apps.domain.tokens import TokenUsage
from apps.quotas.models import Budget
from apps.usage import ledger, repricing, rollups, selectors, services
from apps.usage.models import Entry, HourlyRollup, Kind
from tests import factories
from tests.money.books import budget, standing, window
from tests.money.calls import intent, outcome
from tests.money.test_corrections import lease

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
USAGE = TokenUsage(1_000, 200, 30, 4, 500, 60)
DOLLAR = 10**9


@pytest.fixture
def spend(db) -> Budget:
    return budget(10**12, tenant=factories.tenant("Acme"))


@pytest.fixture
def claude(db) -> Deployment:
    deployment = factories.deployment(factories.model("claude"))
    factories.price(deployment, effective_from=BEGIN, input=3 * DOLLAR, output=15 * DOLLAR)
    return deployment


def call(
    of: Deployment, spend: Budget | None = None, *, at: datetime = BEGIN + HOUR, usage: TokenUsage = USAGE, **told
):
    """Posted at the price in force at that time, as the catalog is now."""
    card = pricing.card_at(tuple(catalog.price_history([of.pk])[of.pk]), int(at.timestamp()))
    fields = {"deployment_id": of.pk, "model_id": of.model_id, "card": card, "at": at.timestamp(), "reserved": 10**8}
    if spend is not None:
        grant = lease(spend)
        fields |= {"windows": (grant.window_id,), "leases": (grant.lease_id,), "tenant_id": spend.tenant_id}
    cost = pricing.cost(usage, card) if card is not None else 0
    attempt = intent(**fields)
    ledger.post([outcome(attempt, **({"usage": usage, "cost": cost} | told))])
    return attempt


def correct(of: Deployment, *, at: datetime = BEGIN, **prices: int):
    price = factories.price(of, effective_from=at, is_correction=True, **prices)
    return catalog.price_card(price.pk)


def reprice(*of: Deployment, since: datetime = BEGIN, **options) -> repricing.Report:
    return repricing.reprice([deployment.pk for deployment in of], since=since, **options)


def totals(attempt) -> dict[str, int]:
    rows = Entry.objects.filter(request_id=attempt.request_id)
    return rows.aggregate(cost=Sum("cost_nano"), low=Sum("low_nano"), high=Sum("high_nano"), over=Sum("overrun_nano"))


def test_a_corrected_price_is_booked_as_a_difference_and_charged(claude, spend):
    attempt = call(claude, spend)
    before = standing(spend)[0]
    card = correct(claude, input=2 * DOLLAR, output=20 * DOLLAR)
    report = reprice(claude)
    cost = pricing.cost(USAGE, card)
    row = Entry.objects.get(kind=Kind.REPRICE)
    assert (row.cost_nano, row.low_nano, row.high_nano) == (cost - before,) * 3
    assert (row.price_version, row.error_code, row.windows) == (card.version, "mispriced", [window(spend).pk])
    assert (row.in_fresh, row.out_total, row.reserved_nano) == (0, 0, 0)
    assert totals(attempt) == {"cost": cost, "low": cost, "high": cost, "over": 0}
    assert standing(spend)[0] == cost
    assert report.models == {"claude": repricing.Change(attempts=1, before=before, after=cost)}


def test_a_call_that_had_no_price_gets_one(spend):
    deployment = factories.deployment(factories.model("claude"))
    attempt = call(deployment, spend)
    rollups.roll_up()
    assert HourlyRollup.objects.get().unpriced == 1
    assert Entry.objects.filter(selectors.is_unpriced()).count() == 1
    card = correct(deployment, input=3 * DOLLAR, output=15 * DOLLAR)
    assert reprice(deployment).models["claude"].unpriced == 1
    rollups.roll_up()
    found = HourlyRollup.objects.get()
    assert (found.calls, found.unpriced, found.cost_nano) == (1, 0, pricing.cost(USAGE, card))
    assert totals(attempt)["cost"] == standing(spend)[0] == found.cost_nano
    assert not Entry.objects.filter(selectors.is_unpriced()).exists()


def test_each_call_gets_the_price_of_its_time(claude):
    calls = {hours: call(claude, at=BEGIN + hours * HOUR) for hours in (1, 30, 60)}
    untouched = totals(calls[1])
    middle = correct(claude, at=BEGIN + 24 * HOUR, input=DOLLAR, output=DOLLAR)
    last = correct(claude, at=BEGIN + 48 * HOUR, input=5 * DOLLAR, output=5 * DOLLAR)
    reprice(claude)
    assert totals(calls[1]) == untouched
    assert totals(calls[30])["cost"] == pricing.cost(USAGE, middle)
    assert totals(calls[60])["cost"] == pricing.cost(USAGE, last)


def test_a_second_run_writes_nothing(claude, spend):
    for _ in range(5):
        call(claude, spend)
    correct(claude, input=DOLLAR, output=DOLLAR)
    reprice(claude)
    count, standing_then = Entry.objects.count(), standing(spend)
    assert reprice(claude).models == {}
    assert (Entry.objects.count(), standing(spend)) == (count, standing_then)


def test_a_price_can_be_corrected_again_and_back(claude, spend):
    attempt = call(claude, spend)
    for dollars in (2, 9, 3):
        card = correct(claude, input=dollars * DOLLAR, output=dollars * DOLLAR)
        reprice(claude)
        assert totals(attempt)["cost"] == standing(spend)[0] == pricing.cost(USAGE, card)
    assert Entry.objects.filter(kind=Kind.REPRICE).count() == 3


def test_what_it_comes_to_above_the_reservation_is_an_overrun(claude, spend):
    attempt = call(claude, spend)
    card = correct(claude, input=1_000 * DOLLAR, output=1_000 * DOLLAR)
    reprice(claude)
    assert totals(attempt)["over"] == pricing.cost(USAGE, card) - 10**8 > 0
    correct(claude, input=DOLLAR, output=DOLLAR)
    reprice(claude)
    assert totals(attempt)["over"] == 0


def test_an_attempt_is_repriced_thirteen_times_and_the_others_go_on(claude):
    old = call(claude)
    for dollars in range(1, 14):
        correct(claude, input=dollars * DOLLAR, output=DOLLAR)
        reprice(claude)
    assert Entry.objects.filter(kind=Kind.REPRICE).count() == 13
    young = call(claude)
    card = correct(claude, input=50 * DOLLAR, output=DOLLAR)
    report = reprice(claude)
    assert [entry.int >> 80 for entry in report.too_often] == [old.request_id.int >> 80]
    assert totals(young)["cost"] == pricing.cost(USAGE, card)
    status, text = run("--model", "claude", "--since", "2026-11-01")
    assert status == 1
    assert "1 attempts were left" in text
    assert "13 times" in text


def test_what_is_unconfirmed_is_resolved_before_it_is_repriced(claude, spend):
    doubt = {"state": "unconfirmed", "cost": 40, "low": 0, "high": 100, "usage_source": "none"}
    first, second = (call(claude, spend, **doubt) for _ in range(2))
    card = correct(claude, input=DOLLAR, output=DOLLAR)
    assert reprice(claude).unconfirmed == 2
    ledger.post([outcome(first, usage=USAGE, cost=pricing.cost(USAGE, first.card))])
    services.resolve(Entry.objects.get(request_id=second.request_id), actor=None, cost=77)
    report = reprice(claude)
    assert (report.unconfirmed, report.models["claude"].attempts) == (0, 1)
    assert totals(first)["cost"] == pricing.cost(USAGE, card)
    assert totals(second)["cost"] == 77  # somebody said so
    assert standing(spend)[0] == pricing.cost(USAGE, card) + 77


def test_a_dry_run_tells_the_same_and_writes_nothing(claude, spend):
    call(claude, spend)
    correct(claude, input=DOLLAR, output=DOLLAR)
    count, before = Entry.objects.count(), standing(spend)
    told = reprice(claude, dry_run=True)
    assert (Entry.objects.count(), standing(spend)) == (count, before)
    assert reprice(claude) == told


def test_only_calls_of_the_span_and_of_the_deployment_are_touched(claude):
    other = factories.deployment(factories.model("gpt"))
    factories.price(other, effective_from=BEGIN, input=DOLLAR, output=DOLLAR)
    calls = [call(claude, at=BEGIN + hours * HOUR) for hours in (1, 2, 3)]
    call(other)
    card = correct(claude, input=DOLLAR, output=DOLLAR)
    correct(other, input=9 * DOLLAR, output=DOLLAR)
    report = reprice(claude, since=BEGIN + 2 * HOUR, until=BEGIN + 3 * HOUR)
    assert report.models.keys() == {"claude"}
    assert [totals(each)["cost"] == pricing.cost(USAGE, card) for each in calls] == [False, True, False]


def test_a_run_that_dies_half_way_is_made_good_by_the_next(claude, spend, monkeypatch):
    monkeypatch.setattr(repricing, "PAGE", 3)
    calls = [call(claude, spend, at=BEGIN + minute * timedelta(minutes=1)) for minute in range(10)]
    card = correct(claude, input=DOLLAR, output=DOLLAR)
    append, pages = ledger.append, []

    def dies(fields):
        pages.append(len(fields))
        if len(pages) == 3:
            raise DatabaseError("gone")
        return append(fields)

    monkeypatch.setattr(ledger, "append", dies)
    with pytest.raises(DatabaseError):
        reprice(claude)
    monkeypatch.setattr(ledger, "append", append)
    assert Entry.objects.filter(kind=Kind.REPRICE).count() == 6
    assert reprice(claude).models["claude"].attempts == 4
    assert {totals(each)["cost"] for each in calls} == {pricing.cost(USAGE, card)}
    assert standing(spend)[0] == 10 * pricing.cost(USAGE, card)


def test_attempts_of_one_millisecond_keep_their_rows_apart(claude, spend, monkeypatch):
    monkeypatch.setattr(repricing, "PAGE", 2)
    dice = random.Random(5)
    calls = [call(claude, spend, at=BEGIN + HOUR, usage=TokenUsage(dice.randint(1, 999), 0, 0, 0, 7)) for _ in range(9)]
    for dollars in (4, 6):
        card = correct(claude, input=dollars * DOLLAR, output=DOLLAR)
        reprice(claude)
    assert Entry.objects.filter(kind=Kind.REPRICE).count() == 18
    for each in calls:
        first = Entry.objects.get(request_id=each.request_id, kind=Kind.POST)
        assert totals(each)["cost"] == pricing.cost(TokenUsage(first.in_fresh, 0, 0, 0, 7), card)


# --- the command --------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    """Exit status and what was written."""
    out = StringIO()
    try:
        call_command("reprice", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def test_the_command_says_what_it_changed_by_model(claude):
    for _ in range(3):
        call(claude)
    correct(claude, input=6 * DOLLAR, output=30 * DOLLAR, cache_read=6 * DOLLAR)
    status, text = run("--model", "claude", "--since", "2026-11-01", "--dry-run", "--json")
    told = json.loads(text)
    assert (status, told["dry_run"], told["attempts"], told["repriced"]) == (0, True, 3, 3)
    (model,) = told["models"]
    assert (model["model"], model["attempts"]) == ("claude", 3)
    assert model["after_nano"] == 2 * model["before_nano"] == 2 * model["difference_nano"]
    status, text = run("--deployment", str(claude.pk), "--since", "2026-11-01T00:00")
    assert (status, "claude: 3 repriced" in text, "3 of 3 attempts" in text) == (0, True, True)
    status, text = run("--provider", claude.provider.name, "--since", "2026-11-01")
    assert (status, "0 of 3 attempts" in text) == (0, True)


@pytest.mark.parametrize("arguments", [["--model", "nobody"], ["--deployment", "999999"]])
def test_the_command_ends_with_2_where_there_is_no_such_deployment(arguments, claude):
    assert run(*arguments, "--since", "2026-11-01")[0] == 2


def test_the_books_are_true_after_corrections_and_repricings(claude, spend):
    dice = random.Random(seed := random.randrange(10**6))
    print("seed", seed)
    doubt = {"state": "unconfirmed", "cost": 40, "low": 0, "high": 100, "usage_source": "none"}
    doubtful = [call(claude, spend, at=BEGIN + minute * timedelta(minutes=9), **doubt) for minute in range(8)]
    for minute in range(20):
        call(claude, spend, at=BEGIN + minute * timedelta(minutes=7))
    for attempt in doubtful[:3]:
        ledger.post([outcome(attempt, usage=USAGE, cost=pricing.cost(USAGE, attempt.card))])
    for attempt in doubtful[3:6]:
        entry = Entry.objects.get(request_id=attempt.request_id)
        services.resolve(entry, actor=None, cost=dice.choice(["nothing", "estimate", "all", 10**9]))
    for dollars in (1, 50, 2):
        correct(claude, at=BEGIN + timedelta(minutes=dice.randint(0, 60)), input=dollars * DOLLAR, output=9 * DOLLAR)
        reprice(claude)
    rollups.roll_up()
    out = StringIO()
    call_command("ledger_verify", "--json", stdout=out)
    assert json.loads(out.getvalue())["ok"]
