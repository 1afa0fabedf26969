"""Members make keys and set budgets and limits by themselves, within what they may."""

from __future__ import annotations

import datetime
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from apps.audit import selectors as audit
from apps.keys import selectors
from apps.keys import selfservice as keys
from apps.keys import services as key_services
from apps.keys.models import Key
from apps.quotas import selfservice, services
from apps.quotas.models import Budget, BudgetWindow, Limit
from apps.tenants import services as tenants
from apps.tenants.models import Membership, Role
from tests import factories

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)
DOLLAR = 10**9


def made(actor, project, **scope):
    return keys.issue(actor=actor, tenant=project.tenant, project=project, name="mine", **scope).key


def membership(user):
    return Membership.objects.get(user=user)


def fields_of(error):
    return sorted(error.value.message_dict)


# --- keys ------------------------------------------------------------------------------------------------------


def test_a_developer_makes_keys_for_themselves_only(website, alice, bob):
    assert made(bob, website).user == bob
    for somebody in (alice, None):
        with pytest.raises(PermissionDenied):
            made(bob, website, user=somebody)


def test_an_owner_makes_keys_for_everybody_and_for_nobody(website, alice, bob, charlie):
    assert made(alice, website).user == alice
    assert made(alice, website, user=bob).user == bob
    assert made(alice, website, user=None).user is None
    with pytest.raises(ValidationError) as refused:
        made(alice, website, user=charlie)
    assert fields_of(refused) == ["user"]


def test_viewers_and_strangers_make_no_keys(acme, website, charlie):
    viewer = factories.member(acme, role=Role.VIEWER)
    for somebody in (viewer, charlie, factories.user()):
        with pytest.raises(PermissionDenied):
            made(somebody, website)
    assert not Key.objects.exists()


def test_another_tenant_s_project_is_one_that_there_is_not(acme, globex, website, alice):
    with pytest.raises(ValidationError) as refused:
        keys.issue(actor=alice, tenant=acme, project=factories.project(globex), name="mine")
    assert refused.value.message_dict == {"project": ["There is no such project."]}
    key = made(alice, website)
    with pytest.raises(ValidationError) as refused:
        keys.update(key, actor=alice, project=factories.project(globex))
    assert fields_of(refused) == ["project"]


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        ({"models": ["theirs"]}, "models"),
        ({"models": "a"}, "models"),
        ({"models": 5}, "models"),
        ({"endpoints": ["e/none"]}, "endpoints"),
        ({"networks": ["here"]}, "networks"),
        ({"networks": [7]}, "networks"),
        ({"priority": 1}, "priority"),
        ({"priority": None}, "priority"),
        ({"expires_at": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)}, "expires_at"),
        ({"name": "x" * 101}, "name"),
        ({"name": ""}, "name"),
    ],
)
def test_what_cannot_be_is_told_at_its_field_and_nothing_is_kept(website, globex, bob, scope, field):
    factories.model("theirs", tenants=[globex])
    with pytest.raises(ValidationError) as refused:
        keys.issue(**{"actor": bob, "tenant": website.tenant, "project": website, "name": "mine", **scope})
    assert fields_of(refused) == [field]
    assert not Key.objects.exists()


def test_only_who_manages_keys_lets_one_go_before_others(website, alice, bob):
    assert made(alice, website, priority=50).priority == 50
    favoured = made(alice, website, user=bob, priority=50)
    with pytest.raises(ValidationError):
        keys.update(favoured, actor=bob, priority=51)
    assert keys.update(favoured, actor=bob, name="other").priority == 50
    assert keys.update(favoured, actor=bob, priority=10).priority == 10
    with pytest.raises(ValidationError):
        keys.update(favoured, actor=bob, priority=50)


def test_a_developer_widens_again_what_they_made_narrow_themselves(website, bob):
    factories.model("small"), factories.model("large")
    key = made(bob, website, models=["small"], networks=["10.0.0.0/8"], expires_at=timezone.now() + DAY)
    keys.update(key, actor=bob, models=["small", "large"], networks=None, expires_at=None)
    assert (key.models, key.networks, key.expires_at) == (["small", "large"], None, None)


