"""Limits and budgets: what may be written, how it is recorded, and how the data plane gets to know it."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from apps.audit import selectors as audit
from apps.domain.snapshot import Rules
from apps.quotas import selectors, services
from apps.quotas.models import Budget, BudgetWindow, Limit
from tests import factories

pytestmark = pytest.mark.django_db


def test_every_subject_can_be_limited(acme, website, bob):
    key, model = factories.key(website).key, factories.model()
    subjects = [
        ({"tenant": acme}, "tenant"),
        ({"project": website}, "project"),
        ({"user": bob}, "user"),
        ({"user": bob, "tenant": acme}, "user"),
        ({"key": key}, "key"),
        ({"model": model}, "model"),
        ({"model": model, "tenant": acme}, "model"),
    ]
    for subject, scope in subjects:
        assert services.create_limit(actor=None, requests_per_minute=1, **subject).scope == scope
        assert services.create_budget(actor=None, amount=1, **subject).scope == scope


def test_no_subject_two_subjects_and_a_tenant_s_project_are_refused(acme, website, bob):
    for subject in ({}, {"project": website, "user": bob}, {"tenant": acme, "project": website}):
        with pytest.raises(ValidationError):
            services.create_limit(actor=None, requests_per_minute=1, **subject)
        with pytest.raises(IntegrityError), transaction.atomic():
            Budget.objects.create(amount=1, **subject)


@pytest.mark.parametrize(
    "fields", [{}, {"requests_per_minute": 0}, {"tokens_per_minute": -1}, {"requests_per_minute": 1, "concurrency": 0}]
)
def test_a_limit_limits_something_by_a_positive_number(acme, fields):
    with pytest.raises(ValidationError):
        services.create_limit(actor=None, tenant=acme, **fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        Limit.objects.create(tenant=acme, **fields)


@pytest.mark.parametrize("fields", [{"amount": -1}, {"amount": 1, "period": "year"}])
def test_a_budget_is_not_negative_and_has_a_known_period(acme, fields):
    with pytest.raises(ValidationError):
        services.create_budget(actor=None, tenant=acme, **fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        Budget.objects.create(tenant=acme, **fields)


def test_a_time_zone_that_does_not_exist_is_refused(acme):
    with pytest.raises(ValidationError, match="time zone"):
        services.create_budget(actor=None, tenant=acme, amount=1, timezone="Mars/Olympus")


def test_every_change_is_recorded_and_moves_the_revision(acme, alice):
    budget = services.create_budget(actor=alice, tenant=acme, amount=100)
    before = audit.revisions()["quotas"]
    services.update_budget(budget, actor=alice, amount=200)
    services.disable(budget, actor=alice)
    services.enable(budget, actor=alice)
    records = list(audit.history(budget).filter(actor_id=alice.pk))
    services.remove(budget, actor=alice)
    assert audit.revisions()["quotas"] == before + 4
    assert {"amount": 100} in [record.before for record in records]
    assert {"amount": 200} in [record.after for record in records]


def test_the_period_and_the_subject_of_a_budget_stay(acme, globex):
    budget = services.create_budget(actor=None, tenant=acme, amount=100)
    for field, value in {"period": "day", "tenant": globex}.items():
        with pytest.raises(TypeError):
            services.update_budget(budget, actor=None, **{field: value})
        changed = Budget.objects.get(pk=budget.pk)
        setattr(changed, field, value)
        with pytest.raises(ValidationError, match="another budget"):
            changed.full_clean()


def test_a_period_has_one_window_and_its_counters_are_not_negative(acme):
    budget = services.create_budget(actor=None, tenant=acme, amount=100)
    times = {"starts": "2026-11-01T00:00Z", "ends": "2026-12-01T00:00Z"}
    BudgetWindow.objects.create(budget=budget, limit=100, **times)
    wrong = [times, times | {"settled": -1}, times | {"held": -1}]
    for fields in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            BudgetWindow.objects.create(budget=budget, limit=100, **fields)


def test_the_rule_book_holds_what_is_switched_on(acme, globex, website):
    model = factories.model()
    limit = services.create_limit(actor=None, tenant=acme, requests_per_minute=5, tokens_per_minute=6, concurrency=7)
    services.disable(services.create_limit(actor=None, tenant=globex, requests_per_minute=1), actor=None)
    budget = services.create_budget(actor=None, project=website, amount=10, period="week")
    services.create_budget(actor=None, model=model, amount=20)
    services.create_budget(actor=None, model=model, tenant=acme, amount=30)
    book = selectors.rule_book()
    (found,) = book.tenants[acme.pk].limits
    assert (found.id, found.scope, found.requests_per_minute) == (limit.pk, "tenant", 5)
    assert (found.tokens_per_minute, found.concurrency) == (6, 7)
    assert globex.pk not in book.tenants
    assert [rule.id for rule in book.projects[website.pk].budgets] == [budget.pk]
    assert {key: rules.budgets[0].amount for key, rules in book.models.items()} == {
        (model.pk, None): 20,
        (model.pk, acme.pk): 30,
    }


def test_a_budget_counts_in_its_own_time_zone_or_its_tenant_s(bob, alice):
    tokyo = factories.tenant("Tokyo", timezone="Asia/Tokyo")
    project = factories.project(tokyo)
    key = factories.key(project).key
    for subject in (
        {"tenant": tokyo},
        {"project": project},
        {"key": key},
        {"user": bob},
        {"user": bob, "tenant": tokyo},
    ):
        services.create_budget(actor=None, amount=1, **subject)
    services.create_budget(actor=None, amount=2, tenant=tokyo, timezone="Europe/Berlin")
    book = selectors.rule_book()
    assert [rule.timezone for rule in book.tenants[tokyo.pk].budgets] == ["Asia/Tokyo", "Europe/Berlin"]
    assert [rule.timezone for rule in book.projects[project.pk].budgets] == ["Asia/Tokyo"]
    of_key, of_user = selectors.rules_of(key.pk, bob.pk, tokyo.pk)
    assert [rule.timezone for rule in of_key.budgets] == ["Asia/Tokyo"]
    assert [rule.timezone for rule in of_user.budgets] == ["UTC", "Asia/Tokyo"]


def test_a_user_s_budget_in_one_tenant_does_not_follow_them_to_another(acme, globex, website, bob):
    key = factories.key(website).key
    services.create_budget(actor=None, amount=1, user=bob, tenant=acme)
    assert selectors.rules_of(key.pk, bob.pk, globex.pk) == (Rules(), Rules())
    assert selectors.rules_of(key.pk, None, acme.pk) == (Rules(), Rules())
    assert len(selectors.rules_of(key.pk, bob.pk, acme.pk)[1].budgets) == 1


def test_reading_the_rules_takes_two_queries_however_many_there_are(acme, django_assert_num_queries):
    for number in range(20):
        project = factories.project(acme, f"Project {number}")
        services.create_budget(actor=None, amount=1, project=project)
        services.create_limit(actor=None, requests_per_minute=1, project=project)
    with django_assert_num_queries(2):
        assert len(selectors.rule_book().projects) == 20
    with django_assert_num_queries(2):
        selectors.rules_of(1, 1, acme.pk)
