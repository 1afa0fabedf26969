"""Prices in the admin."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from apps.audit.models import Record
from apps.catalog.models import Price
from tests import factories
from tests.control.desk import errors

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def actions(*, by) -> list[str]:
    return list(Record.objects.filter(actor_id=by.pk).order_by("pk").values_list("action", flat=True))


def new_price(desk, deployment, **values):
    return desk.send("catalog_price_add", deployment=deployment.pk, **({"input": "3", "output": "15"} | values))


def test_a_price_is_typed_in_dollars_and_kept_in_nano_dollars(desk):
    deployment = factories.deployment()
    assert new_price(desk, deployment, input="0.125", cache_read="0.0125").status_code == 302
    price = Price.objects.get()
    assert (price.input, price.output) == (125_000_000, 15_000_000_000)
    assert (price.cache_read, price.cache_write_5m) == (12_500_000, 125_000_000)
    text = desk.text("catalog_price_change", price.pk)
    assert "$0.125" in text
    assert "$0.0125" in text
    assert actions(by=desk.user) == ["price.set"]


def test_date_and_time_each_have_a_name(desk):
    text = desk.text("catalog_price_add")
    for name in ("In force from (UTC): date", "In force from (UTC): time"):
        assert text.count(f'aria-label="{name}"') == 1


def test_the_deployments_page_leads_to_a_price_for_it(desk):
    deployment = factories.deployment()
    response = desk.client.get(desk.url("catalog_deployment_add_price", deployment.pk), follow=True)
    assert f'<option value="{deployment.pk}" selected' in response.content.decode()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"input": ""}, "input"),
        ({"input": "-1"}, "input"),
        ({"input": "three"}, "input"),
        ({"input": "NaN"}, "input"),
        ({"input": "99999999999"}, "input"),
        ({"output": "0.0000000001"}, "output"),
        ({"effective_from_0": "2001-01-01"}, "effective_from"),
        ({"effective_from_0": "never"}, "effective_from"),
    ],
)
def test_what_a_price_cannot_be_is_told_at_its_field(wrong, field, desk):
    price = factories.price()
    response = new_price(desk, price.deployment, **wrong)
    assert list(errors(response)) == [field]
    assert Price.objects.count() == 1


def test_a_past_price_is_corrected_by_another_one(desk):
    wrong = factories.price(effective_from=timezone.now() - datetime.timedelta(days=3), input=10**9)
    began = {"effective_from_0": f"{wrong.effective_from:%Y-%m-%d}", "effective_from_1": "00:00:00"}
    assert errors(new_price(desk, wrong.deployment, **began))
    assert new_price(desk, wrong.deployment, **began, is_correction="on").status_code == 302
    right = Price.objects.latest("pk")
    assert right.effective_from.date() == wrong.effective_from.date()
    told = f"reprice --deployment {wrong.deployment_id} --since {right.effective_from:%Y-%m-%dT%H:%M}"
    assert told in desk.text("catalog_price_changelist")
    assert actions(by=desk.user) == ["price.corrected"]
    factories.price(wrong.deployment, effective_from=wrong.effective_from, is_correction=True)
    assert desk.text("catalog_price_changelist").count("in force<") == 1


def test_a_price_that_is_set_cannot_be_edited(desk):
    price = factories.price()
    assert 'name="input"' not in desk.text("catalog_price_change", price.pk)
    response = desk.client.post(desk.url("catalog_price_change", price.pk), {"input": "1", "output": "1"})
    assert response.status_code == 403
    price.refresh_from_db()
    assert price.input == 3_000_000_000


def test_a_price_in_force_stays_and_one_to_come_is_withdrawn(desk):
    price = factories.price()
    later = factories.price(price.deployment, effective_from=timezone.now() + datetime.timedelta(days=1))
    refused = desk.client.post(desk.url("catalog_price_delete", price.pk), {"post": "yes"}, follow=True)
    assert "set a new one" in refused.content.decode()
    assert desk.client.post(desk.url("catalog_price_delete", later.pk), {"post": "yes"}).status_code == 302
    assert list(Price.objects.all()) == [price]
    assert actions(by=desk.user) == ["price.withdrawn"]


def test_the_list_says_which_price_is_in_force(desk):
    now = timezone.now()
    deployment = factories.deployment()
    for days in (-9, 0, 9):
        Price.objects.create(
            deployment=deployment,
            effective_from=now + datetime.timedelta(days=days),
            **dict.fromkeys(("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), 1),
        )
    text = desk.text("catalog_price_changelist")
    assert [text.count(f">{state}<") for state in ("past", "in force", "to come")] == [1, 1, 1]
    factories.deployment()
    assert desk.text("catalog_deployment_changelist").count(">no price<") == 1
