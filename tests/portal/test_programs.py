"""Programs that people sign in: the device grant from both of its sides, refreshed tokens, and the end of it."""

from __future__ import annotations

import datetime
import json

import pytest
import time_machine
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from apps.accounts import services as accounts
from apps.audit.models import Record
from apps.keys import callers, grants
from apps.keys.models import DeviceCode, Grant, GrantToken
from apps.portal import device as page
from apps.portal.programs import DEVICE_CODE
from apps.runtime.redact import redact
from apps.tenants import services as tenants
from apps.tenants.models import Role
from tests import factories
from tests.portal.visitor import errors

pytestmark = pytest.mark.django_db
MINUTE = datetime.timedelta(minutes=1)
AGENT = "claude-cli/2.1.240 (external, cli)"


@pytest.fixture(autouse=True)
def _untried():
    cache.clear()


class Program:
    """As Claude Code asks, without cookies."""

    def __init__(self, **options) -> None:
        self.client = Client(enforce_csrf_checks=True, headers={"user-agent": AGENT}, **options)

    def begin(self) -> dict:
        return self.asked("/oauth/device_authorization", {})

    def poll(self, begun: dict, *, status: int = 400) -> dict:
        form = {"grant_type": DEVICE_CODE, "device_code": begun["device_code"]}
        return self.asked("/oauth/token", form, status=status)

    def refresh(self, tokens: dict, *, status: int = 200) -> dict:
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        return self.asked("/oauth/token", form, status=status)

    def asked(self, path: str, form: dict, *, status: int = 200) -> dict:
        response = self.client.post(path, form)
        assert response.status_code == status, response.content
        assert response["Cache-Control"] == "no-store"
        return response.json()


def person(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def let_in(begun: dict, user, project, **form):
    return person(user).post(
        "/device/", {"user_code": begun["user_code"], "decision": "approve", "project": project.pk, **form}
    )


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture
def tokens(program, bob, website) -> dict:
    begun = program.begin()
    assert let_in(begun, bob, website).status_code == 200
    return program.poll(begun, status=200)


def who(tokens: dict):
    return callers.of_access_token(tokens["access_token"])


def test_metadata_says_where_to_begin(program):
    told = program.client.get("/.well-known/oauth-authorization-server").json()
    base = settings.WEIR_BASE_URL
    assert told["issuer"] == base
    assert told["device_authorization_endpoint"] == f"{base}/oauth/device_authorization"
    assert told["token_endpoint"] == f"{base}/oauth/token"
    assert told["grant_types_supported"] == [DEVICE_CODE, "refresh_token"]
    assert "authorization_endpoint" not in told
    protocol = program.client.get("/protocol")
    assert protocol["Content-Type"].startswith("text/markdown")
    assert f"{base}" in protocol.content.decode()


def test_a_program_is_let_in_for_a_project_by_a_person(program, bob, website):
    begun = program.begin()
    assert (begun["expires_in"], begun["interval"]) == (600, 5)
    assert begun["verification_uri_complete"] == f"{begun['verification_uri']}?user_code={begun['user_code']}"
    assert len(begun["device_code"]) >= 43
    assert program.poll(begun) == {"error": "authorization_pending"}
    response = let_in(begun, bob, website)
    assert "is in" in response.content.decode()
    told = program.poll(begun, status=200)
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 3600)
    principal = who(told)
    assert (principal.user_id, principal.project_id, principal.tenant_id) == (bob.pk, website.pk, website.tenant_id)
    assert principal.key_id is None
    assert program.poll(begun)["error"] == "invalid_grant", "a code is good once"
    grant = Grant.objects.get()
    assert (grant.client, grant.address) == (AGENT, "127.0.0.1")
    assert Record.objects.get(action="grant.approved").actor_id == bob.pk


def test_the_database_holds_no_token(program, tokens):
    stored = b" ".join(bytes(row.digest) for row in GrantToken.objects.all())
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert token.encode() not in stored
        assert token[-49:] not in redact(f"it was {token}")


