"""Tenants see their own. Every tenant keeps an owner."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from apps.accounts import services as accounts
from apps.audit import selectors as audit
from apps.audit.models import Record
from apps.gateway.configuration import _compile
from apps.tenants import selectors, services
from apps.tenants.models import Membership, Project, Role, Tenant
from tests import factories


def membership(user):
    return Membership.objects.get(user=user)


def test_bob_sees_his_tenant_and_charlie_does_not(acme, globex, website, bob, charlie):
    assert list(Tenant.objects.for_user(bob)) == [acme]
    assert list(Project.objects.for_user(bob)) == [website]
    assert list(Tenant.objects.for_user(charlie)) == [globex]
    assert not Project.objects.for_user(charlie).exists()
    assert not Membership.objects.for_user(charlie).filter(tenant=acme).exists()


def test_a_member_of_two_tenants_sees_each_thing_once(acme, globex, bob, alice, website):
    services.add_member(globex, actor=None, user=bob)
    assert list(Tenant.objects.for_user(bob)) == [acme, globex]
    assert list(Project.objects.for_user(bob)) == [website]


def test_an_operator_sees_every_tenant(acme, globex, operator):
    assert list(Tenant.objects.for_user(operator)) == [acme, globex]


def test_somebody_shut_off_or_unknown_sees_nothing(acme, website, bob, operator):
    factories.user(is_superuser=True)
    accounts.deactivate(bob, actor=None)
    accounts.deactivate(operator, actor=None)
    for user in (bob, operator, AnonymousUser()):
        assert not Tenant.objects.for_user(user).exists()
        assert not Project.objects.for_user(user).exists()


def test_a_tenant_gets_its_slug_and_its_first_owner(db):
    dora = factories.user()
    tenant = services.create_tenant(actor=None, name="Grand Budapest Hotel", owner=dora, timezone="Europe/Budapest")
    assert tenant.slug == "grand-budapest-hotel"
    assert selectors.role_of(dora, tenant) == Role.OWNER


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "Acme"},
        {"name": "Other", "slug": "acme"},
        {"name": "Other", "slug": "no spaces"},
        {"name": "Other", "timezone": "Mars/Olympus"},
    ],
)
def test_a_tenant_that_cannot_be_is_refused(acme, fields):
    with pytest.raises(ValidationError):
        services.create_tenant(actor=None, **fields)
    assert Tenant.objects.count() == 1


def test_a_slug_is_one_projects_within_its_tenant_only(acme, globex, website):
    assert factories.project(globex, "Website").slug == website.slug
    with pytest.raises(ValidationError):
        factories.project(acme, "Website")
    with pytest.raises(IntegrityError), transaction.atomic():
        Project.objects.create(tenant=acme, name="W", slug="website")


def test_a_project_stays_with_its_tenant(website, globex):
    with pytest.raises(TypeError, match="tenant"):
        services.update_project(website, actor=None, tenant=globex)


def test_active_ids_leave_out_what_was_shut_off(acme, globex, website, django_assert_num_queries):
    idle, foreign = factories.project(acme), factories.project(globex)
    services.deactivate_project(idle, actor=None)
    with django_assert_num_queries(2):
        assert selectors.active_tenants() == {acme.pk: "lease", globex.pk: "lease"}
        assert selectors.active_projects() == {website.pk, foreign.pk}
    services.deactivate_tenant(globex, actor=None)
    assert selectors.active_tenants() == {acme.pk: "lease"}
    assert selectors.active_projects() == {website.pk}
    services.activate_tenant(globex, actor=None)
    services.activate_project(idle, actor=None)
    assert selectors.active_projects() == {website.pk, foreign.pk, idle.pk}


def test_what_a_tenant_gets_in_an_outage_is_recorded_and_told_to_the_gateway(acme, globex):
    services.update_tenant(acme, actor=None, on_outage="closed")
    assert Record.objects.latest("pk").after["on_outage"] == "closed"
    assert selectors.active_tenants() == {acme.pk: "closed", globex.pk: "lease"}
    assert _compile(1).on_outage == {acme.pk: "closed"}


def test_an_unknown_outage_policy_is_refused_by_service_and_database(acme):
    with pytest.raises(ValidationError):
        services.update_tenant(acme, actor=None, on_outage="panic")
    with pytest.raises(IntegrityError), transaction.atomic():
        Tenant.objects.filter(pk=acme.pk).update(on_outage="panic")


def test_a_role_is_told_per_tenant(acme, globex, alice, bob, charlie, operator):
    assert [selectors.role_of(user, acme) for user in (alice, bob, charlie, operator)] == [
        Role.OWNER,
        Role.DEVELOPER,
        None,
        Role.OWNER,
    ]
    accounts.deactivate(bob, actor=None)
    assert selectors.role_of(bob, acme) is None


def test_roles_are_ordered_and_nobody_has_the_least():
    assert selectors.is_at_least(Role.OWNER, Role.VIEWER)
    assert selectors.is_at_least(Role.DEVELOPER, Role.DEVELOPER)
    assert not selectors.is_at_least(Role.VIEWER, Role.DEVELOPER)
    assert not selectors.is_at_least(None, Role.VIEWER)


def test_a_role_that_does_not_exist_is_refused_by_service_and_database(acme, bob):
    with pytest.raises(ValidationError):
        services.change_role(membership(bob), actor=None, role="emperor")
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.filter(user=bob).update(role="emperor")


def test_nobody_is_a_member_twice(acme, bob):
    with pytest.raises(ValidationError):
        services.add_member(acme, actor=None, user=bob, role=Role.VIEWER)


def test_the_last_owner_stays(acme, alice, bob):
    with pytest.raises(ValidationError, match="last owner"):
        services.remove_member(membership(alice), actor=None)
    with pytest.raises(ValidationError, match="last owner"):
        services.change_role(membership(alice), actor=None, role=Role.ADMIN)
    services.change_role(membership(bob), actor=alice, role=Role.OWNER)
    services.remove_member(membership(alice), actor=alice)
    assert list(Membership.objects.values_list("user__username", "role")) == [("bob", "owner")]


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_leave_at_once_do_not_both_go():
    tenant = factories.tenant()
    owners = [factories.member(tenant, role=Role.OWNER) for _ in range(2)]
    start, stayed = threading.Barrier(2), []

    def leave(user):
        start.wait()
        try:
            services.remove_member(membership(user), actor=user)
        except ValidationError:
            stayed.append(user)
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=[user]) for user in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stayed) == Membership.objects.filter(tenant=tenant, role=Role.OWNER).count() == 1


def test_changes_are_recorded_under_their_tenant(acme, alice, bob):
    services.update_tenant(acme, actor=alice, timezone="Asia/Tokyo")
    services.change_role(membership(bob), actor=alice, role=Role.VIEWER)
    services.remove_member(membership(bob), actor=alice)
    rows = Record.objects.filter(actor_id=alice.pk).order_by("id")
    assert [(row.action, row.area, row.tenant_id) for row in rows] == [
        ("tenant.updated", "tenants", acme.pk),
        ("member.role_changed", "accounts", acme.pk),
        ("member.removed", "accounts", acme.pk),
    ]
    assert (rows[1].before, rows[1].after) == ({"role": "developer"}, {"role": "viewer"})


def test_membership_is_news_for_those_who_remember_people(acme, bob):
    before = audit.revisions()
    services.remove_member(membership(bob), actor=None)
    assert audit.revisions() == before | {"accounts": before["accounts"] + 1}
