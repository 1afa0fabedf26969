"""Quick start and playground: what their pages hold, the secret that is lent to them, and what a call came to."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.utils import timezone

from apps.audit.models import Record
from apps.domain import ids
from apps.keys import lending
from apps.keys import selectors as keyring
from apps.keys import services as keys
from apps.keys.models import Key, KeySecret
from apps.tenants import services as tenants
from apps.tenants.models import Membership
from apps.usage import ledger
from tests import factories
from tests.money.calls import intent, outcome

PAGES = ("start", "playground")
ASKED = {"model": "sonnet", "max_tokens": "100", "messages": json.dumps([{"role": "user", "content": "Why?"}])}


@pytest.fixture
def sonnet(db):
    return factories.deployment(factories.model("sonnet")).model


def lent(who, project) -> str:
    response = who.post("playground-lend", {"project": project.pk})
    assert response.status_code == 200, response.content
    assert response["Cache-Control"] == "no-store"
    return str(response.json()["key"])


# --- pages -------------------------------------------------------------------------------------------------------


def test_quick_start_has_lines_for_the_chosen_model_and_no_key(visit, bob, website, sonnet):
    factories.model("abacus")
    text = visit(bob).text("start", {"model": "sonnet"})
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:8000\n" in text
    assert "export ANTHROPIC_MODEL=sonnet\n" in text
    assert "weir_" not in text
    assert "export ANTHROPIC_MODEL=abacus\n" in visit(bob).text("start", {"model": "nothing"})


def test_models_that_are_not_for_talking_or_not_theirs_are_not_offered(visit, bob, globex, website, sonnet):
    factories.model("embedder", capabilities=["embeddings"])
    factories.model("resting", is_enabled=False)
    theirs = factories.model("theirs")
    theirs.tenants.add(globex)
    for page in PAGES:
        text = visit(bob).text(page)
        assert ">sonnet</option>" in text
        assert not {"embedder", "resting", "theirs"} & set(text.replace("<", ">").split(">"))


@pytest.mark.parametrize("page", PAGES)
def test_what_is_missing_is_said(visit, page, acme, bob, operator):
    assert "no model" in visit(bob).text(page).lower()
    factories.model("sonnet")
    assert "none that is open" in visit(bob).text(page)
    project = factories.project(acme)
    assert "data-lend-url" in visit(bob).text(page)
    text = visit(operator).text(page)
    assert "You are no member of Acme" in text
    assert "Become a member, and it works at once" in text
    tenants.deactivate_project(project, actor=None)
    assert "none that is open" in visit(bob).text(page)


@pytest.mark.parametrize("page", PAGES)
def test_who_may_not_call_sees_neither_page(visit, page, vera, charlie, globex, acme):
    assert visit(vera).get(page).status_code == 403
    assert visit(charlie).get(page).status_code == 404
    assert visit(None).get(page).status_code == 302


def test_it_is_told_who_can_raise_a_limit(visit, bob, alice, ann, website, sonnet):
    assert 'data-raisers="alice or ann"' in visit(bob).text("playground")


def test_pages_ask_few_questions(visit, bob, website, sonnet, django_assert_max_num_queries):
    mine = visit(bob)
    for page in PAGES:
        with django_assert_max_num_queries(12):
            mine.text(page)


# --- the secret --------------------------------------------------------------------------------------------------


def test_a_secret_is_lent_to_the_member_for_minutes(visit, bob, website):
    plaintext = lent(visit(bob), website)
    principal = keyring.principal(plaintext)
    assert principal is not None
    assert (principal.user_id, principal.tenant_id, principal.project_id) == (bob.pk, website.tenant_id, website.pk)
    left = principal.ends_at - timezone.now().timestamp()
    assert 0 < left <= lending.LIFETIME.total_seconds()
    assert not [row for row in Record.objects.all() if plaintext in str((row.before, row.after))]


def test_it_is_of_one_key_however_often_it_is_asked_for(visit, bob, website):
    secrets = [lent(visit(bob), website) for _ in range(3)]
    key = Key.objects.get()
    assert (key.name, key.user, key.created_by) == (lending.NAME, bob, bob)
    assert all(keyring.principal(secret) for secret in secrets), "another window's secret works on"
    assert keyring.principal_of(key.pk) is not None
    assert [row.action for row in Record.objects.filter(target_type="keys.key").order_by("pk")] == [
        *("key.issued", "key.lent", "key.lent")
    ]


def test_what_has_ended_goes(visit, bob, website):
    lent(visit(bob), website)
    KeySecret.objects.update(expires_at=timezone.now())
    lent(visit(bob), website)
    assert KeySecret.objects.count() == 1


def test_a_revoked_key_is_followed_by_another(visit, bob, website):
    old = lent(visit(bob), website)
    keys.revoke(Key.objects.get(), actor=bob)
    new = lent(visit(bob), website)
    assert keyring.principal(old).revoked_at is not None
    assert keyring.principal(new).revoked_at is None


def test_whoever_leaves_calls_no_more(visit, bob, website):
    plaintext = lent(visit(bob), website)
    tenants.remove_member(Membership.objects.get(user=bob), actor=None)
    assert keyring.principal(plaintext) is None
    assert visit(bob).post("playground-lend", {"project": website.pk}).status_code == 404


@pytest.mark.parametrize("wanted", ["theirs", "closed", "", "-1", "x", "9" * 40])
def test_a_project_that_is_not_open_to_them_is_refused(visit, bob, acme, globex, website, wanted):
    closed = factories.project(acme)
    tenants.deactivate_project(closed, actor=None)
    known = {"theirs": factories.project(globex).pk, "closed": closed.pk}
    response = visit(bob).post("playground-lend", {"project": known.get(wanted, wanted)})
    assert response.status_code == 400
    assert "no such project" in response.json()["error"]
    assert not Key.objects.exists()


def test_nobody_else_gets_one(visit, vera, charlie, operator, website):
    asked = {"project": website.pk}
    assert visit(vera).post("playground-lend", asked).status_code == 403
    assert visit(charlie).post("playground-lend", asked).status_code == 404
    assert visit(None).post("playground-lend", asked).status_code == 302
    assert "membership of Acme" in visit(operator).post("playground-lend", asked).json()["error"]
    assert not Key.objects.exists()


@pytest.mark.attack("F29")
@pytest.mark.parametrize("page", ["playground-lend", "playground-code"])
def test_another_site_cannot_ask(visit, page, bob, website):
    mine = visit(bob)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(bob)
    assert strict.post(mine.url(page), {"project": website.pk, **ASKED}).status_code == 403
    assert mine.get(page).status_code == 405
    assert not Key.objects.exists()


# --- what a call came to -----------------------------------------------------------------------------------------


@pytest.fixture
def booked(website, bob):
    """A call of Bob's that the ledger has."""
    said = outcome(intent(tenant_id=website.tenant_id, project_id=website.pk, user_id=bob.pk), cost=1_234_000)
    ledger.post([said])
    return said