@pytest.mark.parametrize(
    ("name", "narrower", "wider"),
    [
        ("models", ["small"], ["small", "large", "other"]),
        ("models", ["small"], None),
        ("endpoints", ["messages"], None),
        ("networks", ["10.1.0.0/16"], ["10.0.0.0/7"]),
        ("networks", ["10.1.0.0/16"], ["10.0.0.0/8", "fe80::/10"]),
        ("networks", [], None),
        ("expires_at", timezone.now() + DAY, None),
        ("expires_at", timezone.now() + DAY, timezone.now() + 100 * DAY),
    ],
)
def test_what_somebody_else_made_narrow_stays_so(website, alice, bob, name, narrower, wider):
    for model in ("small", "large", "other"):
        factories.model(model)
    narrow = {"models": ["small", "large"], "endpoints": ["messages", "models"], "networks": ["10.0.0.0/8"]}
    ends = timezone.now() + 90 * DAY
    given = made(alice, website, user=bob, expires_at=ends, **narrow)
    own = made(bob, website)
    keys.update(own, actor=alice, expires_at=ends, **narrow)
    for key in (given, own):
        with pytest.raises(ValidationError) as refused:
            keys.update(key, actor=bob, **{name: wider})
        assert fields_of(refused) == [name]
        keys.update(key, actor=bob, **{name: narrower})
        assert getattr(Key.objects.get(pk=key.pk), name) == narrower
        keys.update(key, actor=alice, **{name: wider})


def test_other_people_s_keys_are_neither_seen_nor_changed(acme, website, alice, bob, charlie):
    key = made(alice, website)
    for somebody in (bob, charlie):
        verbs = [partial(keys.update, name="x"), keys.rotate, keys.revoke, keys.check_theirs]
        for verb in [*verbs, partial(selfservice.set_limit, concurrency=1), partial(selfservice.set_budget, amount=1)]:
            with pytest.raises(PermissionDenied):
                verb(key, actor=somebody)
        assert not keys.keys_of(somebody, acme).exists()
    assert list(keys.keys_of(alice, acme)) == [key]
    key.refresh_from_db()
    assert (key.name, key.revoked_at) == ("mine", None)


def test_whoever_may_make_none_any_more_may_still_end_their_own(website, bob):
    key = made(bob, website)
    Membership.objects.filter(user=bob).update(role=Role.VIEWER)
    with pytest.raises(PermissionDenied):
        keys.rotate(key, actor=bob)
    keys.revoke(key, actor=bob)
    assert key.revoked_at is not None


# --- with budgets and limits -----------------------------------------------------------------------------------


def issue(actor, project, **more):
    return selfservice.issue_key(actor=actor, tenant=project.tenant, project=project, name="mine", **more)


def test_a_key_comes_with_its_budget_and_its_limit_or_not_at_all(website, bob):
    key = issue(bob, website, budget={"amount": DOLLAR, "period": "day"}, limit={"concurrency": 2}).key
    assert Budget.objects.get(key=key).amount == DOLLAR
    assert Limit.objects.get(key=key).concurrency == 2
    for wrong in ({"limit": {"concurrency": 0}}, {"budget": {"amount": -1}}, {"budget": {"amount": 10**30}}):
        with pytest.raises(ValidationError):
            issue(bob, website, **{"budget": {"amount": DOLLAR}, **wrong})
    assert Key.objects.count() == 1
    with pytest.raises(TypeError):
        issue(bob, website, budget={"amount": 1, "tenant": website.tenant})


@pytest.mark.parametrize("scope", ["tenant", "project", "user", "member"])
def test_nothing_is_set_above_what_it_stands_under(acme, website, alice, bob, scope):
    subject = {"tenant": {"tenant": acme}, "project": {"project": website}, "user": {"user": bob}}
    subject["member"] = {"user": bob, "tenant": acme}
    services.create_budget(actor=None, amount=10 * DOLLAR, overdraft=DOLLAR, period="month", **subject[scope])
    services.create_limit(actor=None, requests_per_minute=60, tokens_per_minute=1000, **subject[scope])
    for actor in (alice, bob):
        set_budget = partial(selfservice.set_budget, made(actor, website, user=bob), actor=actor)
        for period in ("day", "week", "month"):
            with pytest.raises(ValidationError) as refused:
                set_budget(amount=10 * DOLLAR + 1, period=period)
            assert fields_of(refused) == ["amount"]
            assert "$10" in str(refused.value)
            with pytest.raises(ValidationError) as refused:
                set_budget(amount=10 * DOLLAR, overdraft=DOLLAR + 1, period=period)
            assert fields_of(refused) == ["overdraft"]
        own = set_budget(amount=10 * DOLLAR, overdraft=DOLLAR, period="day")
        with pytest.raises(ValidationError):
            selfservice.change_budget(own, actor=actor, amount=11 * DOLLAR)
        with pytest.raises(ValidationError) as refused:
            selfservice.set_limit(own.key, actor=actor, requests_per_minute=61, tokens_per_minute=1001, concurrency=9)
        assert fields_of(refused) == ["requests_per_minute", "tokens_per_minute"]
        assert Budget.objects.get(pk=own.pk).amount == 10 * DOLLAR
    assert Limit.objects.count() == 1


