"""What nobody knows yet: listed, summed up, and resolved by a person, once."""

from __future__ import annotations

import json
import threading
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Sum

from apps.audit.models import Record
from apps.catalog import selectors as catalog
from apps.catalog.models import Price
from apps.domain import money, pricing
from apps.domain.tokens import TokenUsage
from apps.quotas.models import Budget
from apps.usage import ledger, rollups, selectors, services
from apps.usage.models import Entry, HourlyRollup, Kind
from tests import factories
from tests.control.desk import Desk, errors
from tests.money.books import budget, standing, window
from tests.money.calls import intent, outcome
from tests.money.test_corrections import lease

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_journals(settings, tmp_path) -> None:
    settings.WEIR_JOURNAL_DIR = str(tmp_path / "journal")


@pytest.fixture
def spend(db) -> Budget:
    return budget(10**9, tenant=factories.tenant("Acme"))


def doubtful(of: Budget | None = None, *, high: int = 100, **fields) -> Entry:
    if of is not None:
        grant = lease(of)
        fields |= {"windows": (grant.window_id,), "leases": (grant.lease_id,), "tenant_id": of.tenant_id}
    told = outcome(intent(reserved=high, **fields), state="unconfirmed", cost=40, low=10, high=high)
    (entry,) = ledger.post([told])
    return Entry.objects.get(pk=entry)


def sums() -> tuple[int, int, int]:
    names = ("low_nano", "cost_nano", "high_nano")
    found = Entry.objects.aggregate(**{name: Sum(name) for name in names})
    return tuple(found[name] for name in names)


@pytest.mark.parametrize(
    ("cost", "expected", "state"),
    [("nothing", 0, "void"), (0, 0, "void"), ("estimate", 40, "settled"), ("all", 100, "settled"), (73, 73, "settled")],
)
def test_a_person_says_what_it_cost(cost, expected, state, spend):
    entry = doubtful(spend)
    assert standing(spend)[0] == 100
    correction = services.resolve(entry, actor=None, cost=cost, note="the provider's invoice")
    assert (correction.kind, correction.state) == (Kind.CORRECTION, state)
    assert sums() == (expected, expected, expected)
    assert standing(spend)[0] == expected
    assert correction.windows == entry.windows == [window(spend).pk]
    assert (correction.usage_source, correction.trail) == ("none", ["resolved: the provider's invoice"])
    entry.refresh_from_db()
    assert (entry.low_nano, entry.cost_nano, entry.high_nano) == (10, 40, 100)


def test_a_cost_above_all_that_was_reserved_is_recorded_whole(spend):
    services.resolve(doubtful(spend), actor=None, cost=250)
    assert standing(spend)[0] == 250
    assert Entry.objects.aggregate(overrun=Sum("overrun_nano"))["overrun"] == 150


def test_tokens_are_priced_as_was_frozen_when_the_call_began(spend):
    price = factories.price(input=3 * 10**9, output=15 * 10**9)
    card = catalog.price_card(price.pk)
    entry = doubtful(spend, card=card)
    factories.price(price.deployment, input=1, output=1)
    usage = TokenUsage(in_fresh=1_000, out_total=70, out_reasoning=20)
    correction = services.resolve(entry, actor=None, usage=usage)
    cost = pricing.cost(usage, card)
    assert sums() == (cost, cost, cost)
    assert standing(spend)[0] == cost
    assert (correction.usage_source, correction.price_version) == ("person", price.pk)
    counters = Entry.objects.aggregate(*(Sum(name) for name in ("in_fresh", "out_total", "out_reasoning")))
    assert list(counters.values()) == [1_000, 70, 20]


def test_who_said_so_is_in_the_audit_once(spend):
    alice = factories.user("alice")
    entry = doubtful(spend)
    for _ in range(2):
        services.resolve(entry, actor=alice, cost=73, note="seen on their dashboard")
    (record,) = Record.objects.filter(action="usage.resolved")
    assert (record.actor_id, record.target_id, record.tenant_id) == (alice.pk, str(entry.pk), spend.tenant_id)
    assert record.before == {"low_nano": 10, "cost_nano": 40, "high_nano": 100}
    assert record.after == {"cost_nano": 73, "note": "seen on their dashboard"}
    assert Entry.objects.count() == 2


