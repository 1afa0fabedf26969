"""Alerts in the portal: rules and destinations of one's own tenant, tried at once, with what was told."""

from __future__ import annotations

import datetime
import re

import pytest
from django.utils import timezone

from apps.alerts import evaluation, services
from apps.alerts.models import Alert, AlertRule, Delivery, Destination
from apps.domain import money
from apps.quotas import services as quotas
from apps.quotas.models import BudgetWindow
from tests.portal.visitor import errors

RULE = {"name": "Money", "percents": "50, 80", "forecast": "on", "is_enabled": "on"}
PLACE = {"name": "Us", "kind": "email", "target": "us@example.com"}
HOOK = {"name": "Hook", "kind": "webhook", "target": "https://example.com/hook"}
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{44}")


@pytest.fixture
def place(acme):
    return services.create_destination(actor=None, tenant=acme, **PLACE).destination


@pytest.fixture
def watched(acme, place):
    return services.create_rule(actor=None, tenant=acme, kind="budget", name="Money", destinations=[place])


def test_a_rule_is_made_told_and_shown_with_its_history(visit, acme, alice):
    visit(alice).send("alerts-destination-new", PLACE)
    place = Destination.objects.get()
    url = visit(alice).url("alerts-rule-new") + "?kind=budget"
    assert visit(alice).client.post(url, RULE | {"destinations": place.pk}).status_code == 302
    rule = AlertRule.objects.get()
    assert (rule.tenant, rule.settings) == (acme, {"percents": [50, 80], "forecast": True})
    assert list(rule.destinations.all()) == [place]
    now = timezone.now()
    budget = quotas.create_budget(actor=None, amount=10 * money.NANO, tenant=acme)
    spans = {"starts": now - datetime.timedelta(days=1), "ends": now + datetime.timedelta(days=1)}
    BudgetWindow.objects.create(budget=budget, limit=budget.amount, settled=9 * money.NANO, **spans)
    evaluation.evaluate(now)
    page = visit(alice).text("alerts")
    assert "is spent to 90 %" in page
    assert "raised" in page
    assert "On its way" in page


def test_each_kind_has_its_form_and_operators_kinds_have_none(visit, alice):
    page = visit(alice).text("alerts-rule-new")
    kinds = re.findall(r"\?kind=(\w+)", page)
    assert kinds == ["budget", "errors", "unconfirmed", "key_expiry", "key_unused"]
    for kind in kinds:
        assert 'name="name"' in visit(alice).text("alerts-rule-new", {"kind": kind})
    for kind in ("provider", "breaker", "x" * 1000):
        assert 'name="name"' not in visit(alice).text("alerts-rule-new", {"kind": kind})


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"percents": "0"}, "percents"), ({"percents": "x"}, "percents"), ({"percents": ""}, "percents"),
        ({"percents": "9" * 4001}, "percents"), ({"name": ""}, "name"), ({"name": "x" * 101}, "name"),
        ({"project": "999"}, "project"), ({"destinations": "999"}, "destinations"),
    ],
)  # fmt: skip
def test_what_cannot_be_watched_is_told_at_its_field(visit, watched, alice, wrong, field):
    assert list(errors(visit(alice).send("alerts-rule", wrong, rule=watched.pk))) == [field]
    watched.refresh_from_db()
    assert (watched.name, watched.settings["percents"]) == ("Money", [50, 80, 100])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"target": "nobody"}, "target"), ({"target": ""}, "target"), ({"kind": "pager"}, "kind"),
        ({"name": ""}, "name"),
        ({"kind": "slack", "target": "https://10.0.0.1/"}, "target"),
        ({"kind": "webhook", "target": "http://example.com/"}, "target"),
        ({"kind": "webhook", "target": "https://" + "x" * 1000}, "target"),
    ],
)  # fmt: skip
def test_where_nothing_may_be_sent_is_told_at_its_field(visit, alice, wrong, field):
    assert list(errors(visit(alice).send("alerts-destination-new", PLACE | wrong))) == [field]
    assert not Destination.objects.exists()


def test_a_webhook_s_secret_is_shown_once_and_another_by_rotating(visit, alice):
    made = visit(alice).send("alerts-destination-new", HOOK)
    hook = Destination.objects.get()
    first = SECRET.search(made.content.decode())
    assert first is not None
    assert made["Cache-Control"] == "no-store"
    assert not SECRET.search(visit(alice).text("alerts-destination", destination=hook.pk))
    rotated = SECRET.search(visit(alice).post("alerts-rotate", destination=hook.pk).content.decode())
    assert rotated is not None
    assert rotated[0] != first[0]
    assert "https://example.com/…" in visit(alice).text("alerts")


def test_a_test_says_what_came_of_it(visit, place, alice):
    page = visit(alice).client.post(visit(alice).url("alerts-test", destination=place.pk), follow=True)
    assert "no mail server is set" in page.content.decode()
    assert Delivery.objects.get().event == "alert.test"


def test_it_is_changed_and_removed(visit, watched, place, alice):
    visit(alice).send("alerts-rule", {"name": "Gold", "percents": "10", "is_enabled": None}, rule=watched.pk)
    watched.refresh_from_db()
    assert (watched.name, watched.settings["percents"], watched.is_enabled) == ("Gold", [10], False)
    visit(alice).send("alerts-destination", {"target": "them@example.com"}, destination=place.pk)
    place.refresh_from_db()
    assert place.target == "them@example.com"
    visit(alice).post("alerts-rule-remove", rule=watched.pk)
    visit(alice).post("alerts-destination-remove", destination=place.pk)
    assert not AlertRule.objects.exists()
    assert not Destination.objects.exists()


def test_viewers_manage_alerts_and_developers_do_not(visit, watched, vera, bob):
    assert "Money" in visit(vera).text("alerts")
    for page in ("alerts", "alerts-rule-new", "alerts-destination-new"):
        assert visit(bob).get(page).status_code == 403
    assert visit(bob).post("alerts-rule-remove", rule=watched.pk).status_code == 403


def test_what_is_another_tenant_s_or_the_operators_is_not_there(visit, globex, watched, place, alice, charlie):
    ours = services.create_destination(actor=None, tenant=None, **PLACE).destination
    wide = services.create_rule(actor=None, tenant=None, kind="provider", name="Wide")
    for who, at, rule, destination in ((charlie, globex, watched, place), (alice, watched.tenant, wide, ours)):
        visitor = visit(who, at)
        assert visitor.get("alerts-rule", rule=rule.pk).status_code == 404
        assert visitor.get("alerts-destination", destination=destination.pk).status_code == 404
        assert visitor.post("alerts-rule-remove", rule=rule.pk).status_code == 404
        for page in ("alerts-test", "alerts-rotate", "alerts-destination-remove"):
            assert visitor.post(page, destination=destination.pk).status_code == 404


def test_the_page_takes_few_queries(visit, acme, watched, alice, django_assert_max_num_queries):
    now = timezone.now()
    for number in range(60):
        alert = Alert.objects.create(
            rule=watched, subject=str(number), title="t", text="t", raised_at=now, seen_at=now, tenant_id=acme.pk
        )
        Delivery.objects.create(reason=str(number), alert=alert, event="alert.raised", body={})
    visitor = visit(alice)
    with django_assert_max_num_queries(15):
        assert visitor.text("alerts").count("raised") >= 50