def test_the_page_shows_what_is_let_in_and_does_nothing_by_itself(program, bob, website, globex):
    begun = program.begin()
    client = person(bob)
    text = client.get("/device/", {"user_code": begun["user_code"]}).content.decode()
    assert begun["user_code"] in text
    text = client.post("/device/", {"user_code": begun["user_code"].lower().replace("-", " ")}).content.decode()
    assert AGENT in text
    assert "Website" in text
    assert "Globex" not in text
    assert program.poll(begun) == {"error": "authorization_pending"}
    assert not Grant.objects.exists()


def test_the_page_is_for_who_is_signed_in_and_sends_its_own_form(program, bob, website):
    begun = program.begin()
    form = {"user_code": begun["user_code"], "decision": "approve", "project": website.pk}
    response = Client().post("/device/", form)
    assert response.status_code == 302
    assert "next=/device/" in response["Location"]
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(bob)
    assert forged.post("/device/", form).status_code == 403
    assert not Grant.objects.exists()


def test_nobody_lets_a_program_in_where_they_may_not_call(program, bob, vera, charlie, website, globex):
    begun = program.begin()
    theirs = factories.project(globex, "Theirs")
    closed = factories.project(website.tenant, "Closed")
    tenants.deactivate_project(closed, actor=None)
    for user, project in ((bob, theirs), (bob, closed), (charlie, website), (vera, website)):
        assert "Let" in let_in(begun, user, project).content.decode()
    form = {"user_code": begun["user_code"], "decision": "approve"}
    for wrong in ("", "x", "-1", "9" * 40):
        assert "project" in errors(person(bob).post("/device/", form | {"project": wrong}))
    assert not Grant.objects.exists()
    assert program.poll(begun) == {"error": "authorization_pending"}


def test_a_program_that_is_refused_is_told_so(program, bob):
    begun = program.begin()
    person(bob).post("/device/", {"user_code": begun["user_code"], "decision": "deny"})
    assert program.poll(begun) == {"error": "access_denied"}
    assert Record.objects.get(action="grant.denied").actor_id == bob.pk
    text = person(bob).post("/device/", {"user_code": begun["user_code"]}).content.decode()
    assert "No program waits" in text


def test_a_code_is_good_for_ten_minutes(program, bob, website):
    begun = program.begin()
    with time_machine.travel(timezone.now() + 10 * MINUTE, tick=False):
        assert "No program waits" in let_in(begun, bob, website).content.decode()
        assert program.poll(begun) == {"error": "expired_token"}
    with time_machine.travel(timezone.now() + 25 * MINUTE, tick=False):
        Program().begin()
        assert program.poll(begun) == {"error": "invalid_grant"}
        assert DeviceCode.objects.count() == 1


def test_who_asks_too_often_is_slowed_down(program):
    now = timezone.now()
    with time_machine.travel(now, tick=False) as clock:
        begun = program.begin()
        assert program.poll(begun)["error"] == "authorization_pending"
        clock.shift(1)
        assert program.poll(begun, status=429) == {"error": "slow_down"}
        clock.shift(5)
        assert program.poll(begun, status=429) == {"error": "slow_down"}, "it is ten seconds by now"
        clock.shift(20)
        assert program.poll(begun)["error"] == "authorization_pending"


def test_an_address_has_so_many_codes(program, monkeypatch):
    monkeypatch.setattr(grants, "MOST_OF_AN_ADDRESS", 2)
    program.begin()
    program.begin()
    assert program.asked("/oauth/device_authorization", {}, status=429) == {"error": "slow_down"}
    elsewhere = Program(REMOTE_ADDR="192.0.2.7")
    elsewhere.begin()


def test_codes_cannot_be_guessed_for_long(program, bob, website):
    begun = program.begin()
    client = person(bob)
    for _ in range(page.MOST_TRIES):
        assert client.post("/device/", {"user_code": "BBBB-BBBB"}).status_code == 422
    assert client.post("/device/", {"user_code": begun["user_code"]}).status_code == 429
    assert let_in(begun, bob, website).status_code == 429


