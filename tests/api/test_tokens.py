"""Tokens: told once, kept as digests, never wider than who owns them, and dead with them."""

from __future__ import annotations

import datetime
import io
import json

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.access import rotation, services
from apps.access.models import Token
from apps.accounts import services as accounts
from apps.api import rates
from apps.audit.models import Record
from apps.catalog.models import Credential
from apps.domain import keys as format_of_keys
from apps.runtime.redact import redact
from apps.tenants import services as tenants
from apps.tenants.models import Membership
from tests import factories
from tests.api import caller
from tests.api.caller import Caller, errors


def test_a_token_is_told_once_and_kept_as_a_digest(world):
    made = world.owner.post("/tokens", {"name": "ci"})
    assert made.status_code == 201
    secret, pk = made.json()["secret"], made.json()["id"]
    assert secret.startswith("weirapi_")
    assert format_of_keys.public_id(secret, prefix=format_of_keys.OF_TOKENS) == made.json()["public_id"]
    token = Token.objects.get(pk=pk)
    assert secret not in str(vars(token))
    assert "secret" not in world.owner.get(f"/tokens/{pk}")
    assert token.scope == "read"
    assert abs(token.expires_at - timezone.now() - services.USUAL_LIFETIME) < datetime.timedelta(minutes=1)
    record = Record.objects.filter(action="token.issued").latest("pk")
    assert secret not in str(record.after)
    assert record.actor_id == world.people["owner"].pk
    assert Caller(secret).get("/me")["token"]["id"] == pk


def test_a_token_in_a_log_line_is_cut(world):
    issued = services.issue(world.people["owner"], name="leaky")
    cut = redact(f"it was {issued.plaintext}, they say")
    assert issued.plaintext not in cut
    assert issued.token.public_id in cut


@pytest.mark.attack("F26")
def test_what_is_no_token_asks_nothing_of_the_database(world, django_assert_num_queries):
    for word in ("x", "weirapi_", "weir_" + "a" * 62, "weirapi_" + "0" * 12 + "_" + "0" * 49, "ü"):
        with django_assert_num_queries(0):
            assert Caller(word)("GET", "/me").status_code == 401


def test_a_key_is_told_apart_from_a_token(world):
    key = factories.key(world.rows["Project"]).plaintext
    answer = Caller(key)("GET", "/me")
    assert (answer.status_code, "This is a key" in answer.json()["detail"]) == (401, True)
    assert key not in answer.content.decode()


@pytest.mark.attack("F26")
def test_a_token_s_typo_is_refused_by_its_checksum(world):
    secret = services.issue(world.people["owner"], name="typo").plaintext
    for place in (9, 30, len(secret) - 1):
        wrong = secret[:place] + ("a" if secret[place] != "a" else "b") + secret[place + 1 :]
        assert Caller(wrong)("GET", "/me").status_code == 401
    assert Caller(secret)("GET", "/me").status_code == 200


def test_a_revoked_token_is_dead_and_so_is_that_of_somebody_shut_off(world):
    person = factories.member(world.acme, "mortal")
    first, second = caller.of(person), caller.of(person)
    token = first.get("/me")["token"]["id"]
    assert second.post(f"/tokens/{token}/revoke").status_code == 200
    assert second.post(f"/tokens/{token}/revoke").status_code == 200  # twice is once
    assert first("GET", "/me").status_code == 401
    accounts.deactivate(person, actor=None)
    assert second("GET", "/me").status_code == 401


def test_who_leaves_a_tenant_reaches_it_no_more(world):
    person = factories.member(world.acme, "leaver")
    program = caller.of(person)
    assert len(program.get("/tenants")["items"]) == 1
    tenants.remove_member(Membership.objects.get(user=person), actor=None)
    assert program.get("/tenants")["items"] == []
    assert program("GET", f"/tenants/{world.acme.pk}").status_code == 404


