"""Guessing passwords and codes: slowed down by name and by network, whoever is guessed for, and told alike."""

from __future__ import annotations

import datetime
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib import auth
from django.contrib.auth import hashers
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import Record
from apps.signin import guessing, second_factors
from apps.tenants import invitations
from tests import factories

PASSWORD = "correct horse battery"
HERE = "192.0.2.1"
pytestmark = [pytest.mark.django_db, pytest.mark.attack("F32")]


@pytest.fixture
def ada(db: None) -> Any:
    return factories.user("ada", password=PASSWORD)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every password that is hashed: what a try costs, and that it was looked at."""
    found: list[str] = []
    hasher = type(hashers.get_hasher())
    encode = hasher.encode

    def counted(self: Any, password: str, salt: Any, **more: Any) -> str:
        found.append(password)
        return encode(self, password, salt, **more)

    monkeypatch.setattr(hasher, "encode", counted)
    return found


def knock(name: str = "ada", password: str = "wrong", *, at: str = HERE, **headers: str) -> Any:
    """A browser that nobody has seen before, unless it is told apart by its headers."""
    return Client(REMOTE_ADDR=at).post("/sign-in/", {"username": name, "password": password}, headers=headers)


def is_in(answer: Any) -> bool:
    return bool(answer.status_code == 302 and auth.get_user(answer.client).is_authenticated)


def addresses(number: int) -> list[str]:
    return [f"198.51.{place // 200}.{place % 200 + 1}" for place in range(number)]


# --- one name ------------------------------------------------------------------------------------------------------


def test_a_hundred_tries_lock_their_own_address_and_no_other(ada, hashed, figure):
    answers = [knock(password=f"guess {number}").status_code for number in range(100)]
    assert answers == [200] * 9 + [429] * 91
    assert len(hashed) == 10
    assert not is_in(knock(password=PASSWORD)), "from there not even the right one is looked at"
    assert is_in(knock(password=PASSWORD, at="203.0.113.9"))
    figure("F32", "wrong passwords looked at, of 100 from one address", len(hashed) - 1, most=10)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "203.0.113.{}"},
        {"x-real-ip": "203.0.113.{}", "forwarded": "for=203.0.113.{}"},
        {"user-agent": "Mozilla/{}", "accept": "text/{}"},
        {"true-client-ip": "203.0.113.{}", "cf-connecting-ip": "203.0.113.{}"},
    ],
)
def test_no_header_makes_somebody_another(ada, hashed, headers):
    for number in range(25):
        knock(**{name: value.format(number) for name, value in headers.items()})
    assert len(hashed) == guessing.OF_PAIR


def test_whoever_has_one_ipv6_address_has_them_all(ada, hashed):
    for number in range(25):
        knock(at=f"2001:db8:0:7:{number:x}::{number:x}")
    assert len(hashed) == guessing.OF_PAIR
    for number in range(25):
        knock(at=HERE if number % 2 else f"::ffff:{HERE}")
    assert len(hashed) == 2 * guessing.OF_PAIR
    assert is_in(knock(password=PASSWORD, at="2001:db8:0:8::1"))


def test_from_rotating_addresses_a_name_is_guessed_at_slowly_and_stays_its_owner_s(ada, hashed, figure):
    home = "203.0.113.1"
    assert is_in(knock(password=PASSWORD, at=home))
    hashed.clear()
    many = addresses(60)
    for turn in range(4):
        for at in many:
            knock(at=at, password=f"guess {turn}")
    looked_at = len(hashed)
    assert guessing.OF_NAME <= looked_at <= guessing.OF_NAME + 2 * len(many)
    figure("F32", "wrong passwords looked at, of 240 from 60 addresses", looked_at, most=120)
    hashed.clear()
    for at in many:
        knock(at=at)
    assert not hashed, "each has had its try"
    assert is_in(knock(password=PASSWORD, at="203.0.113.200")), "the owner, from where nobody has been wrong"
    assert not is_in(knock(at=home))
    assert is_in(knock(password=PASSWORD, at=home)), "the owner, from where they came in before, after a slip"


# --- one address ---------------------------------------------------------------------------------------------------


def test_an_address_that_tries_one_password_with_every_name_is_shut_out(ada, hashed, figure):
    for number in range(guessing.OF_NETWORK + 50):
        knock(f"person-{number}", "Password123456")
    assert len(hashed) == guessing.OF_NETWORK
    assert not is_in(knock(password=PASSWORD))
    assert is_in(knock(password=PASSWORD, at="203.0.113.9"))
    figure("F32", "names that one address may try, of 150", len(hashed) - 1, most=100)


def test_after_a_quarter_of_an_hour_all_is_forgotten(ada):
    for number in range(20):
        knock(password=f"guess {number}")
    AccessAttempt.objects.update(attempt_time=timezone.now() - datetime.timedelta(minutes=16))
    assert is_in(knock(password=PASSWORD))


def test_tries_at_a_locked_door_leave_nothing_that_grows(ada):
    for number in range(60):
        knock(password=f"guess {number}")
    row = AccessAttempt.objects.get()
    assert row.failures_since_start == guessing.OF_PAIR
    assert len(row.post_data) < 2_000
    assert "guess" not in row.post_data


def test_where_many_share_an_address_a_stranger_shuts_out_nobody_who_came_in_from_there(ada, hashed):
    """Of an office, or of a balancer whose word is not believed."""
    assert is_in(knock(password=PASSWORD))
    factories.user("new", password=PASSWORD)
    for number in range(guessing.OF_NETWORK + 20):
        knock(f"person-{number}", "Password123456")
    assert not is_in(knock("new", PASSWORD))
    assert is_in(knock(password=PASSWORD))
    hashed.clear()
    for number in range(20):
        knock(password=f"guess {number}")
    assert len(hashed) == guessing.OF_PAIR, "a name's own ten are as before"


@pytest.mark.parametrize("site", ["2001:db8:7:{:x}::1", "2001:db8:0:{:x}::1", "2001:0:0:{:x}::1"])
def test_of_a_name_that_many_were_wrong_about_an_ipv6_site_has_one_try(ada, hashed, site):
    for at in addresses(guessing.OF_NAME):
        knock(at=at)
    hashed.clear()
    for number in (3, 0, 9, 0x7000):
        knock(at=site.format(number))
    assert len(hashed) == 1
    assert is_in(knock(password=PASSWORD, at="2001:db8:8:1::1"))


# --- at once -------------------------------------------------------------------------------------------------------


def at_once(knocks: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each of them is answered, all begun in the same moment."""
    gate = threading.Barrier(len(knocks))

    def go(one: Callable[[], Any]) -> Any:
        try:
            gate.wait(60)
            return one()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(knocks)) as threads:
        return list(threads.map(go, knocks))


