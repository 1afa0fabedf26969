"""Gaps, sealed months, and who is led to which of the pages about money."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from apps.catalog import selectors as catalog
from apps.catalog.models import Price
from apps.domain import money
from apps.quotas.models import Budget, BudgetWindow, Gap
from apps.usage import ledger, recovery
from apps.usage.models import Entry, SealedMonth
from apps.usage.records import Checkpoint
from tests import factories
from tests.control.desk import Desk
from tests.money.calls import intent

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)
DOLLAR = 1_000_000_000


@pytest.fixture
def budget(acme) -> Budget:
    return Budget.objects.create(tenant=acme, amount=9 * DOLLAR, period="month")


def gap(budget: Budget, *, replica: str, amount: int, **fields) -> Gap:
    now = timezone.now()
    window, _ = BudgetWindow.objects.get_or_create(
        budget=budget,
        starts=now.replace(hour=0, minute=0, second=0, microsecond=0),
        defaults={"ends": now + DAY, "limit": budget.amount},
    )
    return Gap.objects.create(replica=replica, lease=1, window=window, amount=amount, **fields)


def test_gaps_are_listed_and_told_apart(desk, budget):
    found = gap(budget, replica="host-lost", amount=3_800_000_000)
    known = gap(budget, replica="host-back", amount=5 * DOLLAR, closed_at=timezone.now())
    shown = {state: desk.text("quotas_gap_changelist", **state_of(state)) for state in ("", "open", "closed")}
    assert [("host-lost" in text, "host-back" in text) for text in shown.values()] == [
        (True, True),
        (True, False),
        (False, True),
    ]
    assert "$3.80" in shown["open"]
    assert desk.url("quotas_budget_change", budget.pk) in shown["open"]
    assert "given up" in desk.text("quotas_gap_change", found.pk)
    assert "turned up" in desk.text("quotas_gap_change", known.pk)
    assert desk.get("quotas_gap_add").status_code == 403


def test_a_gap_leads_to_its_budget_whoever_may_open_that(budget):
    found = gap(budget, replica="host", amount=DOLLAR)
    for permissions in (("quotas.view_gap",), ("quotas.view_gap", "quotas.view_budget")):
        desk = Desk(factories.staff(*permissions))
        link = desk.url("quotas_budget_change", budget.pk)
        for text in (desk.text("quotas_gap_changelist"), desk.text("quotas_gap_change", found.pk)):
            assert f"tenant {budget.tenant}" in text
            assert (link in text) == ("quotas.view_budget" in permissions)
            assert (link in text) == (desk.client.get(link).status_code == 200)


def state_of(state: str) -> dict[str, str]:
    return {"state": state} if state else {}


def test_no_gaps_are_the_good_state(desk):
    text = desk.text("quotas_gap_changelist")
    assert "No gaps<" in text
    assert "good state" in text


def test_an_open_gap_stands_on_the_first_page_and_on_its_budgets(desk, budget):
    gap(budget, replica="host", amount=3_800_000_000)
    first, page = desk.text("index"), desk.text("quotas_budget_change", budget.pk)
    assert f"{desk.url('quotas_gap_changelist')}?state=open" in first
    assert "up to $3.80" in first
    assert f"window__budget__id__exact={budget.pk}" in page
    narrowed = desk.text("quotas_gap_changelist", state="open", window__budget__id__exact=budget.pk)
    assert "$3.80" in narrowed
    Gap.objects.update(closed_at=timezone.now())
    assert "Lost with a disk" not in desk.text("quotas_budget_change", budget.pk)


def test_sealed_months_are_listed_with_what_they_came_to(desk):
    assert "ledger_seal" in desk.text("usage_sealedmonth_changelist")
    month = datetime.datetime(2025, 3, 1, tzinfo=datetime.UTC)
    seal = SealedMonth.objects.create(
        month=month, number=1, rows=1_234, rows_posted=1_234, cost_nano=7 * DOLLAR, finished_at=timezone.now()
    )
    for text in (desk.text("usage_sealedmonth_changelist"), desk.text("usage_sealedmonth_change", seal.pk)):
        assert ["2025-03" in text, "1,234" in text, "$7.00" in text] == [True] * 3


@pytest.mark.parametrize(
    "permission", ["usage.view_entry", "usage.view_refusal", "catalog.view_provider", "quotas.view_gap"]
)
def test_every_card_of_the_first_page_opens_for_who_sees_it(permission, budget):
    gap(budget, replica="host", amount=DOLLAR)
    desk = Desk(factories.staff(permission))
    cards = desk.get("index").context["cards"]
    assert cards
    assert [card["title"] for card in cards if desk.client.get(card["link"]).status_code != 200] == []


def test_a_tenants_page_offers_no_rule_to_who_may_only_look(acme):
    desk = Desk(factories.staff("tenants.view_tenant", "quotas.view_budget", "quotas.view_limit"))
    text = desk.text("tenants_tenant_change", acme.pk)
    assert desk.url("quotas_budget_add") not in text
    assert desk.url("quotas_limit_add") not in text


@pytest.mark.parametrize(
    ("page", "title"),
    [("usage_unconfirmed_changelist", "Unconfirmed usage"), ("usage_verification_changelist", "Checks of the books")],
)
def test_a_page_is_called_what_the_menu_calls_it(page, title, desk):
    text = desk.text(page)
    assert text.count(title) >= 2
    assert "Unconfirmed calls" not in text
    assert "Verifications" not in text


def test_a_correction_starts_from_what_it_corrects(desk):
    price = factories.price()
    response = desk.client.get(desk.url("catalog_price_correct", price.pk), follow=True)
    assert response.status_code == 200
    form = desk.form("catalog_price_add", corrects=price.pk)
    assert form["deployment"] == str(price.deployment_id)
    assert int(float(form["input"]) * DOLLAR) == price.input
    assert form["is_correction"] == "on"
    assert form["effective_from_0"] == f"{price.effective_from:%Y-%m-%d}"


def test_a_correction_takes_the_place_of_a_price_that_began_within_a_second(desk):
    began = datetime.datetime(2026, 3, 1, 12, 0, 0, 455_676, tzinfo=datetime.UTC)
    price = factories.price(effective_from=began)
    form = desk.form("catalog_price_add", corrects=price.pk)
    assert desk.client.post(desk.url("catalog_price_add"), form | {"input": "7"}).status_code == 302
    right = Price.objects.exclude(pk=price.pk).get()
    assert (right.effective_from, right.input) == (began, 7 * DOLLAR)


def test_the_breakdown_of_an_interrupted_call_shows_the_guess_in_its_cost(desk, website):
    price = factories.price()
    call = intent(
        tenant_id=website.tenant_id,
        project_id=website.pk,
        deployment_id=price.deployment_id,
        card=catalog.price_card(price.pk),
        reserved=10 * DOLLAR,
        input_tokens=1_000,
    )
    seen = Checkpoint(at=call.started_at + 4, output_tokens=600, reserved=call.reserved)
    entry = Entry.objects.get(pk=ledger.post([recovery.unconfirmed(call, seen)]).pop())
    text = desk.text("usage_entry_change", entry.pk)
    assert "a guess" in text
    assert ">300<" in text  # half of what came in four seconds
    assert money.exact(300 * price.output // 1_000_000) in text
