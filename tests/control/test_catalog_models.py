"""Models, deployments and prices: what can be, and what a change does."""

from __future__ import annotations

import datetime

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from apps.audit import selectors as audit
from apps.audit.models import Record
from apps.catalog import selectors, services
from apps.catalog.models import Deployment, Model, Price
from apps.domain import pricing
from tests import factories

pytestmark = pytest.mark.django_db


# --- models and deployments ------------------------------------------------------------------------------------


def test_names_and_aliases_are_one_namespace():
    first = factories.model("claude", aliases=["claude-latest"])
    for fields in ({"name": "claude-latest"}, {"name": "x", "aliases": ["claude"]}, {"name": "x", "aliases": ["x"]}):
        with pytest.raises(ValidationError):
            factories.model(**fields)
    with pytest.raises(ValidationError):
        factories.model("y", aliases=["claude-latest"])
    services.update_model(first, actor=None, aliases=["claude-latest", "claude-newest"])
    assert Model.objects.get().aliases == ["claude-latest", "claude-newest"]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "two words"},
        {"name": "line\nbreak"},
        {"aliases": "claude"},
        {"aliases": [1]},
        {"aliases": ["two words"]},
        {"aliases": ["twice", "twice"]},
        {"max_output_tokens": 0},
        {"context_tokens": -1},
        {"capabilities": {"vision": True}},
    ],
)
def test_a_model_that_cannot_be_is_refused(fields):
    with pytest.raises(ValidationError):
        factories.model(**({"name": "m"} | fields))


def test_who_may_use_a_model_is_recorded(acme, globex, alice):
    found = factories.model(tenants=[acme])
    services.set_tenants(found, actor=alice, tenants=[globex, acme])
    row = Record.objects.latest("id")
    assert (row.action, row.before, row.after) == (
        "model.tenants_set",
        {"tenants": [acme.pk]},
        {"tenants": [acme.pk, globex.pk]},
    )
    number = audit.revisions()["catalog"]
    services.set_tenants(found, actor=alice, tenants=[acme, globex])
    assert audit.revisions()["catalog"] == number
    services.set_tenants(found, actor=alice, tenants=[])
    assert not found.tenants.exists()


def test_the_models_of_a_tenant_are_everyones_and_its_own(acme, globex):
    everyones, own = factories.model(), factories.model(tenants=[acme, globex])
    factories.model(tenants=[globex])
    assert set(selectors.models_of_tenant(acme.pk)) == {everyones, own}


def test_a_deployment_is_unique_and_weighs_something():
    found = factories.deployment(upstream_model="claude-1")
    with pytest.raises(ValidationError):
        factories.deployment(found.model, found.provider, upstream_model="claude-1")
    with pytest.raises(ValidationError):
        services.update_deployment(found, actor=None, weight=0)
    with pytest.raises(IntegrityError), transaction.atomic():
        Deployment.objects.update(weight=0)
    services.update_deployment(found, actor=None, priority=3, weight=7, is_enabled=False)
    found.refresh_from_db()
    assert (found.priority, found.weight, found.is_enabled) == (3, 7, False)


def test_a_deployment_that_was_priced_is_disabled_but_never_deleted():
    priced, fresh = factories.price().deployment, factories.deployment()
    with pytest.raises(ProtectedError):
        services.delete_deployment(priced, actor=None)
    services.delete_deployment(fresh, actor=None)
    assert list(Deployment.objects.all()) == [priced]


# --- prices ----------------------------------------------------------------------------------------------------


def test_a_price_that_leaves_caches_out_counts_them_as_input():
    found = factories.price(input=3, output=15, cache_read=1)
    assert (found.cache_read, found.cache_write_5m, found.cache_write_1h) == (1, 3, 3)


def test_a_new_price_is_a_new_row_and_the_old_one_stays():
    old = factories.price(input=3)
    new = factories.price(old.deployment, input=4)
    old.refresh_from_db()
    assert old.input == 3
    assert list(old.deployment.prices.values_list("pk", flat=True)) == [new.pk, old.pk]


def test_only_a_first_price_may_begin_in_the_past():
    past = timezone.now() - datetime.timedelta(days=30)
    first = factories.price(effective_from=past)
    with pytest.raises(ValidationError, match="now or later"):
        factories.price(first.deployment, effective_from=past + datetime.timedelta(days=1))
    factories.price(first.deployment, effective_from=timezone.now())


def test_two_prices_do_not_begin_at_one_moment():
    moment = timezone.now() + datetime.timedelta(days=1)
    first = factories.price(effective_from=moment)
    with pytest.raises(ValidationError):
        factories.price(first.deployment, effective_from=moment)


def test_a_correction_begins_in_the_past_or_in_the_place_of_another():
    past = timezone.now() - datetime.timedelta(days=30)
    wrong = factories.price(effective_from=past, input=3)
    right = factories.price(wrong.deployment, effective_from=past, input=2, is_correction=True)
    late = factories.price(
        wrong.deployment, effective_from=past + datetime.timedelta(days=1), input=5, is_correction=True
    )
    assert Record.objects.latest("id").action == "price.corrected"
    cards = selectors.price_history([wrong.deployment_id])[wrong.deployment_id]
    assert [card.version for card in cards] == [wrong.pk, right.pk, late.pk]
    begins = int(past.timestamp())
    assert pricing.card_at(tuple(cards), begins + 60) == selectors.price_card(right.pk)
    assert pricing.card_at(tuple(cards), begins + 86_400 + 60) == selectors.price_card(late.pk)
    assert pricing.card_at(tuple(cards), begins - 60) is None
    wrong.refresh_from_db()
    assert wrong.input == 3


@pytest.mark.parametrize("name", ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"])
def test_a_price_is_never_negative(name):
    with pytest.raises(ValidationError):
        factories.price(**{name: -1})
    found = factories.price(**{name: 0})
    with pytest.raises(IntegrityError), transaction.atomic():
        Price.objects.filter(pk=found.pk).update(**{name: -1})


def test_a_price_to_come_can_be_withdrawn_and_one_in_force_cannot():
    now_in_force = factories.price()
    to_come = factories.price(now_in_force.deployment, effective_from=timezone.now() + datetime.timedelta(days=1))
    services.withdraw_price(to_come, actor=None)
    with pytest.raises(ValidationError, match="in force"):
        services.withdraw_price(now_in_force, actor=None)
    assert list(Price.objects.all()) == [now_in_force]
    assert Record.objects.latest("id").action == "price.withdrawn"


def test_every_change_of_the_catalog_is_news(acme):
    numbers = [audit.revisions()["catalog"]]
    found = factories.provider()
    credential = factories.credential(found)
    model = factories.model()
    deployment = factories.deployment(model, found)
    steps = [
        lambda: services.update_provider(found, actor=None, is_enabled=False),
        lambda: services.disable_credential(credential, actor=None),
        lambda: services.update_model(model, actor=None, display_name="M"),
        lambda: services.set_tenants(model, actor=None, tenants=[acme]),
        lambda: services.update_deployment(deployment, actor=None, weight=2),
        lambda: factories.price(deployment),
        lambda: services.allow_network(actor=None, cidr="10.0.0.0/8"),
    ]
    for step in steps:
        step()
        numbers.append(audit.revisions()["catalog"])
    assert numbers == sorted(set(numbers))