def test_a_longer_period_than_what_it_stands_under_is_not_bounded_by_it(acme, website, bob):
    services.create_budget(actor=None, amount=DOLLAR, period="day", tenant=acme)
    assert selfservice.set_budget(made(bob, website), actor=bob, amount=20 * DOLLAR, period="month").amount
    fixed = {"period": "fixed", "starts_on": datetime.date(2020, 1, 1)}
    services.create_budget(actor=None, amount=1, tenant=acme, ends_on=datetime.date(2020, 2, 1), **fixed)
    assert selfservice.set_budget(made(bob, website), actor=bob, amount=DOLLAR, period="day").amount
    with pytest.raises(ValidationError) as refused:
        selfservice.set_budget(made(bob, website), actor=bob, amount=1, ends_on=datetime.date(2020, 2, 1), **fixed)
    assert fields_of(refused) == ["ends_on"]


def test_a_developer_changes_only_what_nobody_else_has_set(website, alice, bob):
    key = made(bob, website)
    own = selfservice.set_budget(key, actor=bob, amount=DOLLAR)
    selfservice.change_budget(own, actor=bob, amount=3 * DOLLAR)
    given = selfservice.set_limit(key, actor=alice, concurrency=1)
    assert [selfservice.may_change(rule, bob) for rule in (own, given)] == [True, False]
    for verb in (partial(selfservice.change_limit, concurrency=2), selfservice.remove):
        with pytest.raises(PermissionDenied):
            verb(given, actor=bob)
    selfservice.change_budget(own, actor=alice, amount=DOLLAR)
    for verb in (partial(selfservice.change_budget, amount=2 * DOLLAR), selfservice.remove):
        with pytest.raises(PermissionDenied):
            verb(own, actor=bob)
    beside = selfservice.set_limit(key, actor=bob, concurrency=5)
    assert Limit.objects.filter(key=key).count() == 2
    selfservice.remove(beside, actor=bob)
    assert list(Limit.objects.filter(key=key)) == [given]


def test_owners_set_those_of_projects_members_and_keys_and_no_other(acme, globex, website, alice, bob, operator):
    key, stranger = made(bob, website), factories.member(globex)
    for subject, refused in ((website, bob), (membership(bob), bob), (key, stranger)):
        with pytest.raises(PermissionDenied):
            selfservice.set_budget(subject, actor=refused, amount=5)
        rule = selfservice.set_budget(subject, actor=alice, amount=5)
        selfservice.change_budget(rule, actor=alice, amount=6, is_enabled=False)
        selfservice.remove(rule, actor=alice)
    operators = [{"tenant": acme}, {"user": bob}, {"model": factories.model(), "tenant": acme}]
    for subject in operators:
        rule = services.create_budget(actor=None, amount=5, **subject)
        for verb in (partial(selfservice.change_budget, amount=6), selfservice.remove):
            with pytest.raises(PermissionDenied):
                verb(rule, actor=alice)
        assert selfservice.may_change(rule, operator)