@pytest.mark.parametrize("code", ["", "x", "A" * 8, "ÄÖÜ", "\0" * 8, "B" * 500, "<b>BBBB"])
def test_what_is_no_code_is_told_at_the_field(bob, code):
    response = person(bob).post("/device/", {"user_code": code})
    assert "user_code" in errors(response)
    assert 'role="alert"' in response.content.decode()


def test_a_refresh_token_is_good_once(program, tokens, bob):
    now = timezone.now()
    with time_machine.travel(now + 30 * MINUTE, tick=False) as clock:
        fresh = program.refresh(tokens)
        assert len({fresh["access_token"], fresh["refresh_token"], *tokens.values()}) == 6
        assert who(fresh) is not None
        assert who(tokens) is not None, "calls that are just being made go on"
        clock.shift(grants.TOGETHER)
        beside = program.refresh(tokens)  # another window of the same program, at the same time
        clock.shift(1)
        assert program.refresh(tokens, status=401) == {"error": "invalid_grant"}
        for each in (fresh, beside):
            assert who(each) is None
            assert program.refresh(each, status=401) == {"error": "invalid_grant"}
    grant = Grant.objects.get()
    assert grant.ended_why == "token used twice"
    assert Record.objects.get(action="grant.ended").after["why"] == "token used twice"


def test_tokens_end(program, tokens):
    now = timezone.now()
    with time_machine.travel(now + grants.ACCESS, tick=False):
        assert who(tokens) is None
    with time_machine.travel(now + grants.REFRESH, tick=False):
        assert program.refresh(tokens, status=401) == {"error": "invalid_grant"}


@pytest.mark.parametrize("way", ["left", "viewer", "deactivated", "project", "tenant"])
def test_who_may_call_no_more_gets_no_more_tokens(program, tokens, bob, website, way):
    member = bob.memberships.get()
    if way == "left":
        tenants.remove_member(member, actor=None)
    elif way == "viewer":
        tenants.change_role(member, actor=None, role="viewer")
    elif way == "deactivated":
        accounts.deactivate(bob, actor=None)
    elif way == "project":
        tenants.deactivate_project(website, actor=None)
    else:
        tenants.deactivate_tenant(website.tenant, actor=None)
    assert program.refresh(tokens, status=401) == {"error": "invalid_grant"}
    assert Grant.objects.get().ended_why == "no member any more"


def test_a_program_signs_out(program, tokens):
    for _ in range(2):
        assert program.asked("/oauth/revoke", {"token": tokens["refresh_token"]}) == {}
    assert who(tokens) is None
    assert program.refresh(tokens, status=401) == {"error": "invalid_grant"}
    assert Grant.objects.get().ended_why == "signed out"
    assert program.asked("/oauth/revoke", {"token": "nonsense"}) == {}


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": DEVICE_CODE}, "invalid_request"),
        ({"grant_type": DEVICE_CODE, "device_code": "x" * 201}, "invalid_request"),
        ({"grant_type": DEVICE_CODE, "device_code": "nobody's"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "device_code": "x"}, "invalid_request"),
    ],
)
def test_what_cannot_be_answered_says_why(program, form, error):
    assert program.asked("/oauth/token", form, status=400) == {"error": error}
    assert program.client.get("/oauth/token").status_code == 405
    assert program.client.post("/oauth/token", json.dumps(form), content_type="application/json").status_code == 400


def test_people_see_and_end_their_own_programs(tokens, bob, ann, vera, charlie, website):
    grant = Grant.objects.get()
    other = factories.member(website.tenant, "eve", Role.DEVELOPER)
    page, end = "/t/acme/programs/", f"/t/acme/programs/{grant.pk}/end/"
    for user in (bob, ann):
        assert AGENT in person(user).get(page).content.decode()
    for nobody in (other, vera):
        assert AGENT not in person(nobody).get(page).content.decode()
        assert person(nobody).post(end).status_code == 404
    assert person(charlie).get(page).status_code == person(charlie).post(end).status_code == 404
    assert person(bob).get(end).status_code == 405
    assert who(tokens) is not None
    assert person(bob).post(end)["Location"] == page
    assert who(tokens) is None
    assert "ended by its person" in person(ann).get(page).content.decode()
