"""Budgets as callers meet them: streams that outgrow what was reserved, huge caps, and a database that is away."""

from __future__ import annotations

import threading
from datetime import date

import pytest
from django.db import DatabaseError

from apps.catalog import services as catalog
from apps.gateway.attempt import Accounts
from apps.quotas import leases, windows
from apps.quotas.models import BudgetWindow
from apps.tenants import services as tenants
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, anthropic_error, ask, frames, openai_error, told
from tests.gateway.sockets import call
from tests.servers import until

# Some 1,200 tokens over a second and a half, whatever was asked for.
ENDLESS = {"x-simulate": "ignore-max,tokens-1200,pace-1"}
CAPPED = {"stream": True, "max_tokens": 64}


def window(budget) -> BudgetWindow:
    return budget.windows.get()


def test_a_stream_that_outgrows_its_reservation_is_covered_by_what_the_budget_has_left(gateway, world):
    budget = world.budget(key=world.key_row, amount=10**9)
    gateway.refresh()
    response = ask(gateway, ANTHROPIC, change=CAPPED, headers=ENDLESS)
    assert frames(response.text)[-1][0] == "message_stop"
    gateway.settle()
    entry = Entry.objects.get()
    assert entry.status == "ok"
    assert entry.out_total > 1_000
    assert entry.cost_nano <= entry.reserved_nano < 2 * entry.cost_nano
    assert (window(budget).settled, window(budget).overrun, entry.overrun_nano) == (entry.cost_nano, 0, 0)


@pytest.mark.parametrize(("path", "status"), [(ANTHROPIC, 529), (OPENAI, 503)], ids=["anthropic", "openai"])
def test_a_model_without_a_price_serves_but_where_a_budget_applies(gateway, world, path, status):
    priced = world.deploy("claude-free", upstream="claude-free")
    model = world.model("claude-unpriced")
    catalog.create_deployment(
        actor=world.alice, model=model, provider=priced.provider, upstream_model="claude-free", priority=0
    )
    gateway.refresh()
    assert ask(gateway, path, model="claude-unpriced").status_code == 200
    world.budget(key=world.key_row, amount=10**9)
    gateway.refresh()
    refused = ask(gateway, path, model="claude-unpriced")
    assert "claude-unpriced has no price, and a budget applies" in told(path, refused, status)
    assert refused.headers["x-should-retry"] == "false"


def test_an_overdraft_covers_a_stream_that_outgrows_its_reservation(gateway, world):
    budget = world.budget(key=world.key_row, amount=2_000_000, overdraft=10**9)
    gateway.refresh()
    ask(gateway, ANTHROPIC, change=CAPPED, headers=ENDLESS)
    gateway.settle()
    assert window(budget).settled == Entry.objects.get().cost_nano > budget.amount
    assert window(budget).overrun == 0


@pytest.mark.parametrize(
    ("path", "last"),
    [(ANTHROPIC, "billing_error"), (OPENAI, "budget_exhausted")],
    ids=["anthropic", "openai"],
)
def test_a_stream_that_nobody_can_cover_is_ended_with_an_error_and_booked(gateway, world, simulator, path, last):
    budget = world.budget(key=world.key_row, amount=2_000_000)
    gateway.refresh()
    response = ask(gateway, path, change=CAPPED, headers={"x-simulate": "ignore-max,tokens-20000,pace-1"})
    assert response.status_code == 200
    told = next(data for _, data in frames(response.text) if "error" in data)
    assert last in (told["error"].get("type"), told["error"].get("code"))
    assert told["error"]["message"].startswith("budget exhausted: the answer has cost more than")
    assert "monthly budget of this key cannot cover more" in told["error"]["message"]
    gateway.settle()
    entry = Entry.objects.get()
    assert (entry.state, entry.error_code) == ("settled", "budget_exhausted")
    assert entry.out_total < 2_000  # of 20,000: the provider was left
    assert window(budget).settled == entry.cost_nano
    assert (window(budget).held, window(budget).credit) == (0, 0) or entry.overrun_nano
    until(lambda: simulator.last().outcome != "open")
    assert simulator.last().outcome == "aborted"


