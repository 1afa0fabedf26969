"""What a copy of the database says of sessions: nothing that a browser could show."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.models import Session
from django.test import Client

from apps.signin.session_store import SessionStore, stored
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.attack("F25")]


@pytest.fixture
def signed_in():
    client = Client()
    client.force_login(factories.user())
    return client


def test_what_the_database_holds_opens_no_session(signed_in):
    key = signed_in.session.session_key
    row = Session.objects.get()
    assert row.session_key == stored(key) != key
    for shown in (row.session_key, key[:-1], key.upper()):
        thief = Client()
        thief.cookies[settings.SESSION_COOKIE_NAME] = shown
        assert not auth.get_user(thief).is_authenticated
    thief.cookies[settings.SESSION_COOKIE_NAME] = key
    assert auth.get_user(thief).is_authenticated


def test_a_session_is_found_changed_given_another_key_and_ended(signed_in):
    store = signed_in.session
    former = store.session_key
    store["a"] = 1
    store.save()
    assert SessionStore(former)["a"] == 1
    store.cycle_key()
    assert not SessionStore(former).exists(former)
    assert SessionStore(store.session_key)["a"] == 1
    assert Session.objects.get().session_key == stored(store.session_key)
    store.flush()
    assert not Session.objects.exists()


def test_a_session_that_is_over_opens_nothing(signed_in):
    key = signed_in.session.session_key
    Session.objects.update(expire_date="2020-01-01T00:00:00Z")
    assert SessionStore(key).load() == {}


def test_what_asks_in_a_loop_asks_the_same(signed_in):
    async def ask() -> None:
        store = SessionStore(signed_in.session.session_key)
        assert await store.aget("_auth_user_id")
        await store.aset("b", 2)
        await store.asave()
        assert await store.aexists(store.session_key)
        await store.adelete()
        assert not await store.aexists(store.session_key)

    async_to_sync(ask)()
    assert not Session.objects.exists()