@pytest.mark.attack("F28")
def test_a_confined_token_is_a_member_s_there_and_nothing_elsewhere(world):
    operator = caller.of(world.people["operator"], tenant=world.globex)
    assert [row["id"] for row in operator.get("/tenants")["items"]] == [world.globex.pk]
    assert operator("GET", f"/tenants/{world.acme.pk}").status_code == 404
    assert operator("GET", "/providers").status_code == 403
    assert operator("POST", "/users", {}).status_code == 403
    assert operator("GET", f"/keys/{world.ids['keys']}").status_code == 404
    assert operator.post("/projects", {"tenant": world.globex.pk, "name": "By its operator"}).status_code == 201
    refused = operator.post("/projects", {"tenant": world.acme.pk, "name": "Elsewhere"})
    assert errors(refused)["tenant"] == ["There is no such tenant."]
    assert [row["tenant"] for row in operator.get("/tokens")["items"]] == [world.globex.pk]


@pytest.mark.attack("F28")
def test_a_token_issues_none_that_is_wider_than_itself(world):
    soon = timezone.now() + datetime.timedelta(days=2)
    narrow = caller.of(world.people["owner"], tenant=world.acme, expires_at=soon)
    made = narrow.post("/tokens", {"name": "child", "scope": "write"})
    assert made.json()["tenant"] == world.acme.pk
    assert made.json()["expires_at"] == narrow.get("/me")["token"]["expires_at"]
    later = (soon + datetime.timedelta(days=1)).isoformat()
    assert "expires_at" in errors(narrow.post("/tokens", {"name": "x", "expires_at": later}))
    assert "tenant" in errors(narrow.post("/tokens", {"name": "x", "tenant": None}))
    assert world.reader("POST", "/tokens", {"name": "x"}).status_code == 403


def test_nobody_has_a_token_confined_to_a_tenant_that_is_not_theirs(world):
    assert errors(world.owner.post("/tokens", {"name": "x", "tenant": world.globex.pk}))["tenant"]
    with pytest.raises(ValidationError):
        services.issue(world.people["owner"], name="x", tenant=world.globex)


def test_a_token_ends_within_a_year_and_not_before_it_begins(world):
    for days in (-1, 400):
        until = (timezone.now() + datetime.timedelta(days=days)).isoformat()
        assert "expires_at" in errors(world.owner.post("/tokens", {"name": "x", "expires_at": until}))


def test_there_are_no_more_than_so_many(world, monkeypatch):
    monkeypatch.setattr(services, "MOST_TOKENS", Token.objects.filter(user=world.people["viewer"]).count())
    assert "already" in errors(world.viewer.post("/tokens", {"name": "one more"}))[""][0]


def test_uses_are_remembered_by_the_minute(world, django_assert_num_queries):
    program = caller.of(world.people["owner"])
    program.get("/me")
    token = Token.objects.latest("pk")
    assert token.last_used_at is not None
    assert token.last_used_ip == "127.0.0.1"
    with django_assert_num_queries(2):  # the token, and the roles
        program.get("/me")


@pytest.mark.attack("F26")
def test_guessing_is_slowed_down_and_a_good_token_beside_it_is_not(world, monkeypatch):
    monkeypatch.setattr(rates, "REFUSALS", 3)
    guesses = [Caller("weirapi_guess")("GET", "/me") for _ in range(5)]
    assert [guess.status_code for guess in guesses] == [401, 401, 401, 429, 429]
    assert 1 <= int(guesses[-1]["Retry-After"]) <= 60
    assert guesses[0]["WWW-Authenticate"].startswith("Bearer")
    assert world.owner("GET", "/me").status_code == 200


def test_one_token_asks_so_often_and_others_are_not_held_back(world, monkeypatch):
    monkeypatch.setattr(rates, "REQUESTS", 2)
    busy = caller.of(world.people["owner"])
    assert [busy("GET", "/me").status_code for _ in range(3)] == [200, 200, 429]
    assert world.admin("GET", "/me").status_code == 200


def test_the_admin_issues_one_s_own_shows_it_once_and_revokes_anybody_s(world):
    from tests.control.desk import Desk

    desk = Desk(world.people["operator"])
    sent = desk.send("access_token_add", name="from the admin", scope="write", lifetime="7")
    token = Token.objects.latest("pk")
    assert (token.user, token.scope, token.name) == (world.people["operator"], "write", "from the admin")
    assert datetime.timedelta(days=6) < token.expires_at - timezone.now() < datetime.timedelta(days=7)
    page = desk.client.get(sent["Location"]).content.decode()
    (secret,) = [word for word in page.replace("<", " ").replace(">", " ").split() if word.startswith("weirapi_")]
    assert Caller(secret).get("/me")["token"]["id"] == token.pk
    assert secret not in desk.client.get(sent["Location"]).content.decode()
    assert secret not in desk.text("access_token_change", token.pk)
    theirs = Caller(services.issue(world.people["owner"], name="lost").plaintext)
    lost = Token.objects.latest("pk")
    assert desk.client.post(desk.url("access_token_revoke", lost.pk)).status_code == 302
    assert theirs("GET", "/me").status_code == 401