def test_everybody_sees_what_restrains_their_own_calls(acme, globex, website, alice, bob, charlie):
    key, other = made(bob, website), made(alice, factories.project(acme))
    subjects = [{"tenant": acme}, {"project": website}, {"user": bob, "tenant": acme}, {"key": key}]
    mine = [services.create_budget(actor=None, amount=5, **subject) for subject in subjects]
    others = [{"key": other}, {"project": other.project}, {"user": alice, "tenant": acme}]
    theirs = [services.create_budget(actor=None, amount=5, **subject) for subject in others]
    everywhere = services.create_budget(actor=None, amount=5, user=bob)
    services.create_budget(actor=None, amount=5, tenant=globex)
    seen = {who: set(selfservice.rules_of(Budget, who, acme)) for who in (alice, bob, charlie)}
    assert seen == {alice: {*mine, *theirs}, bob: {*mine, everywhere}, charlie: set()}


# --- what others got wrong -------------------------------------------------------------------------------------


def spent(budget):
    """As if the present period had nothing left."""
    now = timezone.now()
    return BudgetWindow.objects.create(
        budget=budget, starts=now - DAY, ends=now + DAY, limit=budget.amount, settled=budget.amount,
        ceiling=budget.amount,
    )  # fmt: skip


def test_whoever_has_spent_all_still_looks_after_their_keys(acme, website, bob):
    """LiteLLM 35657: an over-budget user cannot open usage or keys."""
    key = made(bob, website)
    for subject in ({"tenant": acme}, {"user": bob, "tenant": acme}, {"key": key}):
        spent(services.create_budget(actor=None, amount=DOLLAR, **subject))
    assert list(keys.keys_of(bob, acme)) == [key]
    assert selfservice.rules_of(Budget, bob, acme).count() == 3
    keys.update(key, actor=bob, name="renamed")
    keys.rotate(key, actor=bob)
    assert issue(bob, website, budget={"amount": DOLLAR}).key.user == bob
    keys.revoke(key, actor=bob)


def test_rotation_keeps_the_budget_its_window_and_the_expiry(website, bob):
    """LiteLLM 31079 and 15142: rotation resets the budget's window, and expiry is computed like one."""
    ends = timezone.now() + 40 * DAY
    key = issue(bob, website, budget={"amount": DOLLAR, "period": "day"}, expires_at=ends).key
    window = spent(Budget.objects.get(key=key))
    rotated = keys.rotate(key, actor=bob, overlap=DAY).key
    assert rotated.pk == key.pk
    assert rotated.expires_at == ends
    kept = BudgetWindow.objects.get(budget__key=key)
    assert (kept.pk, kept.settled, kept.starts) == (window.pk, DOLLAR, window.starts)


def test_in_the_overlap_the_old_secret_works(website, bob):
    """LiteLLM 27193: rotation rejects the old key inside its grace period."""
    first = issue(bob, website)
    second = keys.rotate(first.key, actor=bob, overlap=DAY)
    old, new = (selectors.principal(each.plaintext) for each in (first, second))
    assert old.key_id == new.key_id == first.key.pk
    assert old.revoked_at is None
    assert old.expires_at > timezone.now().timestamp()
    assert (new.expires_at, new.revoked_at) == (None, None)


def test_all_of_it_is_recorded_with_who_did_it(website, bob):
    key = issue(bob, website, budget={"amount": DOLLAR}).key
    keys.rotate(key, actor=bob)
    key_services.revoke(key, actor=None)
    assert [record.actor_name for record in audit.history(key)] == ["system", "bob", "bob"]
    assert audit.history(Budget.objects.get()).get().actor_id == bob.pk


@pytest.mark.attack("F28")
def test_keys_of_whoever_becomes_a_viewer_call_no_more(website, alice, bob, operator):
    """And call again once the person may."""
    issued = keys.issue(actor=alice, tenant=website.tenant, project=website, name="given", user=bob)
    assert selectors.principal(issued.plaintext) is not None
    member = membership(bob)
    tenants.change_role(member, actor=alice, role=Role.VIEWER)
    assert selectors.principal(issued.plaintext) is None
    assert selectors.principal_of(issued.key.pk) is None
    assert selectors.ends([issued.key.public_id]) == {}
    with pytest.raises(ValidationError) as refused:
        made(alice, website, user=bob)
    assert fields_of(refused) == ["user"]
    tenants.change_role(member, actor=alice, role=Role.DEVELOPER)
    assert selectors.principal(issued.plaintext) is not None
    tenants.add_member(website.tenant, actor=None, user=operator, role=Role.VIEWER)
    assert made(alice, website, user=operator), "an operator may whatever they are called"
