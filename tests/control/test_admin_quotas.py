"""Budgets and limits in the admin."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from apps.audit.models import Record
from apps.quotas import services as quotas
from apps.quotas.models import Budget, BudgetWindow, Limit
from tests import factories
from tests.control.desk import errors

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)
DOLLAR = 1_000_000_000


def actions(*, by) -> list[str]:
    return list(Record.objects.filter(actor_id=by.pk).order_by("pk").values_list("action", flat=True))


def spent(budget: Budget, amount: int) -> BudgetWindow:
    now = timezone.now()
    return BudgetWindow.objects.create(
        budget=budget, starts=now - DAY, ends=now + DAY, limit=budget.amount, settled=amount
    )


def test_a_budget_is_typed_in_dollars(desk, acme):
    response = desk.send("quotas_budget_add", tenant=acme.pk, amount="12.50", period="week")
    assert response.status_code == 302, errors(response)
    budget = Budget.objects.get()
    assert (budget.tenant, budget.amount, budget.period, budget.timezone) == (acme, 12_500_000_000, "week", "")
    assert actions(by=desk.user) == ["budget.created"]
    form = desk.form("quotas_budget_change", budget.pk)
    assert form["amount"] == "12.5"
    assert desk.send("quotas_budget_change", budget.pk, amount="20").status_code == 302
    budget.refresh_from_db()
    assert budget.amount == 20 * DOLLAR
    history = desk.text("quotas_budget_history", budget.pk)
    assert "$12.50" in history
    assert "$20.00" in history


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"tenant": ""}, ""),
        ({"amount": ""}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "much"}, "amount"),
        ({"amount": "1e-10"}, "amount"),
        ({"amount": "9000000000", "overdraft": "1"}, "overdraft"),
        ({"overdraft": "-1"}, "overdraft"),
        ({"period": "year"}, "period"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
    ],
)
def test_what_a_budget_cannot_be_is_told_at_its_field(wrong, field, desk, acme):
    response = desk.send("quotas_budget_add", **({"tenant": acme.pk, "amount": "5"} | wrong))
    assert list(errors(response)) == [field]
    assert not Budget.objects.exists()


def test_a_budget_has_one_subject(desk, website, alice):
    two = desk.send("quotas_budget_add", project=website.pk, user=alice.pk, amount="5")
    assert errors(two) == {"": ["Choose exactly one of tenant, project, user, key, model or endpoint."]}
    narrowed = desk.send("quotas_budget_add", user=alice.pk, tenant=website.tenant_id, amount="5")
    assert narrowed.status_code == 302
    assert "alice in Acme" in desk.text("quotas_budget_changelist")


def test_a_budget_keeps_its_subject_and_its_period(desk, acme, globex):
    budget = quotas.create_budget(actor=None, tenant=acme, amount=5 * DOLLAR, period="month")
    desk.send("quotas_budget_change", budget.pk, tenant=globex.pk, period="day", amount="6")
    budget.refresh_from_db()
    assert (budget.tenant, budget.period, budget.amount) == (acme, "month", 6 * DOLLAR)


@pytest.mark.once
def test_the_subject_is_chosen_already_where_the_link_names_it(desk, website):
    key = factories.key(website).key
    for page in ("quotas_budget_add", "quotas_limit_add"):
        assert desk.form(page, key=key.pk)["key"] == str(key.pk)


@pytest.mark.once
@pytest.mark.parametrize(("amount", "tone"), [(0, "good"), (79, "good"), (80, "warn"), (100, "bad"), (130, "bad")])
def test_the_bar_turns_as_the_budget_goes(amount, tone, desk, acme):
    budget = quotas.create_budget(actor=None, tenant=acme, amount=100 * DOLLAR, period="month")
    spent(budget, amount * DOLLAR)
    text = desk.text("quotas_budget_changelist")
    assert f"weir-bar-{tone}" in text
    assert f"${amount}.00 · {amount} %" in text
    assert f"{amount} %" in desk.text("quotas_budget_change", budget.pk)


def test_what_is_held_is_shown_apart_from_what_is_spent(desk, acme):
    budget = quotas.create_budget(actor=None, tenant=acme, amount=100 * DOLLAR, overdraft=100 * DOLLAR, period="month")
    window = spent(budget, 30 * DOLLAR)
    held = {"held": 15 * DOLLAR, "credit": 5 * DOLLAR, "ceiling": 200 * DOLLAR, "overrun": 2 * DOLLAR}
    BudgetWindow.objects.filter(pk=window.pk).update(**held)
    for page in (desk.text("quotas_budget_changelist"), desk.text("quotas_budget_change", budget.pk)):
        assert "$30.00 · $20.00 held · 30 %" in page
        assert '<rect width="15" height="8"/><rect class="weir-held" x="15" width="10" height="8"/>' in page
        assert '<rect class="weir-mark" x="50"' in page
    assert "+ $100.00 overdraft" in page
    assert "$2.00" in page


def test_the_overdraft_is_explained_and_a_figure_suggested(desk, acme):
    assert "How far calls in flight may take a period past its amount" in desk.text("quotas_budget_add")
    deployment = factories.deployment(factories.model("claude-dear", max_output_tokens=100_000))
    factories.price(deployment, output=24_000_000_000)
    page = desk.text("quotas_budget_add")
    assert "The longest answer of claude-dear, the dearest model here, costs $2.40" in page
    assert "$24.00 is enough for 10 such calls at one time" in page
    assert desk.send("quotas_budget_add", tenant=acme.pk, amount="5", overdraft="2.5").status_code == 302
    assert Budget.objects.get().overdraft == 2_500_000_000
    history = desk.text("quotas_budget_history", Budget.objects.get().pk)
    assert "$2.50" in history


def test_a_fixed_period_is_from_a_day_to_a_day_and_may_be_made_longer(desk, acme):
    fixed = {"tenant": acme.pk, "amount": "5", "period": "fixed"}
    assert list(errors(desk.send("quotas_budget_add", **fixed))) == ["starts_on"]
    wrong = desk.send("quotas_budget_add", **fixed, starts_on="2026-12-01", ends_on="2026-11-30")
    assert list(errors(wrong)) == ["ends_on"]
    stray = desk.send("quotas_budget_add", tenant=acme.pk, amount="5", period="day", ends_on="2026-11-30")
    assert list(errors(stray)) == ["period"]
    assert desk.send("quotas_budget_add", **fixed, starts_on="2026-12-01", ends_on="2026-12-24").status_code == 302
    budget = Budget.objects.get()
    assert desk.send("quotas_budget_change", budget.pk, ends_on="2026-12-31").status_code == 302
    budget.refresh_from_db()
    assert (str(budget.starts_on), str(budget.ends_on), budget.period) == ("2026-12-01", "2026-12-31", "fixed")
    assert "2026-12-01 to 2026-12-31" in desk.text("quotas_budget_changelist")


@pytest.mark.once
def test_a_budget_of_nothing_is_full(desk, acme):
    quotas.create_budget(actor=None, tenant=acme, amount=0, period="month")
    assert "weir-bar-bad" in desk.text("quotas_budget_changelist")


def test_only_the_present_period_counts(desk, acme):
    budget = quotas.create_budget(actor=None, tenant=acme, amount=100 * DOLLAR, period="month")
    window = spent(budget, 99 * DOLLAR)
    BudgetWindow.objects.filter(pk=window.pk).update(ends=timezone.now() - DAY / 2)
    assert "$0.00 · 0 %" in desk.text("quotas_budget_changelist")
    assert "$99.00 · 99 %" in desk.text("quotas_budget_change", budget.pk)


def test_a_budget_is_kept_and_the_reason_told(desk, acme):
    budget = quotas.create_budget(actor=None, tenant=acme, amount=DOLLAR, period="month")
    response = desk.client.post(desk.url("quotas_budget_delete", budget.pk), {"post": "yes"}, follow=True)
    assert "disable it instead" in response.content.decode()
    assert Budget.objects.exists()


def test_a_limit_is_added_changed_and_deleted_and_all_is_recorded(desk, website):
    key = factories.key(website).key
    assert desk.send("quotas_limit_add", key=key.pk, requests_per_minute="60").status_code == 302
    limit = Limit.objects.get()
    assert desk.send("quotas_limit_change", limit.pk, requests_per_minute="", concurrency="5").status_code == 302
    limit.refresh_from_db()
    assert (limit.requests_per_minute, limit.tokens_per_minute, limit.concurrency) == (None, None, 5)
    assert desk.client.post(desk.url("quotas_limit_delete", limit.pk), {"post": "yes"}).status_code == 302
    assert not Limit.objects.exists()
    assert actions(by=desk.user) == ["limit.created", "limit.updated", "limit.deleted"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, ""),
        ({"requests_per_minute": "0"}, "requests_per_minute"),
        ({"tokens_per_minute": "-5"}, "tokens_per_minute"),
        ({"concurrency": "many"}, "concurrency"),
        ({"requests_per_minute": "1", "project": "987654"}, "project"),
    ],
)
def test_what_a_limit_cannot_be_is_told_at_its_field(wrong, field, desk, acme):
    found = errors(desk.send("quotas_limit_add", **({"tenant": acme.pk} | wrong)))
    assert field in found
    assert not Limit.objects.exists()


def test_rules_are_switched_from_their_lists(desk, acme):
    budget = quotas.create_budget(actor=None, tenant=acme, amount=DOLLAR, period="month")
    limit = quotas.create_limit(actor=None, tenant=acme, concurrency=1)
    for page, row in (("quotas_budget", budget), ("quotas_limit", limit)):
        for action, state in (("disable", False), ("enable", True)):
            desk.act(f"{page}_changelist", action, row)
            row.refresh_from_db()
            assert row.is_enabled is state
    assert actions(by=desk.user) == ["budget.updated"] * 2 + ["limit.updated"] * 2


@pytest.mark.once
def test_keys_of_one_name_are_told_apart(desk, website):
    keys = [factories.key(website, name="Laptop").key for _ in range(2)]
    for key in keys:
        quotas.create_budget(actor=None, key=key, amount=DOLLAR, period="month")
        quotas.create_limit(actor=None, key=key, concurrency=1)
    for page in ("quotas_budget_changelist", "quotas_limit_changelist"):
        text = desk.text(page)
        assert all(key.prefix in text for key in keys), page


def test_rules_are_found_by_their_subject(desk, acme, globex):
    mine = quotas.create_budget(actor=None, tenant=acme, amount=DOLLAR, period="month")
    quotas.create_budget(actor=None, tenant=globex, amount=DOLLAR, period="month")
    for query in ({"q": "Acm"}, {"tenant__id__exact": acme.pk}):
        assert list(desk.get("quotas_budget_changelist", **query).context["cl"].result_list) == [mine], query