def test_what_calls_in_flight_hold_is_told_as_held_in_both_dialects(gateway, world):
    world.budget(key=world.key_row, amount=3_000_000, period="day")
    world.scripted("stall")
    gateway.refresh()
    with call(gateway, ANTHROPIC, model="claude-stall", max_tokens=150):
        until(lambda: BudgetWindow.objects.exists())
        response = ask(gateway, ANTHROPIC, change={"max_tokens": 150})
        message = anthropic_error(response, 429, "rate_limit_error")
        assert "of the daily budget of this key are reserved by calls in flight" in message
        assert 1 <= int(response.headers["retry-after"]) <= 5
        assert response.headers.get("x-should-retry") != "false"
        openai_error(ask(gateway, OPENAI, change={"max_tokens": 150}), 429, "budget_reserved")


def test_agents_with_huge_caps_are_not_refused_while_the_budget_is_nearly_untouched(gateway, world):
    """A cap of 4,096 tokens is $0.06 at worst: without an overdraft six at a time would hold all of the budget."""
    amount = 400_000_000
    budget = world.budget(key=world.key_row, amount=amount, overdraft=amount * 4)
    gateway.refresh()
    huge = {"max_tokens": 4096}
    for _ in range(50):
        assert ask(gateway, ANTHROPIC, change=huge).status_code == 200
    statuses: list[int] = []

    def agent() -> None:
        response = ask(gateway, ANTHROPIC, change=huge, headers={"x-simulate": "slow-700"})
        statuses.append(response.status_code)

    agents = [threading.Thread(target=agent) for _ in range(25)]
    for one in agents:
        one.start()
    for one in agents:
        one.join()
    assert statuses == [200] * 25
    gateway.settle()
    assert window(budget).settled < amount / 5


def test_a_new_process_knows_from_the_ledger_how_long_answers_are(gateway, world):
    world.budget(key=world.key_row, amount=10**12)
    gateway.refresh()
    for _ in range(50):
        ask(gateway, ANTHROPIC)
    gateway.settle()
    longest = max(Entry.objects.values_list("out_total", flat=True))
    fresh = Accounts()
    gateway.call(fresh._learn())
    entry = Entry.objects.latest("pk")
    assert longest <= fresh.outputs.expected(entry.model_id, world.key_row.pk) <= longest * 1.25


@pytest.fixture
def asks_often(monkeypatch):
    """A gateway that starts now asks the ledger's database for its budgets ten times a second, not each five."""
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.1)


@pytest.fixture
def away(gateway, monkeypatch):
    """The ledger's database answers no question about budgets."""

    def cut_off(*arguments, **named):
        raise DatabaseError("the connection is closed")

    def begin() -> None:
        for question in ("acquire", "beat", "register"):
            monkeypatch.setattr(windows, question, cut_off)

    yield begin
    monkeypatch.undo()


@pytest.mark.usefixtures("asks_often")
@pytest.mark.parametrize("policy", ["lease", "open", "closed"])
def test_while_the_ledger_is_away_a_process_spends_what_it_holds_everything_or_nothing(gateway, world, away, policy):
    tenants.update_tenant(world.tenant, actor=None, on_outage=policy)
    budget = world.budget(key=world.key_row, amount=15_000_000)
    gateway.refresh()
    if policy != "open":
        assert ask(gateway, ANTHROPIC).status_code == 200
    away()
    until(lambda: gateway.engine.accounts.leases.is_cut_off)
    response = ask(gateway, ANTHROPIC)
    if policy == "closed":
        assert "budgets cannot be counted" in anthropic_error(response, 529, "overloaded_error")
        return
    assert response.status_code == 200
    if policy == "open":
        again = ask(gateway, ANTHROPIC)
        assert again.status_code == 200
        gateway.settle()
        assert Entry.objects.count() == 2
        assert not BudgetWindow.objects.filter(budget=budget).exists()
        return
    gateway.settle()
    assert window(budget).settled == sum(entry.cost_nano for entry in Entry.objects.all())


def test_a_fixed_period_that_is_over_says_so(gateway, world):
    days = {"starts_on": date(2020, 1, 1), "ends_on": date(2020, 1, 31), "timezone": "Europe/Berlin"}
    world.budget(key=world.key_row, amount=10**9, period="fixed", **days)
    gateway.refresh()
    response = ask(gateway, ANTHROPIC)
    message = anthropic_error(response, 429, "billing_error")
    assert message == "the budget of this key ended at 2020-02-01 00:00 Europe/Berlin"
    assert "retry-after" not in response.headers
