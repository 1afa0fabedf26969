"""Budgets in the portal: seen by whom they restrain, set by whoever may, raised for a while by asking."""

from __future__ import annotations

import datetime
import re

import pytest
from django.utils import timezone

from apps.audit import selectors as audit
from apps.domain import money
from apps.quotas import increases, selfservice
from apps.quotas import services as quotas
from apps.quotas.models import Budget, BudgetWindow, Increase
from apps.tenants.models import Membership
from tests import factories
from tests.portal.visitor import errors

DOLLAR = money.NANO
DAY = datetime.timedelta(days=1)
LATER = (timezone.now() + 3 * DAY).strftime("%Y-%m-%dT%H:%M")
MORE = {"amount": "5", "until": LATER, "reason": "A workshop on Friday"}


@pytest.fixture
def own(website, bob):
    """A budget of Bob's own key, which an operator has set."""
    key = factories.key(website, name="Laptop", user=bob).key
    return quotas.create_budget(actor=None, amount=10 * DOLLAR, key=key)


def burn(budget, *, settled, held=0):
    now = timezone.now()
    return BudgetWindow.objects.create(
        budget=budget, starts=now - DAY, ends=now + DAY, limit=budget.amount, settled=settled, held=held
    )


def test_spent_and_held_are_told_apart_with_period_and_time_zone(visit, acme, own, bob):
    quotas.update_budget(own, actor=None, timezone="Asia/Tokyo")
    burn(own, settled=3 * DOLLAR, held=2 * DOLLAR)
    page = visit(bob).text("budgets")
    assert "key Laptop" in page
    assert "$3.00" in page
    assert "$2.00" in page
    assert "Monthly" in page
    assert "Asia/Tokyo" in page


def test_whoever_has_spent_all_still_sees_it_and_may_ask_for_more(visit, own, bob):
    burn(own, settled=10 * DOLLAR)
    assert "used up" in visit(bob).text("budgets")
    assert "Ask for more" in visit(bob).text("budgets-one", budget=own.pk)
    assert visit(bob).send("budgets-ask", MORE, budget=own.pk).status_code == 302
    asked = Increase.objects.get()
    assert (asked.amount, asked.requested_by, asked.state) == (5 * DOLLAR, bob, "requested")


PAGES = ("overview", "keys", "usage", "costs", "playground", "start")


def words(visitor, page):
    return re.sub(r"<[^>]+>", "", visitor.text(page))


def test_pages_say_which_budget_is_in_the_way_until_when_and_what_to_do(visit, own, bob):
    visitor, amount = visit(bob), own.amount
    assert "used up" not in words(visitor, "keys")
    window = burn(own, settled=amount - amount // 20)
    for settled, told in (
        (window.settled, "The budget of the key Laptop is nearly used up: $0.50 of $10.00 left"),
        (amount, "The budget of the key Laptop is used up: $10.00 of $10.00"),
    ):
        BudgetWindow.objects.update(settled=settled)
        for page in PAGES:
            said = words(visitor, page)
            assert told in said, page
            assert f"until {window.ends:%Y-%m-%d %H:%M:%S} (UTC), when it begins anew" in said
    assert visitor.url("budgets-ask", budget=own.pk) in visitor.text("usage")


def test_what_is_raised_or_anothers_or_switched_off_is_in_nobodys_way(visit, website, own, alice, bob):
    others = quotas.create_budget(actor=None, amount=DOLLAR, key=factories.key(website, user=alice).key)
    burn(others, settled=DOLLAR)
    burn(own, settled=own.amount)
    raised = increases.request(own, actor=bob, amount=own.amount, reason="x", until=timezone.now() + DAY)
    increases.approve(raised, actor=alice)
    assert "used up" not in visit(bob).text("keys")
    assert "used up" in visit(alice).text("keys"), "who sees all sees that of others"
    quotas.disable(others, actor=None)
    assert "used up" not in visit(alice).text("keys")


def test_an_increase_is_approved_by_who_manages_budgets_and_is_then_in_force(visit, own, alice, bob):
    visit(bob).send("budgets-ask", MORE, budget=own.pk)
    asked = Increase.objects.get()
    assert visit(bob).post("budgets-decide", {"to": "approve"}, increase=asked.pk).status_code == 403
    assert "Approve" in visit(alice).text("budgets")
    assert "Approve" not in visit(bob).text("budgets")
    visit(alice).post("budgets-decide", {"to": "approve", "note": "Have fun"}, increase=asked.pk)
    asked.refresh_from_db()
    assert (asked.state, asked.decided_by, asked.note) == ("approved", alice, "Have fun")
    assert Budget.objects.raised_at(timezone.now()).get(pk=own.pk).in_force == 15 * DOLLAR
    assert "$15.00" in visit(bob).text("budgets-one", budget=own.pk)
    twice = visit(alice).client.post(
        visit(alice).url("budgets-decide", increase=asked.pk), {"to": "decline"}, follow=True
    )
    assert "has been decided" in twice.content.decode()
    assert [record.action for record in audit.history(asked)] == ["increase.approved", "increase.requested"]
    visit(alice).post("budgets-decide", {"to": "withdraw"}, increase=asked.pk)
    assert Budget.objects.raised_at(timezone.now()).get(pk=own.pk).in_force == 10 * DOLLAR


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"amount": "-1"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "x" * 5000}, "amount"),
        ({"amount": "9000000001"}, "amount"),
        ({"until": "2020-01-01T00:00"}, "until"),
        ({"until": "2999-01-01T00:00"}, "until"),
        ({"until": "soon"}, "until"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
    ],
)
def test_what_cannot_be_asked_is_told_at_its_field(visit, own, bob, wrong, field):
    assert list(errors(visit(bob).send("budgets-ask", MORE | wrong, budget=own.pk))) == [field]
    assert not Increase.objects.exists()


