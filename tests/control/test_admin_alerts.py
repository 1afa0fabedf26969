"""Alerts and increases in the admin: made, tried and decided there."""

from __future__ import annotations

import datetime
import re

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.alerts import sealed_urls
from apps.alerts.models import AlertRule, Delivery, Destination
from apps.audit.models import Record
from apps.catalog.models import AllowedNetwork
from apps.domain import money
from apps.quotas import increases
from apps.quotas import services as quotas
from apps.quotas.models import Increase
from tests.control import receivers
from tests.control.desk import errors

pytestmark = pytest.mark.django_db
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{44}")


@pytest.fixture
def hook(db):
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")
    with receivers.receiver() as found:
        yield found


def test_a_webhook_is_made_its_secret_shown_once_and_tried(desk, hook):
    made = desk.send("alerts_destination_add", name="Us", kind="webhook", target=hook.url)
    first = SECRET.search(made.content.decode())
    assert first is not None
    assert "no-store" in made["Cache-Control"]
    row = Destination.objects.get()
    assert not SECRET.search(desk.text("alerts_destination_change", row.pk))
    page = reverse("admin:alerts_destination_send_test", args=[row.pk])
    assert "Send a test to Us" in desk.client.get(page).content.decode()
    assert hook.heard == [], "looking sends nothing"
    assert "answered 204" in desk.client.post(page).content.decode()
    assert len(hook.heard) == 1
    rotate = reverse("admin:alerts_destination_rotate", args=[row.pk])
    second = SECRET.search(desk.client.post(rotate).content.decode())
    assert second is not None
    assert second[0] != first[0]
    assert "answered 204" in desk.text("alerts_destination_changelist")
    assert Delivery.objects.get().destination == row


def test_a_rule_is_made_with_the_usual_settings_and_changed(desk, acme):
    row = Destination.objects.create(name="Us", target="us@example.com")
    desk.send("alerts_alertrule_add", name="Money", kind="budget", settings="{}", destinations=[row.pk])
    rule = AlertRule.objects.get()
    assert rule.settings == {"percents": [50, 80, 100], "forecast": True}
    assert list(rule.destinations.all()) == [row]
    desk.send("alerts_alertrule_change", rule.pk, settings='{"percents": [10]}')
    rule.refresh_from_db()
    assert rule.settings["percents"] == [10]
    refused = desk.send("alerts_alertrule_change", rule.pk, settings='{"percents": "much"}')
    assert "up to ten whole numbers" in refused.content.decode()


def test_operators_decide_about_a_tenant_s_own_budget(desk, acme, alice):
    budget = quotas.create_budget(actor=None, amount=money.NANO, tenant=acme)
    until = timezone.now() + datetime.timedelta(days=1)
    asked = increases.request(budget, actor=alice, amount=money.NANO, reason="Friday", until=until)
    assert "1 to decide" in desk.text("quotas_budget_change", budget.pk)
    desk.act("quotas_increase_changelist", "approve", asked, note="Enjoy")
    asked.refresh_from_db()
    assert (asked.state, asked.note, asked.decided_by) == ("approved", "Enjoy", desk.user)
    assert "more until" in desk.text("quotas_budget_changelist")
    desk.act("quotas_increase_changelist", "end", asked, note="")
    assert Increase.objects.get().state == "withdrawn"


HOOK = "https://hooks.example.com/services/T000/B000/canary-of-the-url"


@pytest.mark.once
@pytest.mark.parametrize("kind", ["slack", "webhook"])
def test_a_url_goes_in_and_never_comes_out_again(kind, desk):
    desk.send("alerts_destination_add", name="Us", kind=kind, target=HOOK)
    row = Destination.objects.get()
    assert desk.send("alerts_destination_change", row.pk, name="Them").status_code == 302
    row.refresh_from_db()
    assert (row.name, sealed_urls.url_of(row)) == ("Them", HOOK)
    again = desk.send("alerts_destination_add", name="No", kind=kind, target=row.shown)
    assert "how it is shown" in errors(again)["target"][0]
    assert "how it is shown" in errors(desk.send("alerts_destination_change", row.pk, target=row.shown))["target"][0]
    other = HOOK.replace("T000", "T111")
    desk.send("alerts_destination_change", row.pk, target=other)
    row.refresh_from_db()
    assert sealed_urls.url_of(row) == other
    pages = [desk.text("alerts_destination_change", row.pk), desk.text("alerts_destination_history", row.pk)]
    pages += [desk.text("alerts_destination_changelist"), desk.text("audit_record_changelist")]
    pages += [f"{record.before} {record.after}" for record in Record.objects.all()]
    assert not [page for page in pages if "canary-of-the-url" in page]
    assert "https://hooks.example.com/…" in pages[0]