@pytest.mark.django_db(transaction=True)
def test_of_tries_that_come_at_once_no_more_are_looked_at(ada, hashed, figure):
    """The right one among them is one of ten, or locked out as the others."""
    hashed.clear()
    words = [f"guess {number}" for number in range(24)]
    words.insert(12, PASSWORD)
    answers = at_once([lambda word=word: knock(password=word) for word in words])  # type: ignore[misc]
    told = Counter(answer.status_code for answer in answers)
    assert set(told) <= {200, 302, 429}
    assert len(hashed) <= guessing.OF_PAIR + told[302], "one that was right is no wrong one"
    wrong = len(set(hashed) - {PASSWORD})  # one fewer where the right one was still looked at as all others came
    assert guessing.OF_PAIR - 1 <= wrong <= guessing.OF_PAIR
    assert Record.objects.filter(action="user.locked_out").count() == 1
    assert AccessAttempt.objects.get().failures_since_start == wrong
    figure("F32", "wrong passwords looked at, of 24 at once", wrong, most=10)


@pytest.mark.django_db(transaction=True)
def test_of_names_that_are_tried_at_once_from_one_address_no_more_are_looked_at(ada, hashed, monkeypatch):
    monkeypatch.setattr(guessing, "OF_NETWORK", 5)
    hashed.clear()
    at_once([lambda number=number: knock(f"person-{number}", "Password123456") for number in range(20)])  # type: ignore[misc]
    assert len(hashed) == 5


@pytest.mark.django_db(transaction=True)
def test_who_is_right_many_times_at_once_is_not_counted(ada):
    assert all(is_in(answer) for answer in at_once([lambda: knock(password=PASSWORD)] * guessing.OF_PAIR))
    assert not AccessAttempt.objects.exists()


def test_what_was_right_makes_nothing_before_it_count_for_longer(ada):
    knock()
    before = timezone.now() - datetime.timedelta(minutes=10)
    AccessAttempt.objects.update(attempt_time=before)
    assert is_in(knock(password=PASSWORD))
    row = AccessAttempt.objects.get()
    assert (row.attempt_time, row.failures_since_start) == (before, 1)


# --- nobody is told apart ------------------------------------------------------------------------------------------


def people() -> dict[str, str]:
    """Names that do not get in with `wrong`, by why."""
    factories.user("known", password=PASSWORD)
    accounts.deactivate(factories.user("gone", password=PASSWORD), actor=None)
    factories.user("by-provider")
    enrolled = factories.user("with-factor", password=PASSWORD)
    second_factors.begin(enrolled)
    factories.user("operator", password=PASSWORD, is_staff=True, is_superuser=True)
    return {
        **{"a stranger": "nobody", "a wrong password": "known", "shut off": "gone", "no password": "by-provider"},
        **{"a second factor": "with-factor", "an operator": "operator", "a name in capitals": "KNOWN"},
        **{"no name": "'; DROP TABLE x --", "a long one": "x" * 150},
    }