def test_nobody_asks_twice_at_a_time(visit, own, bob):
    visit(bob).send("budgets-ask", MORE, budget=own.pk)
    assert "asked for more already" in errors(visit(bob).send("budgets-ask", MORE, budget=own.pk))[""][0]
    visit(bob).post("budgets-decide", {"to": "withdraw"}, increase=Increase.objects.get().pk)
    assert visit(bob).send("budgets-ask", MORE, budget=own.pk).status_code == 302


def test_the_tenant_s_own_budget_is_raised_by_operators_only(visit, acme, alice, bob, operator):
    budget = quotas.create_budget(actor=None, amount=DOLLAR, tenant=acme)
    assert "Whoever runs this installation" in visit(bob).text("budgets-ask", budget=budget.pk)
    visit(bob).send("budgets-ask", MORE, budget=budget.pk)
    asked = Increase.objects.get()
    assert visit(alice).post("budgets-decide", {"to": "approve"}, increase=asked.pk).status_code == 403
    visit(operator).post("budgets-decide", {"to": "approve"}, increase=asked.pk)
    asked.refresh_from_db()
    assert asked.state == "approved"


def test_what_is_another_tenant_s_is_not_there(visit, globex, own, bob, charlie):
    theirs = quotas.create_budget(actor=None, amount=DOLLAR, tenant=globex)
    visit(bob).send("budgets-ask", MORE, budget=own.pk)
    asked = Increase.objects.get()
    for page in ("budgets-one", "budgets-edit", "budgets-ask"):
        assert visit(charlie, globex).get(page, budget=own.pk).status_code == 404
        assert visit(bob).get(page, budget=theirs.pk).status_code == 404
    assert visit(charlie, globex).post("budgets-decide", {"to": "approve"}, increase=asked.pk).status_code == 404
    assert visit(charlie, globex).post("budgets-remove", budget=own.pk).status_code == 404


def test_an_owner_gives_projects_and_members_budgets(visit, website, alice, bob):
    member = Membership.objects.get(user=bob)
    for subject in (f"project-{website.pk}", f"member-{member.pk}"):
        response = visit(alice).send("budgets-new", {"subject": subject, "amount": "20", "period": "week"})
        assert response.status_code == 302
    made = list(Budget.objects.order_by("pk"))
    assert [(row.scope, row.amount, row.period) for row in made] == [
        ("project", 20 * DOLLAR, "week"), ("user", 20 * DOLLAR, "week"),
    ]  # fmt: skip
    visit(alice).send("budgets-edit", {"amount": "25"}, budget=made[0].pk)
    assert Budget.objects.get(pk=made[0].pk).amount == 25 * DOLLAR
    visit(alice).post("budgets-remove", budget=made[0].pk)
    assert not Budget.objects.filter(pk=made[0].pk).exists()


