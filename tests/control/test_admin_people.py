"""People in the admin: who may do what to whom, and that passwords are set by the service."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import Client
from django.views.defaults import server_error

from apps.accounts.models import User
from apps.audit.models import Record
from tests import factories
from tests.control.desk import Desk, errors

pytestmark = [pytest.mark.django_db, pytest.mark.once]
PASSWORD = "correct horse battery"


def actions(*, by) -> list[str]:
    return list(Record.objects.filter(actor_id=by.pk).order_by("pk").values_list("action", flat=True))


@pytest.fixture
def clerk(db) -> Desk:
    """Staff who may change people, and is no operator."""
    return Desk(factories.staff("accounts.view_user", "accounts.change_user", "accounts.add_user"))


def test_a_person_is_added_and_can_sign_in(desk):
    new = {"username": "dora", "first_name": "Dora", "password1": PASSWORD, "password2": PASSWORD}
    response = desk.send("accounts_user_add", **new)
    assert response.status_code == 302, errors(response)
    dora = User.objects.get(username="dora")
    assert dora.check_password(PASSWORD)
    assert (dora.first_name, dora.is_staff) == ("Dora", False)
    assert actions(by=desk.user) == ["user.created"]
    assert PASSWORD not in str(Record.objects.latest("pk").after)
    assert dora.password not in str(Record.objects.latest("pk").after)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": "operator"}, "username"),
        ({"username": "with space"}, "username"),
        ({"email": "nowhere"}, "email"),
        ({"password2": "another"}, "password2"),
        ({"password1": "short", "password2": "short"}, "password2"),
    ],
)
def test_what_a_person_cannot_be_is_told_at_its_field(wrong, field, desk):
    new = {"username": "dora", "password1": PASSWORD, "password2": PASSWORD}
    assert list(errors(desk.send("accounts_user_add", **(new | wrong)))) == [field]
    assert not User.objects.filter(username="dora").exists()


def test_a_change_goes_through_the_service(desk):
    dora = factories.user("dora")
    assert desk.send("accounts_user_change", dora.pk, email="dora@example.com", is_active=None).status_code == 302
    dora.refresh_from_db()
    assert (dora.email, dora.is_active) == ("dora@example.com", False)
    assert actions(by=desk.user) == ["user.updated", "user.deactivated"]


def test_the_last_operator_stays_one(desk):
    refused = desk.send("accounts_user_change", desk.user.pk, is_superuser=None)
    assert errors(refused) == {"": ["The last operator cannot be shut off."]}
    refused = desk.send("accounts_user_change", desk.user.pk, is_active=None)
    assert errors(refused) == {"": ["The last operator cannot be shut off."]}
    text = desk.act("accounts_user_changelist", "deactivate", desk.user).content.decode()
    assert "The last operator cannot be shut off." in text
    desk.user.refresh_from_db()
    assert desk.user.is_active
    assert desk.user.is_superuser


def test_people_are_switched_from_the_list(desk):
    dora = factories.user("dora")
    for action, state in (("deactivate", False), ("activate", True)):
        desk.act("accounts_user_changelist", action, dora)
        dora.refresh_from_db()
        assert dora.is_active is state
    assert actions(by=desk.user) == ["user.deactivated", "user.activated"]


def test_people_are_kept_and_the_reason_told(desk):
    dora = factories.user("dora")
    response = desk.client.post(desk.url("accounts_user_delete", dora.pk), {"post": "yes"}, follow=True)
    assert "deactivate the account instead" in response.content.decode()
    assert User.objects.filter(pk=dora.pk).exists()


# --- passwords ---------------------------------------------------------------------------------------------------


def test_a_password_is_set_and_who_did_it_is_recorded(desk):
    dora = factories.user("dora")
    led = desk.get("accounts_user_set_password", dora.pk)
    assert led["location"] == desk.url("auth_user_password_change", dora.pk)
    response = desk.client.post(led["location"], {"password1": PASSWORD, "password2": PASSWORD})
    assert response.status_code == 302
    dora.refresh_from_db()
    assert dora.check_password(PASSWORD)
    record = Record.objects.latest("pk")
    assert (record.action, record.actor_id, record.target_id) == ("user.password_set", desk.user.pk, str(dora.pk))
    assert dora.password not in str((record.before, record.after))


def test_a_weak_password_is_refused_at_its_field(desk):
    dora = factories.user("dora")
    url = desk.url("auth_user_password_change", dora.pk)
    response = desk.client.post(url, {"password1": "short", "password2": "short"})
    assert list(response.context["form"].errors) == ["password2"]


def test_ones_own_password_is_changed_and_recorded(operator):
    operator.set_password("the old password")
    operator.save()
    desk = Desk(operator)
    wrong = {"old_password": "guessed", "new_password1": PASSWORD, "new_password2": PASSWORD}
    assert list(desk.client.post(desk.url("password_change"), wrong).context["form"].errors) == ["old_password"]
    right = wrong | {"old_password": "the old password"}
    assert desk.client.post(desk.url("password_change"), right, follow=True).status_code == 200
    operator.refresh_from_db()
    assert operator.check_password(PASSWORD)
    assert actions(by=operator) == ["user.password_set"]
    assert desk.get("index").status_code == 200, "the session goes on"


def test_no_page_shows_a_hash_of_a_password(desk):
    dora = factories.user("dora", password=PASSWORD)
    digest = dora.password.rpartition("$")[2]
    for page, arguments in (("accounts_user_change", [dora.pk]), ("accounts_user_history", [dora.pk])):
        text = desk.text(page, *arguments)
        assert digest not in text
        assert "pbkdf2" not in text


# --- staff who are no operators ----------------------------------------------------------------------------------


def test_an_operator_gives_staff_their_permissions_and_that_is_recorded(desk):
    dora = factories.user("dora")
    view = Permission.objects.get(content_type__app_label="keys", codename="view_key")
    sent = desk.send("accounts_user_change", dora.pk, is_staff="on", user_permissions=[view.pk])
    assert sent.status_code == 302
    assert User.objects.get(pk=dora.pk).has_perm("keys.view_key")
    assert actions(by=desk.user) == ["user.updated", "user.permissions_set"]
    assert Record.objects.latest("pk").after == {"permissions": ["keys.view_key"]}
    assert Desk(dora).get("keys_key_changelist").status_code == 200
    assert Desk(dora).get("tenants_tenant_changelist").status_code == 403


def test_staff_cannot_give_themselves_or_others_more(clerk):
    dora = factories.user("dora")
    everything = list(Permission.objects.values_list("pk", flat=True))
    for person in (clerk.user, dora):
        more = {
            "is_superuser": "on",
            "is_staff": "on",
            "user_permissions": everything,
            "email": f"{person.pk}@example.com",
        }
        assert clerk.send("accounts_user_change", person.pk, **more).status_code == 302
        person.refresh_from_db()
        assert person.email
        assert not person.is_superuser
    assert not dora.is_staff
    assert not User.objects.get(pk=dora.pk).user_permissions.exists()
    assert clerk.user.user_permissions.count() == 3


def test_staff_cannot_touch_an_operator(clerk, operator):
    assert clerk.client.post(clerk.url("accounts_user_change", operator.pk), {"username": "me"}).status_code == 403
    url = clerk.url("auth_user_password_change", operator.pk)
    assert clerk.client.post(url, {"password1": PASSWORD, "password2": PASSWORD}).status_code == 403
    clerk.act("accounts_user_changelist", "deactivate", operator)
    operator.refresh_from_db()
    assert operator.is_active
    assert not operator.check_password(PASSWORD)


# --- at the door ---------------------------------------------------------------------------------------------------


def knock(password: str) -> HttpResponse:
    return Client().post("/sign-in/", {"username": "alice", "password": password})


def test_ten_wrong_passwords_lock_the_door_until_another_is_set(desk, alice):
    alice.is_staff = True
    alice.set_password(PASSWORD)
    alice.save()
    for _ in range(10):
        answer = knock("wrong")
    assert (answer.status_code, answer["Retry-After"]) == (429, "900")
    assert "locked for 15 minutes" in answer.content.decode()
    assert knock(PASSWORD).status_code == 429
    another = PASSWORD + " again"
    passwords = {"password1": another, "password2": another}
    assert desk.client.post(f"/admin/accounts/user/{alice.pk}/password/", passwords).status_code == 302
    assert knock(another).status_code == 302


def test_errors_are_pages_that_lead_back(clerk, settings):
    refused = clerk.get("keys_key_changelist")
    missing = clerk.client.get("/admin/nowhere/")
    stale = Client(enforce_csrf_checks=True).post("/sign-in/", {"username": "alice"})
    settings.ALLOWED_HOSTS = ["weir.example"]
    strange = Client().get("/admin/", headers={"host": "elsewhere.example"})
    for response, status, heading in (
        (refused, 403, "Not yours to see"),
        (missing, 404, "Nothing here"),
        (stale, 403, "Open for too long"),
        (strange, 400, "Not understood"),
    ):
        assert response.status_code == status
        assert heading in response.content.decode()
        assert 'href="/"' in response.content.decode()


def test_the_page_of_a_failure_asks_nothing_that_may_have_failed(rf, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = server_error(rf.get("/admin/"))
    assert answer.status_code == 500
    assert "Something broke" in answer.content.decode()
