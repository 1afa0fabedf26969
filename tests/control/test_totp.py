"""The second factor: set up on one's own account, asked at the door, taken once, and removable by an operator."""

from __future__ import annotations

import base64
import datetime
import re
import threading
from typing import Any

import pytest
from django.contrib import auth
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP

from apps.accounts import services as accounts
from apps.audit.models import Record
from apps.catalog import rotation, vault
from apps.catalog.models import DataKey, Purpose
from apps.runtime import clock
from apps.signin import second_factors
from apps.signin.models import RecoveryCode, SecondFactor
from tests import factories

PASSWORD = "correct horse battery"
pytestmark = [pytest.mark.django_db, pytest.mark.attack("F32")]


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Steps of thirty seconds come when a test says so."""

    class Now:
        at = 1_900_000_000.0

    monkeypatch.setattr(clock, "now", lambda: Now.at)
    return Now


@pytest.fixture
def ada(db: None) -> Any:
    return factories.user("ada", password=PASSWORD)


def shown(user: Any, *, steps: int = 0) -> str:
    """What the app shows, so many steps from now."""
    factor = SecondFactor.objects.get(user=user)
    codes = TOTP(base64.b32decode(vault.open_one(factor.sealed, place=factor.place)))
    codes.time = clock.now() + 30 * steps
    return f"{codes.token():06d}"


def enrolled(user: Any, now: Any) -> list[str]:
    second_factors.begin(user)
    codes = second_factors.confirm(user, code=shown(user))
    user.refresh_from_db()
    now.at += 30
    return codes


def sign_in(client: Client, password: str = PASSWORD, **more: Any) -> Any:
    return client.post("/sign-in/?next=/account/", {"username": "ada", "password": password}, **more)


def is_in(client: Client) -> bool:
    return auth.get_user(client).is_authenticated


# --- setting up ----------------------------------------------------------------------------------------------------


def test_it_is_set_up_on_the_account_page(client, ada, now):
    client.force_login(ada)
    other = Client()
    other.force_login(ada)
    page = client.get("/account/second-factor/").content.decode()
    factor = SecondFactor.objects.get()
    secret = vault.open_one(factor.sealed, place=factor.place)
    assert " ".join(secret[at : at + 4] for at in range(0, 32, 4)) in page
    assert 'src="data:image/svg+xml' in page
    assert not factor.confirmed
    assert client.get("/account/second-factor/").content.decode().count(secret[:4]) == page.count(secret[:4])
    answer = client.post("/account/second-factor/", {"code": shown(ada)})
    codes = re.findall(r"<li>((?:[A-Z2-7]{4}-){3}[A-Z2-7]{4})</li>", answer.content.decode())
    assert len(codes) == len(set(codes)) == 10
    assert is_in(client)
    assert not is_in(other), "sessions that came without it have ended"
    assert SecondFactor.objects.get().confirmed
    assert client.get("/account/second-factor/").status_code == 302
    assert Record.objects.filter(action="second_factor.enrolled", actor_id=ada.pk, area="sign_in").count() == 1


def test_a_wrong_code_sets_nothing_up(client, ada):
    client.force_login(ada)
    client.get("/account/second-factor/")
    wrong = f"{(int(shown(ada)) + 1) % 10**6:06d}"
    answer = client.post("/account/second-factor/", {"code": wrong})
    assert "This code is not right" in answer.content.decode()
    assert not SecondFactor.objects.get().confirmed
    assert sign_in(Client())["location"] == "/account/"


def test_nothing_that_opens_an_account_is_readable_in_the_database(ada, now):
    codes = enrolled(ada, now)
    factor = SecondFactor.objects.get()
    secret = vault.open_one(factor.sealed, place=factor.place)
    assert secret not in factor.sealed
    stored = set(RecoveryCode.objects.values_list("digest", flat=True))
    assert len(stored) == 10
    assert not any(code.replace("-", "") in digest for digest in stored for code in codes)


def test_a_secret_moved_to_somebody_else_opens_nothing(ada, now):
    enrolled(ada, now)
    other = factories.user()
    second_factors.begin(other)
    stolen = SecondFactor.objects.get(user=ada).sealed
    SecondFactor.objects.filter(user=other).update(sealed=stolen)
    with pytest.raises(vault.SecretUnreadable):
        second_factors.begin(other)


def test_another_key_for_credentials_leaves_it_alone(ada, now):
    enrolled(ada, now)
    factories.credential()
    rotation.rotate_dek(None)
    vault.forget()
    assert second_factors.check(ada, code=shown(ada)) == "good"
    assert DataKey.objects.filter(purpose=Purpose.SIGN_IN).count() == 1


# --- at the door ---------------------------------------------------------------------------------------------------


def test_a_password_alone_opens_nothing_any_more(client, ada, now):
    enrolled(ada, now)
    assert sign_in(client)["location"] == "/sign-in/code/"
    assert not is_in(client)
    assert client.get("/account/")["location"].startswith("/sign-in/")
    assert "Enter your code" in client.get("/sign-in/code/").content.decode()
    answer = client.post("/sign-in/code/", {"code": f" {shown(ada)[:3]} {shown(ada)[3:]} "})
    assert answer["location"] == "/account/"
    assert is_in(client)


def test_a_code_is_taken_once(client, ada, now):
    enrolled(ada, now)
    code = shown(ada)
    assert second_factors.check(ada, code=code) == "good"
    assert second_factors.check(ada, code=code) == "wrong"


@pytest.mark.django_db(transaction=True)
def test_of_two_who_show_one_code_at_once_one_is_let_in(now):
    ada = factories.user("ada")
    codes = enrolled(ada, now)
    for code in (shown(ada), codes[0]):
        start = threading.Barrier(2)
        verdicts = []

        def knock(code=code, start=start, verdicts=verdicts):
            start.wait()
            try:
                verdicts.append(second_factors.check(ada, code=code))
            finally:
                connection.close()

        threads = [threading.Thread(target=knock) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(verdicts) == ["good", "wrong"]
        SecondFactor.objects.update(throttling_failure_count=0)


def test_a_clock_may_be_a_step_off_and_no_more(ada, now):
    enrolled(ada, now)
    now.at += 300
    assert second_factors.check(ada, code=shown(ada, steps=2)) == "wrong"
    SecondFactor.objects.update(throttling_failure_count=0)
    assert second_factors.check(ada, code=shown(ada, steps=1)) == "good"


def test_after_a_wrong_code_the_next_has_to_wait(ada, now):
    enrolled(ada, now)
    assert second_factors.check(ada, code="000000" if shown(ada) != "000000" else "000001") == "wrong"
    assert second_factors.check(ada, code=shown(ada)) == "wait", "though it is the right one"
    SecondFactor.objects.update(throttling_failure_timestamp=timezone.now() - datetime.timedelta(seconds=2))
    assert second_factors.check(ada, code=shown(ada)) == "good"


def test_each_recovery_code_opens_once(client, ada, now):
    codes = enrolled(ada, now)
    sign_in(client)
    assert client.post("/sign-in/code/", {"code": codes[3].lower()}).status_code == 302
    assert is_in(client)
    assert RecoveryCode.objects.count() == 9
    assert second_factors.check(ada, code=codes[3]) == "wrong"
    assert Record.objects.filter(action="second_factor.recovery_code_used", target_id=ada.pk).count() == 1


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", "x" * 40, "\0"])
def test_what_is_no_code_opens_nothing(client, ada, now, code):
    enrolled(ada, now)
    sign_in(client)
    assert client.post("/sign-in/code/", {"code": code}).status_code == 200
    assert not is_in(client)


def test_wrong_codes_lock_the_door_as_wrong_passwords_do(client, ada, now):
    enrolled(ada, now)
    for _ in range(5):
        sign_in(Client(), "wrong")
    sign_in(client)
    for _ in range(5):
        SecondFactor.objects.update(throttling_failure_count=0)
        answer = client.post("/sign-in/code/", {"code": "12345"})
    assert answer.status_code == 429
    assert client.post("/sign-in/code/", {"code": shown(ada)}).status_code == 429
    assert sign_in(Client()).status_code == 429
    assert not is_in(client)


def test_between_password_and_code_there_is_no_time_to_lose(client, ada, now, monkeypatch):
    enrolled(ada, now)
    sign_in(client)
    session = client.session
    session["sign_in_pending"] = session["sign_in_pending"] | {"at": 0}
    session.save()
    assert client.post("/sign-in/code/", {"code": shown(ada)})["location"] == "/sign-in/"
    assert not is_in(client)


def test_another_password_meanwhile_ends_the_way_in(client, ada, now):
    enrolled(ada, now)
    sign_in(client)
    accounts.set_password(ada, actor=None, password=PASSWORD + " again")
    assert client.post("/sign-in/code/", {"code": shown(ada)})["location"] == "/sign-in/"
    assert not is_in(client)


def test_nobody_gets_to_the_code_without_a_password(client):
    assert client.get("/sign-in/code/")["location"] == "/sign-in/"


# --- afterwards ----------------------------------------------------------------------------------------------------


def test_it_is_removed_with_a_code(client, ada, now):
    enrolled(ada, now)
    client.force_login(ada)
    assert client.post("/account/second-factor/remove/", {"code": "no"}).status_code == 200
    assert SecondFactor.objects.exists()
    SecondFactor.objects.update(throttling_failure_count=0)
    assert client.post("/account/second-factor/remove/", {"code": shown(ada)})["location"] == "/account/"
    assert not SecondFactor.objects.exists()
    assert is_in(client)
    assert sign_in(Client())["location"] == "/account/"


def test_new_recovery_codes_end_the_old_ones(client, ada, now):
    old = enrolled(ada, now)
    client.force_login(ada)
    page = client.post("/account/recovery-codes/", {"code": shown(ada)}).content.decode()
    new = re.findall(r"<li>((?:[A-Z2-7]{4}-){3}[A-Z2-7]{4})</li>", page)
    assert len(new) == 10
    assert second_factors.check(ada, code=old[0]) == "wrong"
    SecondFactor.objects.update(throttling_failure_count=0)
    assert second_factors.check(ada, code=new[0]) == "good"


def test_an_operator_removes_somebodys(ada, now, operator):
    enrolled(ada, now)
    second_factors.remove(ada, actor=operator)
    row = Record.objects.get(action="second_factor.removed")
    assert (row.actor_id, row.target_id) == (operator.pk, str(ada.pk))
    assert sign_in(Client())["location"] == "/account/"


def test_there_is_one_at_a_time(ada, now):
    enrolled(ada, now)
    with pytest.raises(ValidationError, match="already"):
        second_factors.begin(ada)


# --- required ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "staff", "others"), [("nobody", 0, 0), ("staff", 1, 0), ("everybody", 1, 1)])
def test_who_has_to_have_one_sees_nothing_else_until_then(settings, operator, alice, rule, staff, others):
    settings.WEIR_REQUIRE_TOTP = rule
    for user, is_stopped in ((operator, staff), (alice, others)):
        client = Client()
        client.force_login(user)
        for path in ("/", "/admin/", "/t/acme/"):
            answer = client.get(path)
            stopped = answer.status_code == 302 and answer["location"] == "/account/second-factor/"
            assert stopped == bool(is_stopped), path
        answer = client.get("/api/v1/me")
        assert (answer.status_code == 403 and "second factor" in answer.content.decode()) == bool(is_stopped)
        assert client.get("/account/").status_code == 200
        assert client.get("/account/password/").status_code == (302 if is_stopped else 404), "they have none"


def test_whoever_has_shown_one_goes_on(client, settings, ada, now):
    settings.WEIR_REQUIRE_TOTP = "everybody"
    assert sign_in(client)["location"] == "/account/"
    assert client.get("/")["location"] == "/account/second-factor/"
    assert "requires one" in client.get("/account/second-factor/").content.decode()
    client.post("/account/second-factor/", {"code": shown(ada)})
    assert client.get("/").status_code == 200
    now.at += 30
    later = Client()
    sign_in(later)
    later.post("/sign-in/code/", {"code": shown(ada)})
    assert later.get("/").status_code == 200