def test_a_budget_of_fixed_days_is_made_told_and_moved(visit, website, alice):
    today = datetime.datetime.now(datetime.UTC).date()
    first, last = today + datetime.timedelta(days=3), today + datetime.timedelta(days=9)
    days = {"starts_on": f"{first}", "ends_on": f"{last}"}
    asked = {"subject": f"project-{website.pk}", "amount": "20", **days}
    assert visit(alice).send("budgets-new", asked | {"period": "fixed"}).status_code == 302
    made = Budget.objects.get()
    assert (made.period, made.starts_on, made.ends_on) == ("fixed", first, last)
    assert f"from {first} to the end of {last}" in visit(alice).text("budgets-one", budget=made.pk)
    assert f"{first} to {last}" in visit(alice).text("budgets")
    later = last + datetime.timedelta(days=30)
    visit(alice).send("budgets-edit", {"ends_on": f"{later}"}, budget=made.pk)
    assert Budget.objects.get().ends_on == later
    for name, word in (("ends_on", "2001-01-01"), ("starts_on", ""), ("starts_on", "x"), ("ends_on", "")):
        assert set(errors(visit(alice).send("budgets-edit", {name: word}, budget=made.pk))) <= {"starts_on", "ends_on"}
    wrong = errors(visit(alice).send("budgets-new", asked | {"period": "fixed", "ends_on": f"{today}"}))
    assert list(wrong) == ["ends_on"]
    assert Budget.objects.count() == 1
    assert visit(alice).send("budgets-new", asked | {"period": "week"}).status_code == 302  # the days are unseen
    assert (Budget.objects.latest("pk").period, Budget.objects.latest("pk").starts_on) == ("week", None)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"subject": "project-999"}, "subject"), ({"amount": "-1"}, "amount"), ({"amount": "101"}, "amount"),
     ({"overdraft": "x"}, "overdraft"), ({"period": "year"}, "period")],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_told_at_its_field(visit, acme, website, alice, wrong, field):
    quotas.create_budget(actor=None, amount=100 * DOLLAR, tenant=acme)
    fields = {"subject": f"project-{website.pk}", "amount": "20", "period": "week"}
    assert list(errors(visit(alice).send("budgets-new", fields | wrong))) == [field]
    assert Budget.objects.count() == 1


def test_a_developer_sets_those_of_their_own_keys_and_changes_no_other(visit, website, own, alice, bob):
    theirs = factories.key(website, name="Hers", user=alice).key
    page = visit(bob).text("budgets-new")
    assert "Laptop" in page
    assert "Hers" not in page
    assert "Project" not in page.split("<select")[1]
    for subject in (f"project-{website.pk}", f"key-{theirs.pk}"):
        assert "subject" in errors(visit(bob).send("budgets-new", {"subject": subject, "amount": "5"}))
    visit(bob).send("budgets-new", {"subject": f"key-{own.key_id}", "amount": "5", "period": "day"})
    assert Budget.objects.filter(key=own.key_id).count() == 2
    assert visit(bob).get("budgets-edit", budget=own.pk).status_code == 403
    assert visit(bob).post("budgets-remove", budget=own.pk).status_code == 403


def test_viewers_see_all_and_set_nothing(visit, own, vera):
    assert "key Laptop" in visit(vera).text("budgets")
    assert visit(vera).get("budgets-new").status_code == 403
    assert visit(vera).get("budgets-edit", budget=own.pk).status_code == 403


def test_the_list_takes_few_queries_however_long_it_is(visit, acme, website, alice, bob, django_assert_max_num_queries):
    for _ in range(30):
        key = factories.key(website, user=bob).key
        budget = selfservice.set_budget(key, actor=bob, amount=DOLLAR)
        increases.request(budget, actor=bob, amount=1, reason="more", until=timezone.now() + DAY)
    visitor = visit(alice)
    with django_assert_max_num_queries(12):
        visitor.text("budgets")


def test_over_is_said_once_by_the_chore_and_counts_at_once(own, alice, bob, time_machine):
    asked = increases.request(own, actor=bob, amount=DOLLAR, reason="more", until=timezone.now() + DAY)
    increases.approve(asked, actor=alice)
    assert increases.expire(timezone.now()) == 0
    assert increases.expire(timezone.now() + 2 * DAY) == 1
    assert increases.expire(timezone.now() + 2 * DAY) == 0
    assert audit.history(asked).first().action == "increase.expired"
    assert Budget.objects.raised_at(timezone.now()).get(pk=own.pk).in_force == 10 * DOLLAR
