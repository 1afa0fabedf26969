"""The page that shows a secret: once, to the browser that made it, and again does nothing."""

from __future__ import annotations

import time

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

from apps.keys import handover
from apps.keys.models import Key, KeySecret
from apps.keys.selectors import principal
from tests import factories
from tests.control.desk import Desk

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def answer(desk, website):
    """To the form that issues a key, before the browser has gone where it is sent."""
    response = desk.send("keys_key_add", name="Laptop", project=website.pk)
    assert response.status_code == 302
    return response


def test_the_page_is_seen_once_and_again_issues_nothing(desk, answer):
    first = desk.client.get(answer["location"])
    plaintext = first.context["plaintext"]
    assert principal(plaintext).key_id == Key.objects.get().pk
    assert plaintext in first.content.decode()
    assert "no-store" in first["Cache-Control"]
    again = desk.client.get(answer["location"])
    assert plaintext not in again.content.decode()
    assert "A key is shown once" in again.content.decode()
    assert (Key.objects.count(), KeySecret.objects.count()) == (1, 1)


def test_the_rotations_page_again_rotates_nothing(desk, website):
    key = factories.key(website).key
    answer = desk.send("keys_key_rotate", key.pk, overlap="1")
    new = desk.client.get(answer["location"]).context["plaintext"]
    again = desk.client.get(answer["location"])
    assert new not in again.content.decode()
    assert desk.url("keys_key_rotate", key.pk) in again.content.decode()
    assert KeySecret.objects.count() == 2
    assert principal(new).key_id == key.pk


def test_on_its_way_the_secret_is_in_no_address_and_nowhere_in_the_database(desk, answer):
    cookie = desk.client.cookies["weir_issued"]
    with connection.cursor() as cursor:
        tables = {}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            tables[table] = str(cursor.fetchall())
    stored = [str(row.get_decoded()) for row in Session.objects.all()]
    plaintext = desk.client.get(answer["location"]).context["plaintext"]
    secret = plaintext.rpartition("_")[2]
    places = [*tables.values(), *stored, answer["location"], str(answer.headers), cookie.value]
    assert not [place for place in places if secret in place]
    assert not [place for place in (*tables.values(), *stored) if cookie.value in place]
    assert handover._SLOT in str(stored)
    assert handover._SLOT not in str([row.get_decoded() for row in Session.objects.all()])


def test_the_browsers_half_is_for_one_page_and_five_minutes(desk, answer, settings):
    cookie = desk.client.cookies["weir_issued"]
    assert (cookie["path"], cookie["max-age"]) == (answer["location"], 300)
    assert (cookie["httponly"], cookie["samesite"], bool(cookie["secure"])) == (True, "Strict", False)
    shown = desk.client.get(answer["location"])
    assert (shown.cookies["weir_issued"].value, shown.cookies["weir_issued"]["path"]) == ("", answer["location"])
    settings.SESSION_COOKIE_SECURE = True
    assert desk.send("keys_key_rotate", Key.objects.get().pk, overlap="0").cookies["weir_issued"]["secure"]


@pytest.mark.parametrize("half", ["the session", "the cookie", "another cookie"])
def test_one_half_alone_shows_nothing(half, desk, answer):
    client = Client()
    if half == "the session":
        client.cookies["sessionid"] = desk.client.cookies["sessionid"].value
    elif half == "the cookie":
        client.force_login(desk.user)
        client.cookies["weir_issued"] = desk.client.cookies["weir_issued"].value
    else:
        client.cookies["sessionid"] = desk.client.cookies["sessionid"].value
        client.cookies["weir_issued"] = "x" * 43
    shown = client.get(answer["location"])
    assert (shown.status_code, shown.context["plaintext"]) == (200, "")


def test_after_five_minutes_it_is_too_late(desk, answer, monkeypatch):
    late = time.time() + handover.SECONDS + 1
    monkeypatch.setattr(handover.time, "time", lambda: late)
    assert desk.client.get(answer["location"]).context["plaintext"] == ""


def test_another_keys_page_shows_nothing_and_takes_nothing(desk, website, answer):
    other = factories.key(website).key
    assert desk.get("keys_key_issued", other.pk).context["plaintext"] == ""
    assert desk.client.get(answer["location"]).context["plaintext"]


def test_who_may_only_look_does_not_open_the_page(answer):
    viewer = Desk(factories.staff("keys.view_key"))
    assert viewer.get("keys_key_issued", Key.objects.get().pk).status_code == 403
