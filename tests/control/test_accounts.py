"""People: made once, changed on record, never all shut out."""

from __future__ import annotations

import threading

import pytest
from django.contrib import auth
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from apps.accounts import identities, services
from apps.accounts.models import User
from apps.audit import selectors as audit
from apps.audit.models import Record
from tests import factories


def test_a_new_user_can_sign_in_with_the_password(db, client):
    user = services.create_user(
        actor=None, username="dora", email="Dora@EXAMPLE.com", password="correct horse battery", first_name="Dora"
    )
    assert (user.email, user.check_password("correct horse battery")) == ("Dora@example.com", True)
    assert str(user) == "Dora"


def test_a_user_without_a_password_cannot_sign_in_with_one(db):
    assert not factories.user().has_usable_password()


def test_a_weak_password_is_refused(db, alice):
    with pytest.raises(ValidationError):
        services.create_user(actor=None, username="dora", password="short")
    with pytest.raises(ValidationError):
        services.set_password(alice, actor=alice, password="password1234")
    assert not User.objects.filter(username="dora").exists()
    alice.refresh_from_db()
    assert not alice.has_usable_password()


def test_an_address_belongs_to_one_person_whatever_its_case(db):
    factories.user(email="dora@example.com")
    with pytest.raises(ValidationError, match="e-mail"):
        factories.user(email="DORA@example.com")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(username="other", email="DORA@example.com")


def test_many_may_have_no_address(db):
    assert factories.user().email == factories.user().email == ""


def test_a_change_of_a_user_is_recorded_without_the_password(db, operator, bob):
    services.set_password(bob, actor=operator, password="correct horse battery")
    row = Record.objects.latest("id")
    assert (row.action, row.actor_name, row.area) == ("user.password_set", "operator", "accounts")
    assert (row.before, row.after) == ({"password": "[redacted]"}, {"password": "[redacted]"})
    bob.refresh_from_db()
    assert bob.check_password("correct horse battery")


def test_deactivating_and_activating_are_news_of_the_area_accounts(db, bob):
    number = audit.revisions()["accounts"]
    services.deactivate(bob, actor=None)
    assert audit.revisions()["accounts"] == number + 1
    assert not User.objects.get(pk=bob.pk).is_active
    services.activate(bob, actor=None)
    assert User.objects.get(pk=bob.pk).is_active


def test_the_last_operator_cannot_be_shut_off_or_demoted(db, operator):
    with pytest.raises(ValidationError, match="last operator"):
        services.deactivate(operator, actor=operator)
    with pytest.raises(ValidationError, match="last operator"):
        services.update_user(operator, actor=operator, is_superuser=False)
    factories.user(is_superuser=True)
    services.deactivate(operator, actor=operator)
    assert not User.objects.get(pk=operator.pk).is_active


@pytest.mark.django_db(transaction=True)
def test_two_operators_cannot_shut_each_other_off():
    pair = [factories.user(is_superuser=True) for _ in range(2)]
    start = threading.Barrier(2)
    refused = []

    def shut_off(user):
        start.wait()
        try:
            services.deactivate(user, actor=None)
        except ValidationError:
            refused.append(user)
        finally:
            connection.close()

    threads = [threading.Thread(target=shut_off, args=[user]) for user in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == User.objects.filter(is_superuser=True, is_active=True).count() == 1


def test_only_named_fields_can_be_updated(db, bob):
    with pytest.raises(TypeError, match="password"):
        services.update_user(bob, actor=None, password="x")
    services.update_user(bob, actor=None, first_name="Robert", is_staff=True)
    bob.refresh_from_db()
    assert (bob.first_name, bob.is_staff) == ("Robert", True)


def test_sessions_end_everywhere(db, client, operator, bob):
    client.force_login(bob)
    assert auth.get_user(client).is_authenticated
    services.end_sessions(bob, actor=operator)
    assert not auth.get_user(client).is_authenticated
    client.force_login(bob)
    assert auth.get_user(client).is_authenticated
    row = Record.objects.latest("id")
    assert (row.action, row.actor_name, row.after) == ("user.sessions_ended", "operator", {"session_epoch": 1})


def test_an_identity_is_one_persons(db, operator, bob, alice):
    identities.link(bob, actor=operator, issuer="https://id.example.com", subject="7")
    assert identities.user_of("https://id.example.com", "7") == bob
    assert (
        identities.user_of("https://id.example.org", "7") is identities.user_of("https://id.example.com", "8") is None
    )
    with pytest.raises(ValidationError, match="Somebody has this identity"):
        identities.link(alice, actor=operator, issuer="https://id.example.com", subject="7")
    identities.unlink(identities.of(bob).get(), actor=operator)
    assert identities.user_of("https://id.example.com", "7") is None
    actions = list(Record.objects.order_by("-id").values_list("action", "target_label")[:2])
    told = "bob at https://id.example.com"
    assert actions == [("identity.unlinked", told), ("identity.linked", told)]


@pytest.mark.once
def test_nobody_is_called_like_another_but_for_capitals(db):
    olga, other = factories.user("olga"), factories.user("other")
    with pytest.raises(ValidationError, match="already exists"):
        services.create_user(actor=None, username="OLGA")
    with pytest.raises(ValidationError, match="already exists"):
        services.update_user(other, actor=None, username="Olga")
    services.update_user(olga, actor=None, username="Olga")