def test_a_call_is_told_to_whoever_made_it(visit, booked, bob, alice, charlie, globex):
    call = f"req_{booked.intent.request_id.hex}"
    told = visit(bob).get("playground-outcome", call=call).json()
    assert told["known"] is True
    assert (told["tokens_in"], told["tokens_out"]) == (10, 5)
    assert told["cost"] == "$0.0012"
    assert told["is_settled"] is True
    assert told["link"]
    for other in (visit(alice), visit(charlie, globex)):
        assert other.get("playground-outcome", call=call).json() == {"known": False}


@pytest.mark.parametrize("call", ["req_0", "x", f"req_{'0' * 32}", ids.request_id(now_ms=1, random_bits=1).hex])
def test_a_call_that_there_is_not_is_not_known(visit, bob, acme, call):
    assert visit(bob).get("playground-outcome", call=call).json() == {"known": False}


# --- as code -----------------------------------------------------------------------------------------------------


@pytest.mark.attack("F30")
def test_the_conversation_is_told_as_code_and_breaks_out_of_nothing(visit, bob):
    rascal = "</pre><script>alert(1)</script>"
    turns = json.dumps([{"role": "user", "content": rascal}, {"role": "assistant", "content": rascal}])
    text = visit(bob).post("playground-code", ASKED | {"messages": turns, "temperature": "0.5"}).content.decode()
    assert "<script" not in text
    assert "alert(1)" in text
    assert "temperature=0.5" in text
    assert "curl http://127.0.0.1:8000/v1/messages" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": "x"},
        {"messages": "[]"},
        {"messages": '[{"role": "system", "content": "x"}]'},
        {"messages": '[{"role": "user", "content": 1}]'},
        {"messages": "[" * 9_999},
        {"max_tokens": "0"},
        {"max_tokens": "x"},
        {"temperature": "3"},
        {"temperature": "nan"},
        {"model": ""},
    ],
)
def test_what_is_no_conversation_is_refused(visit, bob, wrong):
    response = visit(bob).post("playground-code", ASKED | wrong)
    assert response.status_code == 400
    assert next(iter(wrong)) in response.content.decode()
