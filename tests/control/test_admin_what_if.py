"""What a price or a budget would do, told from the rollups before anybody sets it; and what prices were."""

from __future__ import annotations

import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.audit.models import Record
from apps.catalog import services as catalog
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.quotas import services as quotas
from apps.quotas.models import BudgetWindow
from apps.usage import ledger, rollups, what_if
from tests import factories
from tests.control.desk import Desk
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.django_db
CARD = PriceCard(
    version=0, effective_from=0, input=2 * 10**9, output=10**10, cache_read=0, cache_write_5m=0, cache_write_1h=0
)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def deployment():
    made = factories.deployment(factories.model("m"), factories.provider("P"), upstream_model="u")
    factories.price(made)
    return made


def call(deployment, hours_ago: float, *, cost: int = 30, tokens: int = 1_000_000, **subject: int) -> None:
    at = (timezone.now() - hours_ago * HOUR).timestamp()
    served = {"model_id": deployment.model_id, "provider_id": deployment.provider_id, "deployment_id": deployment.pk}
    usage = TokenUsage(in_fresh=tokens, out_total=0)
    ledger.post([outcome(intent(at=at, **served, **subject), cost=cost, usage=usage)])


def test_the_last_week_at_another_price(deployment, acme):
    for hours in (3, 30, 24 * 9):
        call(deployment, hours, tenant_id=acme.pk)
    call(factories.deployment(), 3, tenant_id=acme.pk)
    rollups.roll_up()
    with CaptureQueriesContext(connection) as queries:
        found = what_if.priced(deployment, CARD, now=timezone.now())
    assert (found.calls, found.booked, found.would_be, found.shared) == (2, 60, 4 * 10**9, 1)
    assert not any("usage_entry" in query["sql"] for query in queries), "rollups only"


def test_the_page_of_a_price_changes_nothing(desk, deployment, acme):
    call(deployment, 3, tenant_id=acme.pk, cost=10**9)
    rollups.roll_up()
    before = Record.objects.count()
    asked = desk.get("what_if_price", deployment.pk)
    assert [asked.context["form"].initial[name] for name in ("input", "output")] == [3 * 10**9, 15 * 10**9]
    page = desk.text("what_if_price", deployment.pk, input="2", output="10")
    assert "$1.00" in page
    assert "$2.00" in page
    assert "+100.0 %" in page
    assert desk.url("what_if_price", deployment.pk) in desk.text("catalog_deployment_change", deployment.pk)
    assert Record.objects.count() == before


def test_who_would_be_stopped_by_a_smaller_budget(desk, deployment, website):
    acme = website.tenant
    budget = quotas.create_budget(actor=None, tenant=acme, amount=100 * 10**9)
    now = timezone.now()
    BudgetWindow.objects.create(
        budget=budget, starts=now - HOUR, ends=now + HOUR, limit=budget.amount, settled=42 * 10**9
    )
    key = factories.key(website, name="spender").key
    call(deployment, 3, tenant_id=acme.pk, project_id=website.pk, key_id=key.pk, cost=5 * 10**9)
    rollups.roll_up()
    whole = what_if.stopped(budget, 43 * 10**9, now=now)
    assert (whole.is_spent, [caller.name for caller in whole.callers]) == (False, ["spender"])
    assert what_if.stopped(budget, 42 * 10**9, now=now).is_spent
    page = desk.text("what_if_budget", budget.pk, amount="40")
    for told in ("It would be spent", "$42.00", "spender", "$5.00"):
        assert told in page
    assert "Nobody would be stopped now" in desk.text("what_if_budget", budget.pk, amount="50")
    budget.refresh_from_db()
    assert budget.amount == 100 * 10**9


@pytest.mark.once
@pytest.mark.parametrize("value", ["", "-1", "x", "1e99", "0.0000000001"])
def test_no_amount_is_told_at_its_field(desk, deployment, acme, value):
    budget = quotas.create_budget(actor=None, tenant=acme, amount=1)
    assert list(desk.get("what_if_budget", budget.pk, amount=value).context["form"].errors) == ["amount"]
    answer = desk.get("what_if_price", deployment.pk, input=value, output="1")
    assert list(answer.context["form"].errors) == ["input"]


@pytest.mark.once
def test_what_there_is_not_and_what_one_may_not_see(deployment, acme, desk):
    budget = quotas.create_budget(actor=None, tenant=acme, amount=1)
    for word in ("0", "99999", "9" * 30, "x"):
        assert desk.get("what_if_price", word).status_code == 404
        assert desk.get("what_if_budget", word).status_code == 404
    stranger = Desk(factories.staff("quotas.view_budget", "catalog.view_price"))
    assert stranger.get("what_if_budget", budget.pk).status_code == 403
    assert stranger.get("what_if_price", deployment.pk).status_code == 403


# --- what prices were ----------------------------------------------------------------------------------------------


def listing(desk: Desk, row, title: str):
    page = f"{row._meta.app_label}_{row._meta.model_name}_change"
    (found,) = [one for one in desk.get(page, row.pk).context["listings"] if one.title == title]
    return found


@pytest.mark.once
def test_what_has_no_price_says_so(desk):
    found = listing(desk, factories.deployment(), "Price history")
    assert (found.table, found.empty) == ("", "It has no price: no call that a budget pays for goes there.")


def test_prices_are_shown_with_how_they_moved_and_what_comes(desk, deployment):
    assert "polyline" not in listing(desk, deployment, "Price history").table
    coming = timezone.now() + datetime.timedelta(days=30)
    catalog.set_price(deployment, actor=None, effective_from=coming, input=6 * 10**9, output=15 * 10**9)
    found = listing(desk, deployment, "Price history")
    assert "$6.00 (+100 %)" in found.table
    assert found.table.count("polyline") == 2
    assert len(desk.client.get(found.link).context["cl"].result_list) == 2
    for row in (deployment.model, deployment.provider):
        shown = listing(desk, row, "Prices in force")
        assert "$3.00 / $15.00" in shown.table
        assert f"{coming:%Y-%m-%d}" in shown.table
        assert [one.pk for one in desk.client.get(shown.link).context["cl"].result_list] == [deployment.pk]
