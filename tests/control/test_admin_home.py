"""The first page: each figure by its rule, each card the way to the rows it tells of, and a new house's next step."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from apps.catalog import services as catalog
from apps.keys.models import Key
from apps.quotas import services as quotas
from apps.runtime.state import DeploymentStanding, state
from apps.usage import ledger, pulse, rollups
from apps.usage.reports import forecasts
from apps.usage.reports.sources import Question, Scope, standing
from tests import factories
from tests.control.desk import Desk
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.django_db
NOW = datetime.datetime(2026, 6, 11, tzinfo=datetime.UTC)  # ten of thirty days are over


def call(at: datetime.datetime, *, tenant_id: int, cost: int = 0, latency: int = 100, **fields: object) -> None:
    made = intent(tenant_id=tenant_id, at=at.timestamp())
    ledger.post([outcome(made, cost=cost, latency_ms=latency, **fields)])


def cards(desk: Desk) -> dict[str, dict]:
    return {card["title"]: card for card in desk.get("index").context["cards"]}


@pytest.mark.once
def test_a_new_house_is_told_one_next_step_at_a_time(desk):
    def step() -> str:
        found = desk.get("index").context["step"]
        assert found["title"] in desk.text("index")
        assert desk.client.get(found["link"]).status_code == 200
        return found["title"]

    assert step() == "Add a provider"
    provider = factories.provider()
    assert step() == "Add a model"
    deployment = factories.deployment(factories.model(), provider)
    assert step() == "Set a price"
    factories.price(deployment)
    assert step() == "Add a tenant"
    project = factories.project()
    assert step() == "Issue a key"
    factories.key(project)
    assert desk.get("index").context["step"] is None


def test_a_month_is_told_with_its_pace_and_its_budgets(acme, globex, website):
    for day in (1, 5, 10):
        call(NOW.replace(day=day, hour=3), tenant_id=acme.pk, cost=2_100_000_000)
    call(NOW - datetime.timedelta(days=20), tenant_id=acme.pk, cost=50_000_000_000)
    rollups.roll_up()
    quotas.create_budget(actor=None, tenant=acme, amount=10_000_000_000)
    quotas.create_budget(actor=None, project=website, amount=3_000_000_000)
    quotas.create_budget(actor=None, tenant=globex, amount=5_000_000_000, period="day")
    spent, daily = 6_300_000_000, 4_200_000_000 // 7  # of the last seven days: there was usage before them
    assert pulse.month(NOW) == pulse.Month(spent, spent + 20 * daily, 10_000_000_000, 1)
    everybody = Scope(None)
    shown = forecasts.month(Question(everybody), standing(everybody, NOW), NOW)
    assert pulse.month(NOW)[:2] == (shown.spent, shown.expected), "one method, wherever it is shown"
    early = NOW.replace(day=1, hour=5)
    assert pulse.month(early)[:2] == (2_100_000_000, None)


def test_the_percentile_is_of_the_newest_answers_within_an_hour(acme):
    assert pulse.speed(NOW) == pulse.Speed(None, 0)
    for n in range(1, 21):
        call(NOW - datetime.timedelta(minutes=n), tenant_id=acme.pk, latency=n * 100)
    call(NOW - datetime.timedelta(minutes=90), tenant_id=acme.pk, latency=99_000)
    call(NOW - datetime.timedelta(minutes=1), tenant_id=acme.pk, latency=99_000, status="timeout")
    assert pulse.speed(NOW) == pulse.Speed(1_900, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulse, "NEWEST", 10)
        assert pulse.speed(NOW) == pulse.Speed(1_000, 10)


@pytest.mark.once
def test_every_card_leads_to_the_rows_it_counts(desk, website, monkeypatch):
    ending, other = (factories.key(website, name=name).key for name in ("ending", "other"))
    now = timezone.now()
    Key.objects.filter(pk=ending.pk).update(expires_at=now + datetime.timedelta(days=20))
    Key.objects.filter(pk=other.pk).update(expires_at=now + datetime.timedelta(days=40))
    broken, whole = factories.deployment(), factories.deployment()
    catalog.update_deployment(whole, actor=None, priority=3)
    told = [
        DeploymentStanding(row.pk, "p", "m", phase, None, "", None, None, None, 1.0)
        for row, phase in ((broken, "open"), (whole, "closed"))
    ]
    monkeypatch.setattr(state, "deployments", told)
    found = cards(desk)
    assert (found["Keys about to expire"]["figure"], found["Open breakers"]["figure"]) == ("1", "1")
    assert found["Open breakers"]["bad"]

    def listed(title: str) -> list[int]:
        return [row.pk for row in desk.client.get(found[title]["link"]).context["cl"].result_list]

    assert listed("Keys about to expire") == [ending.pk]
    assert listed("Open breakers") == [broken.pk]
    for title, card in found.items():
        assert desk.client.get(card["link"]).status_code == 200, title


@pytest.mark.parametrize(("range_", "first"), [("today", 11), ("month", 1)])
def test_today_and_this_month_begin_at_midnight(range_, first, monkeypatch):
    from apps.usage.admin import filters

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return NOW.replace(hour=17)

    monkeypatch.setattr(filters, "datetime", Clock)
    assert filters.since(range_) == NOW.replace(day=first, hour=0)