def test_what_was_resolved_is_not_resolved_otherwise(spend):
    entry = doubtful(spend)
    services.resolve(entry, actor=None, cost=73)
    with pytest.raises(ValidationError, match="has been resolved"):
        services.resolve(entry, actor=None, cost=74)
    assert standing(spend)[0] == 73
    assert Record.objects.filter(action="usage.resolved").count() == 1


@pytest.mark.parametrize(
    "said",
    [
        {"cost": -1},
        {"cost": "much"},
        {"usage": TokenUsage(in_fresh=-1)},
        {"usage": TokenUsage(out_total=5, out_reasoning=6)},
        {"usage": TokenUsage(out_total=10**12)},
    ],
)
def test_what_cannot_be_is_refused(said, spend):
    with pytest.raises(ValidationError):
        services.resolve(doubtful(spend), actor=None, **said)
    assert Entry.objects.count() == 1
    assert standing(spend)[0] == 100


def test_only_what_is_unconfirmed_is_resolved():
    (known,) = ledger.post([outcome(cost=5)])
    with pytest.raises(ValidationError, match="unconfirmed"):
        services.resolve(Entry.objects.get(pk=known), actor=None, cost=1)


@pytest.mark.django_db(transaction=True)
def test_of_two_people_who_resolve_it_at_once_one_is_told_that_it_was_done():
    spend = budget(10**9, tenant=factories.tenant("Acme"))
    entry = doubtful(spend)
    start, told = threading.Barrier(4), []

    def say(cost: int) -> None:
        start.wait()
        try:
            services.resolve(entry, actor=None, cost=cost)
            told.append(cost)
        except ValidationError:
            told.append(None)
        finally:
            connection.close()

    threads = [threading.Thread(target=say, args=(cost,)) for cost in (30, 30, 70, 70)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (cost,) = {answer for answer in told if answer is not None}
    assert sorted(told, key=str) == sorted([cost, cost, None, None], key=str)
    assert sums() == (cost, cost, cost)
    assert standing(spend)[0] == cost
    assert Record.objects.filter(action="usage.resolved").count() == 1


# --- what is open -------------------------------------------------------------------------------------------------


def test_open_is_what_is_unconfirmed_and_was_not_corrected_since():
    entries = [doubtful(tenant_id=tenant) for tenant in (1, 2, 2, 1, 2, 2, 2)]
    ledger.post([outcome(cost=7)])
    services.resolve(entries[0], actor=None, cost="nothing")
    still = sorted(entries[1:], key=lambda entry: entry.pk)
    assert list(selectors.unconfirmed()) == still
    assert list(selectors.unconfirmed().filter(pk__gt=still[2].pk)[:2]) == still[3:5]
    assert list(selectors.unconfirmed(tenant_id=1)) == [entries[3]]
    assert selectors.doubts() == [selectors.Doubt(1, 1, 10, 40, 100), selectors.Doubt(2, 5, 50, 200, 500)]
    assert selectors.doubts(tenant_id=3) == []
    rollups.roll_up()
    assert HourlyRollup.objects.aggregate(calls=Sum("calls"), open=Sum("unconfirmed")) == {"calls": 8, "open": 6}


def test_what_is_open_is_found_without_reading_the_ledger():
    ledger.post([outcome(cost=cost) for cost in range(50)])
    doubtful()
    plan = _plan(selectors.unconfirmed())
    assert "entry_unconfirmed" in plan or "usage_entry_2" in plan
    assert "SCAN usage_entry\n" not in plan.upper()
    assert "Seq Scan" not in plan


def _plan(queryset) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off" if connection.vendor == "postgresql" else "SELECT 1")
    return queryset.explain()


# --- the command --------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    """Exit status and what was written."""
    out = StringIO()
    try:
        call_command("ledger_unconfirmed", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, str(error)
    except SystemExit as ended:
        return int(ended.code), out.getvalue()
    return 0, out.getvalue()


def name(entry: Entry) -> str:
    return f"req_{entry.request_id.hex}/{entry.attempt}"


def test_the_command_ends_with_0_when_every_cost_is_known_and_with_1_when_one_is_not(spend):
    assert run() == (0, "Every cost is known.\n")
    entry = doubtful(spend)
    status, text = run()
    assert status == 1
    assert name(entry) in text
    assert "$0.00000001 to $0.0000001" in text
    assert "acme: 1 unconfirmed" in text
    assert run("--tenant", "acme")[0] == 1
    assert run("--tenant", factories.tenant("Other").slug)[0] == 0
    assert run("--tenant", "nobody")[0] == 2


def test_the_command_tells_programs_the_same(spend):
    entries = [doubtful(spend) for _ in range(3)]
    status, text = run("--json", "--limit", "2")
    told = json.loads(text)
    assert status == 1
    assert (told["count"], told["low_nano"], told["estimate_nano"], told["high_nano"]) == (3, 30, 120, 300)
    assert told["tenants"] == [
        {"tenant": "acme", "count": 3, "low_nano": 30, "estimate_nano": 120, "high_nano": 300},
    ]
    assert [f"{entry['request']}/{entry['attempt']}" for entry in told["entries"]] == sorted(map(name, entries))[:2]


@pytest.mark.parametrize(
    ("said", "cost"),
    [
        (["--cost", "73"], 73),
        (["--usd", "0.000000073"], 73),
        (["--usd", "0"], 0),
        (["--usd", "1.50000000"], 1_500_000_000),
        (["--nothing"], 0),
        (["--estimate"], 40),
        (["--all"], 100),
        (["--tokens", "in_fresh=10,out_total=5"], 105_000),
    ],
)
def test_the_command_resolves_what_it_is_told(said, cost, spend):
    price = factories.price(input=3 * 10**9, output=15 * 10**9)
    entry = doubtful(spend, card=catalog.price_card(price.pk))
    status, text = run("--resolve", name(entry), *said, "--note", "their invoice")
    assert status == 0, text
    assert standing(spend)[0] == cost
    assert Record.objects.get(action="usage.resolved").after == {"cost_nano": cost, "note": "their invoice"}
    assert run() == (0, "Every cost is known.\n")
    assert json.loads(run("--resolve", str(entry.request_id), *said, "--json")[1])["cost_nano"] == cost


@pytest.mark.parametrize(
    "arguments",
    [
        ["--resolve", "{open}"],
        ["--resolve", "{open}", "--cost", "-5"],
        ["--resolve", "{open}", "--cost", str(2**63)],
        ["--resolve", "{open}", "--usd", "-0.5"],
        ["--resolve", "{open}", "--usd", "0.0000000001"],
        ["--resolve", "{open}", "--usd", "1.0000000000000000000000000000001"],
        ["--resolve", "{open}", "--usd", "$3"],
        ["--resolve", "{open}", "--usd", "NaN"],
        ["--resolve", "{open}", "--usd", "inf"],
        ["--resolve", "{open}", "--usd", "1e999999999"],
        ["--resolve", "{open}", "--tokens", "words=3"],
        ["--resolve", "{open}", "--tokens", "in_fresh=many"],
        ["--resolve", "{open}9", "--nothing"],
        ["--resolve", "last", "--nothing"],
        ["--resolve", "{done}", "--cost", "74"],
    ],
)
def test_the_command_ends_with_2_on_a_mistake_and_changes_nothing(arguments, spend):
    entry, done = doubtful(spend), doubtful(spend)
    services.resolve(done, actor=None, cost=73)
    named = [argument.format(open=name(entry), done=name(done)) for argument in arguments]
    status, text = run(*named)
    assert (status, bool(text)) == (2, True)
    assert standing(spend)[0] == 173


# --- the admin ----------------------------------------------------------------------------------------------------


@pytest.fixture
def doubt(website) -> Entry:
    spend = budget(10**12, tenant=website.tenant)
    return doubtful(spend, high=50_000_000, project_id=website.pk)


@pytest.mark.parametrize(
    ("values", "cost"),
    [
        ({"said": "nothing"}, 0),
        ({"said": "estimate"}, 40),
        ({"said": "all"}, 50_000_000),
        ({"said": "exactly", "exactly": "0.025"}, 25_000_000),
    ],
)
def test_an_operator_resolves_it_on_its_page(values, cost, desk, doubt):
    assert "$0.00000001 and $0.05" in desk.text("usage_unconfirmed_changelist")
    response = desk.send("usage_unconfirmed_change", doubt.pk, note="their invoice", **values)
    assert response.status_code == 302
    assert sums() == (cost, cost, cost)
    record = Record.objects.get(action="usage.resolved")
    assert (record.actor_id, record.after) == (desk.user.pk, {"cost_nano": cost, "note": "their invoice"})
    assert "No unconfirmed usage" in desk.text("usage_unconfirmed_changelist")
    assert desk.get("usage_unconfirmed_change", doubt.pk).status_code == 302  # there is nothing left to say


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"said": "exactly"}, "exactly"),
        ({"said": "exactly", "exactly": "-1"}, "exactly"),
        ({"said": "much"}, "said"),
        ({"said": "nothing", "exactly": "1"}, "exactly"),
        ({"said": "estimate", "out_total": "5"}, "out_total"),
        ({}, "said"),
    ],
)
def test_what_an_operator_cannot_mean_is_told_at_its_field(values, field, desk, doubt):
    assert list(errors(desk.send("usage_unconfirmed_change", doubt.pk, **values))) == [field]
    assert Entry.objects.count() == 1


