"""At the door: one page for all, what it leads to, and what the log tells of sign-ins that fail."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import auth
from django.test import Client
from django.urls import reverse

from tests import factories

PASSWORD = "correct horse battery"
pytestmark = [pytest.mark.django_db, pytest.mark.attack("F32")]


def person(**fields: Any) -> dict[str, str]:
    """What they type."""
    return {"username": factories.user(password=PASSWORD, **fields).username, "password": PASSWORD}


@pytest.mark.attack("F25")
def test_a_failed_sign_in_is_logged_with_name_and_address_but_not_the_password(caplog):
    factories.user("mallory")
    with caplog.at_level(logging.INFO):
        answer = Client(REMOTE_ADDR="192.0.2.7").post(
            reverse("sign_in"), {"username": "mallory", "password": "quagga-quagga-quagga"}
        )
    told = [record.getMessage() for record in caplog.records if record.name.startswith("axes")]
    assert any("mallory" in line and "192.0.2.7" in line for line in told), told
    assert "quagga" not in caplog.text
    page = answer.content.decode()
    assert "do not belong together" in page
    assert "quagga" not in page


@pytest.mark.attack("F25")
def test_a_password_that_was_typed_as_a_name_is_told_and_kept_as_a_digest(caplog):
    with caplog.at_level(logging.INFO):
        for given in (PASSWORD, PASSWORD, "quagga"):
            Client(REMOTE_ADDR="192.0.2.7").post(reverse("sign_in"), {"username": given, "password": "x"})
    told = [record.getMessage() for record in caplog.records if record.name.startswith("axes")]
    assert told
    assert PASSWORD not in caplog.text
    kept = dict(AccessAttempt.objects.values_list("username", "failures_since_start"))
    assert sorted(kept.values()) == [1, 2], "one is told from another"
    assert not {PASSWORD, "quagga"} & kept.keys()
    assert PASSWORD not in str(list(AccessAttempt.objects.values()))


@pytest.mark.parametrize("wanted", ["/admin/catalog/provider/?q=x", "/t/acme/keys/"])
def test_it_leads_to_the_page_that_was_wanted(client, wanted):
    led = client.get(wanted)
    if wanted.startswith("/admin/"):
        assert led["location"].startswith("/admin/login/")
        led = client.get(led["location"])
    assert led["location"].startswith("/sign-in/?next=")
    answer = client.post(led["location"], person(is_staff=True, is_superuser=True))
    assert answer["location"] == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        *("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "http:///evil.example"),
        *("\x00//evil.example", " //evil.example", "/%0d%0a//evil.example/../..//evil.example", "evil.example", ""),
    ],
)
def test_it_leads_to_no_other_site(client, wanted):
    location = client.post(reverse("sign_in", query={"next": wanted}), person())["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


@pytest.mark.parametrize(
    "key", ["sessionkey\x00", '"sessionkey\\000"', '"sessionkey\\355\\240\\200"', "k" * 5_000, "key\xed\xa0\xbd" * 9]
)
def test_who_shows_a_session_that_can_be_none_is_nobody(client, key):
    name = settings.SESSION_COOKIE_NAME
    client.cookies[name] = ""
    client.cookies[name].set(name, key, key)  # as it is written on the wire
    assert client.get("/sign-in/").status_code == 200
    assert client.get("/account/")["location"] == "/sign-in/?next=/account/"
    assert client.post("/sign-in/", person()).status_code == 302
    assert auth.get_user(client).is_authenticated


def test_whoever_may_not_see_the_admin_is_told_so_and_led_in_no_circle(client):
    client.post("/sign-in/", person())
    answer = client.get("/admin/", follow=True)
    assert answer.status_code == 403
    assert len(answer.redirect_chain) == 1


def test_whoever_is_nowhere_a_member_is_told_what_to_do(client):
    page = client.post("/sign-in/", person(), follow=True)
    assert page.status_code == 200
    assert "belong to no tenant" in page.content.decode()


def test_whoever_is_in_is_led_on(client):
    client.force_login(factories.user())
    assert client.get("/sign-in/?next=/account/")["location"] == "/account/"
    assert client.get("/sign-in/?next=//evil.example")["location"] == "/"


@pytest.mark.parametrize("page", ["/sign-out/", "/admin/logout/"])
def test_one_goes_by_a_button_and_not_by_a_link(client, page):
    client.post("/sign-in/", person(is_staff=True))
    assert client.get(page).status_code == 405
    assert auth.get_user(client).is_authenticated
    assert "You have signed out" in client.post(page, follow=True).content.decode()
    assert not auth.get_user(client).is_authenticated


def test_forms_of_other_sites_change_nothing(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    for name in (
        *("sign_out", "account_password", "account_second_factor", "account_second_factor_remove"),
        *("account_recovery_codes", "account_sign_out_everywhere"),
    ):
        assert client.post(reverse(name)).status_code == 403, name
    assert auth.get_user(client).is_authenticated


def test_the_account_is_for_its_owner(client):
    for name in ("account", "account_password", "account_second_factor", "account_recovery_codes"):
        assert client.get(reverse(name))["location"].startswith("/sign-in/?next=/account/"), name


# --- one's own password --------------------------------------------------------------------------------------------


def test_another_password_ends_other_sessions(client):
    typed = person()
    client.post("/sign-in/", typed)
    other = Client()
    other.post("/sign-in/", typed)
    new = PASSWORD + " again"
    answer = client.post("/account/password/", {"old": PASSWORD, "new": new, "again": new}, follow=True)
    assert "has been changed" in answer.content.decode()
    assert auth.get_user(client).is_authenticated
    assert not auth.get_user(other).is_authenticated
    assert Client().post("/sign-in/", typed | {"password": new}).status_code == 302


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"old": "wrong"}, "not your password"),
        ({"again": "something else"}, "not the same"),
        ({"new": "short", "again": "short"}, "too short"),
        ({"new": ""}, "required"),
    ],
)
def test_a_password_that_will_not_do_is_told_at_its_field(client, changes, told):
    typed = person()
    client.post("/sign-in/", typed)
    new = PASSWORD + " again"
    answer = client.post("/account/password/", {"old": PASSWORD, "new": new, "again": new} | changes)
    assert told in answer.content.decode()
    assert Client().post("/sign-in/", typed).status_code == 302


def test_guessing_the_old_password_counts(client):
    typed = person()
    client.post("/sign-in/", typed)
    for _ in range(10):
        answer = client.post("/account/password/", {"old": "wrong", "new": "x", "again": "x"})
    assert answer.status_code == 429


def test_one_signs_out_everywhere_else(client):
    typed = person()
    client.post("/sign-in/", typed)
    other = Client()
    other.post("/sign-in/", typed)
    client.post("/account/sign-out-everywhere/")
    assert auth.get_user(client).is_authenticated
    assert not auth.get_user(other).is_authenticated