def test_why_a_name_does_not_get_in_is_told_by_neither_words_nor_work(hashed):
    told = {}
    for why, name in people().items():
        hashed.clear()
        answer = knock(name, at=f"192.0.2.{len(told) + 10}")
        shown = [line for line in answer.content.decode().splitlines() if 'value="' not in line]
        told[why] = (answer.status_code, shown, len(hashed))
    assert {status for status, _, _ in told.values()} == {200}
    assert {work for _, _, work in told.values()} == {1}, "each costs one password's hashing"
    assert all(shown == told["a stranger"][1] for _, shown, _ in told.values())


def test_who_is_shut_off_is_not_told_so_by_the_right_password_either(hashed):
    accounts.deactivate(factories.user("gone", password=PASSWORD), actor=None)
    hashed.clear()
    right, wrong = knock("gone", PASSWORD), knock("gone")
    assert right.status_code == wrong.status_code == 200
    assert "do not belong together" in right.content.decode()
    assert len(hashed) == 2


def test_names_of_nobody_are_locked_as_others_are(ada):
    for name in ("ada", "nobody"):
        assert [knock(name).status_code for _ in range(11)] == [200] * 9 + [429] * 2


# --- what an admin sees of it --------------------------------------------------------------------------------------


def test_that_somebody_is_locked_out_is_recorded_once_and_for_people_only(ada):
    for number in range(3 * guessing.OF_PAIR):
        knock(password=f"guess {number}", at=addresses(3)[number % 3])
        knock("nobody", f"guess {number}", at=addresses(3)[number % 3])
    row = Record.objects.get(action="user.locked_out")
    assert (row.actor_id, row.target_id, row.area) == (None, str(ada.pk), "sign_in")
    assert row.after["network"] == row.address == addresses(3)[0]
    assert "guess" not in str(row.after)
    assert not Record.objects.filter(target_label__contains="nobody").exists()


# --- other secrets than passwords ----------------------------------------------------------------------------------


@pytest.fixture
def enrolled(ada: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    second_factors.begin(ada)
    monkeypatch.setattr(TOTP, "verify", lambda *_, **__: True)
    second_factors.confirm(ada, code="123456")
    ada.refresh_from_db()
    return ada


@pytest.mark.parametrize("write", ["{:06d}".format, "ABCD-EFGH-{:04d}".format])
def test_codes_are_guessed_at_ever_more_slowly_from_wherever(
    enrolled, monkeypatch, figure, write: Callable[[int], str]
):
    """Somebody has the password, as many addresses as they like, and an hour: one code a minute."""
    looked_at: list[str] = []
    monkeypatch.setattr(second_factors, "_is_shown", lambda _, typed: bool(looked_at.append(typed)))
    begun = timezone.now()
    for number, at in enumerate(addresses(60)):
        later = begun + datetime.timedelta(minutes=number)
        monkeypatch.setattr(timezone, "now", lambda later=later: later)
        client = Client(REMOTE_ADDR=at)
        client.post("/sign-in/", {"username": "ada", "password": PASSWORD})
        assert client.post("/sign-in/code/", {"code": write(number)}).status_code == 200
        assert not auth.get_user(client).is_authenticated
    assert 2 <= len(looked_at) <= 13
    figure("F32", "second factors looked at, of 60 from 60 addresses in an hour", len(looked_at), most=13)


@pytest.mark.django_db(transaction=True)
def test_of_codes_that_come_at_once_one_is_looked_at(enrolled, monkeypatch):
    """The next has to wait; what was not looked at is not counted."""
    looked_at: list[str] = []
    monkeypatch.setattr(second_factors, "_is_shown", lambda _, typed: bool(looked_at.append(typed)))
    clients = [Client(REMOTE_ADDR=HERE) for _ in range(8)]
    for client in clients:
        client.post("/sign-in/", {"username": "ada", "password": PASSWORD})
    assert not AccessAttempt.objects.exists()
    ways = [lambda client=client: client.post("/sign-in/code/", {"code": "123456"}) for client in clients]  # type: ignore[misc]
    assert {answer.status_code for answer in at_once(ways)} == {200}
    assert len(looked_at) == AccessAttempt.objects.get().failures_since_start <= 2


def test_tokens_of_invitations_are_told_apart_by_nothing(acme, alice, django_assert_num_queries):
    def invited() -> Any:
        return invitations.invite(acme, actor=alice, email=f"a{User.objects.count()}@example.com", role="viewer")

    over, back = invited(), invited()
    type(over.invitation).objects.filter(pk=over.invitation.pk).update(expires_at=timezone.now())
    back_again = type(back.invitation).objects.get(pk=back.invitation.pk)
    invitations.withdraw(back_again, actor=alice)
    pages = set()
    for token in ("never-was", over.token, back.token, back.token[:-1], back.token + "x", "é", "'", "x" * 5_000):
        answer = Client().get(f"/invitations/{token}/")
        pages.add((answer.status_code, answer.content.decode()))
    assert len(pages) == 1
    assert pages.pop()[0] == 404