@pytest.fixture
def priced(website) -> Entry:
    card = catalog.price_card(factories.price().pk)
    spend = budget(10**12, tenant=website.tenant)
    return doubtful(spend, high=50_000_000, project_id=website.pk, card=card)


def test_an_operator_says_tokens_and_is_told_what_they_cost(desk, priced):
    values = {"said": "tokens", "in_fresh": "1000", "out_total": "200"}
    url = desk.url("usage_unconfirmed_change", priced.pk)
    form = desk.form("usage_unconfirmed_change", priced.pk)
    response = desk.client.post(url, form | values, follow=True)
    cost = priced_at(priced, in_fresh=1_000, out_total=200)
    assert sums() == (cost, cost, cost)
    assert f"It cost {money.exact(cost)}." in response.content.decode()


def priced_at(entry: Entry, **counters: int) -> int:
    return pricing.cost(TokenUsage(**counters), catalog.price_card(entry.price_version))


@pytest.mark.parametrize(
    ("values", "field"),
    [({}, "in_fresh"), ({"in_fresh": "-1"}, "in_fresh"), ({"out_total": "5", "exactly": "1"}, "exactly")],
)
def test_tokens_are_said_alone_and_are_no_fewer_than_none(values, field, desk, priced):
    response = desk.send("usage_unconfirmed_change", priced.pk, said="tokens", **values)
    assert list(errors(response)) == [field]
    assert Entry.objects.count() == 1


def test_token_counts_stand_beside_their_price_or_are_not_asked_for(desk, doubt, priced):
    price = Price.objects.get(pk=priced.price_version)
    text = desk.text("usage_unconfirmed_change", priced.pk)
    for amount in (price.input, price.output, price.cache_read):
        assert f"at {money.exact(amount)} per million" in text
    unpriced = doubtful(high=50_000_000, card=None)
    assert 'name="said"' in desk.text("usage_unconfirmed_change", unpriced.pk)
    assert 'name="in_fresh"' not in desk.text("usage_unconfirmed_change", unpriced.pk)


def test_the_foot_of_the_list_counts_calls(desk, doubt, priced):
    text = " ".join(desk.text("usage_unconfirmed_changelist").split())
    assert "2 unconfirmed calls" in text


def test_who_may_only_look_sees_no_form(doubt):
    desk = Desk(factories.staff("usage.view_unconfirmed"))
    text = desk.text("usage_unconfirmed_change", doubt.pk)
    assert 'name="said"' not in text
    assert desk.url("usage_entry_change", doubt.pk) not in text
    assert desk.client.post(desk.url("usage_unconfirmed_change", doubt.pk), {"said": "nothing"}).status_code == 403
    assert sums() == (10, 40, 50_000_000)