def test_a_record_says_with_which_token_the_change_came(world, client):
    """To whoever may know: the tokens of those who run the installation are no business of its tenants."""
    body = {"tenant": world.acme.pk, "name": "By a program"}
    world.owner.post("/projects", body)
    world.operator.post("/projects", {**body, "name": "By the operator's program"})
    called = [f"a program ({token.prefix})" for token in Token.objects.filter(name="a program").order_by("pk")]
    path = f"/audit?tenant={world.acme.pk}&action=project.created&limit=2"
    theirs, own = world.operator.get(path)["items"]
    assert {own["token"], theirs["token"]} <= set(called)
    assert own["token"] != theirs["token"]
    theirs, seen = world.owner.get(path)["items"]
    assert (theirs["token"], theirs["address"], theirs["actor_name"]) == (None, None, "otto")
    assert (seen["token"], seen["address"]) == (own["token"], "127.0.0.1")
    client.force_login(world.people["owner"])
    page = client.get(f"/t/{world.acme.slug}/audit/").content.decode()
    assert page.count("token a program (weirapi_") == 1
    client.force_login(world.people["operator"])
    assert client.get("/admin/audit/record/").content.decode().count("token a program (weirapi_") == 2
    from apps.tenants import services

    services.create_project(world.acme, actor=None, name="By nobody")
    assert Record.objects.latest("pk").token is None


def test_another_pepper_moves_tokens_that_are_used_and_ends_the_others(world):
    """The old one is accepted until then."""
    used, unused = (services.issue(world.people["owner"], name=name) for name in ("used", "unused"))
    before = services.issue(world.people["owner"], name="touched just now")
    Token.objects.filter(pk=before.token.pk).update(last_used_at=timezone.now())
    row = rotation.rotate_pepper()
    with pytest.raises(ValidationError, match="working tokens have not been used since"):
        rotation.rotate_pepper()
    for issued in (used, unused, before):
        assert Token.objects.get(pk=issued.token.pk).pepper.version == row.version - 1
    for issued in (used, before):
        assert Caller(issued.plaintext).get("/me")["token"]["id"] == issued.token.pk
    assert Token.objects.get(pk=used.token.pk).pepper == row
    assert Token.objects.get(pk=before.token.pk).pepper != row  # in a minute
    assert Caller(used.plaintext).get("/me")["token"]["id"] == used.token.pk
    assert services.issue(world.people["owner"], name="new").token.pepper == row
    old, new = rotation.counts()
    assert (old.version, old.is_newest, new.version, new.is_newest) == (row.version - 1, False, row.version, True)
    assert (new.working, old.working + new.working) == (2, len(Token.objects.filter(rotation._is_working())))
    with pytest.raises(ValidationError):
        rotation.retire_pepper()
    assert rotation.retire_pepper(force=True) == old.working
    assert Caller(unused.plaintext)("GET", "/me").status_code == 401
    assert Caller(used.plaintext).get("/me")["token"]["id"] == used.token.pk
    assert [report.version for report in rotation.counts()] == [row.version]
    assert Record.objects.filter(action="token_pepper.retired").latest("pk").before["revoked"] == old.working
    assert rotation.rotate_pepper().version == row.version + 1


def test_the_command_rotates_and_counts_them(world):
    def run(*words):
        out = io.StringIO()
        call_command("secrets", *words, stdout=out)
        return out.getvalue()

    Credential.objects.all().delete()  # the world has moved their provider: they do not open
    assert run("rotate-token-pepper").startswith("New tokens hang on pepper 2;")
    assert "token pepper 2 (newest): 0 working tokens" in run("verify")
    with pytest.raises(CommandError, match="They would end"):
        run("retire-token-pepper")
    assert run("retire-token-pepper", "--force").startswith("One pepper of tokens is left.")
    told = json.loads(run("verify", "--json"))["token_peppers"]
    assert [(row["version"], row["newest"], row["working"]) for row in told] == [(2, True, 0)]
