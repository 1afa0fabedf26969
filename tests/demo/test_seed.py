"""The demo's data: made once, consistent with itself, and pointing at wherever the simulated provider is."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from django.contrib.auth import authenticate
from django.db import transaction
from django.db.models import Sum
from django.test import RequestFactory

from apps.catalog import selectors as catalog
from apps.catalog.models import HealthCheck, Price, Provider
from apps.domain import pricing
from apps.domain.tokens import TokenUsage
from apps.keys import selectors as keys
from apps.policies.models import Assignment, CachePolicy
from apps.quotas.models import Budget, BudgetWindow, Lease
from apps.tenants.models import Membership, Tenant
from apps.usage.models import Entry, HourlyRollup
from gateway_site.demo import seed

HERE, THERE = "http://127.0.0.1:8001", "http://127.0.0.1:9001"


@pytest.fixture(scope="module")
def seeded(django_db_setup, django_db_blocker) -> Iterator[dict[str, str]]:
    """Once for all tests here; each of them works on it in a transaction of its own, inside this one."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield seed.ensure(card=None, simulator=HERE)
        transaction.set_rollback(True)


@pytest.fixture
def card(seeded, db) -> dict[str, str]:
    return seeded


def signs_in(card: dict[str, str], who: str) -> bool:
    request = RequestFactory().post("/admin/login/")
    return authenticate(request, username=card[f"{who}_user"], password=card[f"{who}_password"]) is not None


def test_the_people_can_sign_in_and_have_their_roles(card):
    assert signs_in(card, "admin")
    assert signs_in(card, "developer")
    roles = Membership.objects.filter(tenant__slug="acme").values_list("user__username", "role")
    assert dict(roles) == {"admin": "owner", "developer": "developer"}


def test_the_key_opens_the_developers_project(card):
    principal = keys.principal(card["api_key"])
    assert principal is not None
    assert principal.user_id is not None
    assert principal.models is None


def test_every_model_is_priced_and_served(card):
    models = catalog.snapshot_models(int(datetime.datetime.now(datetime.UTC).timestamp()))
    assert {"claude-sonnet-4-6", "gpt-5-mini"} <= models.keys()
    for model in models.values():
        assert model.deployments
        for deployment in model.deployments:
            assert deployment.provider.base_url.startswith(HERE)
            assert deployment.provider.credentials
            (card_in_force,) = deployment.prices
            assert card_in_force.output > card_in_force.input > card_in_force.cache_read > 0


def test_a_visitor_finds_virtual_models_policies_and_a_day_of_checks(card):
    models = catalog.snapshot_models(int(datetime.datetime.now(datetime.UTC).timestamp()))
    assert [one.upstream_model for one in models["fast"].deployments] == ["claude-haiku-4-5"] * 2 + ["gpt-5-mini"]
    assert Assignment.objects.get().project.name == "Patient records"
    assert CachePolicy.objects.get().model.name == "fast"
    checks = HealthCheck.objects.filter(provider__name="Simulated OpenAI")
    assert checks.filter(ok=True).count() > checks.filter(ok=False).count() > 10


def test_prices_are_the_vendors(card):
    """Claude Sonnet 4.6: three dollars in, fifteen out, a tenth and five quarters of the input for its cache."""
    price = Price.objects.filter(deployment__model__name="claude-sonnet-4-6").first()
    assert price is not None
    assert (price.input, price.output) == (3_000_000_000, 15_000_000_000)
    assert (price.cache_read, price.cache_write_5m, price.cache_write_1h) == (300_000_000, 3_750_000_000, 6_000_000_000)


def test_the_week_is_full_and_every_row_of_it_costs_what_its_price_says(card):
    days = {entry.started_at.date() for entry in Entry.objects.only("started_at")}
    assert len(days) >= 7
    models = catalog.snapshot_models(int(datetime.datetime.now(datetime.UTC).timestamp()))
    cards = {price.version: price for model in models.values() for price in model.deployments[0].prices}
    counters = TokenUsage.__struct_fields__
    for entry in Entry.objects.filter(state="settled").iterator():
        usage = TokenUsage(**{name: getattr(entry, name) for name in counters})
        assert entry.cost_nano == pricing.cost(usage, cards[entry.price_version])
    assert not Entry.objects.filter(state="void").exclude(cost_nano=0).exists()
    assert set(Entry.objects.values_list("status", flat=True)) >= {"ok", "upstream_error", "client_gone"}


def test_rollups_equal_the_ledger(card):
    total = Entry.objects.aggregate(Sum("cost_nano"), Sum("out_total"))
    assert HourlyRollup.objects.aggregate(Sum("cost_nano"), Sum("out_total")) == total
    assert total["cost_nano__sum"] > 0


def test_budgets_were_charged_exactly_what_the_ledger_says_and_nothing_is_held(card):
    acme = Tenant.objects.get(slug="acme")
    for budget in Budget.objects.all():
        charged = BudgetWindow.objects.filter(budget=budget).aggregate(Sum("settled"))["settled__sum"]
        rows = Entry.objects.filter(tenant=acme) if budget.tenant_id else Entry.objects.filter(project=budget.project)
        assert charged == rows.aggregate(Sum("high_nano"))["high_nano__sum"]
        assert charged < budget.amount
    assert not BudgetWindow.objects.exclude(held=0).exists()
    assert not Lease.objects.filter(is_open=True).exists()


def test_a_second_start_changes_nothing(card):
    before = Entry.objects.count()
    assert seed.ensure(card=card, simulator=HERE) == card
    assert Entry.objects.count() == before
    assert signs_in(card, "admin")


def test_a_simulator_that_has_moved_is_found_again(card):
    seed.ensure(card=card, simulator=THERE)
    for provider in Provider.objects.all():
        assert provider.base_url.startswith(THERE)
        assert provider.credentials.exclude(ciphertext="").count() == 1


def test_a_lost_handout_is_made_anew_and_the_old_one_opens_nothing(card):
    renewed = seed.ensure(card=None, simulator=HERE)
    assert signs_in(renewed, "developer")
    assert not signs_in(card, "developer")
    principal = keys.principal(renewed["api_key"])
    assert principal is not None
    assert principal.revoked_at is None
    old = keys.principal(card["api_key"])
    assert old is None or old.revoked_at is not None
