"""The page that explains a call: for operators all of it, for a tenant's admins what is theirs."""

from __future__ import annotations

import json

import pytest
from django.utils.html import escape

from apps.accounts.models import User
from apps.catalog.models import Deployment
from apps.gateway import vantage
from apps.keys.models import Key
from apps.tenants.models import Role
from apps.usage import ledger
from apps.usage.models import Entry
from tests import factories
from tests.control.desk import Desk
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.django_db
WORDS = "a word that nobody shall keep"


@pytest.fixture
def keys(website, globex) -> dict[str, str]:
    provider = factories.provider("secret-supplier", tags=["eu"])
    factories.credential(provider, alias="shared-one")
    model = factories.model("m")
    factories.price(factories.deployment(model, provider))
    factories.deployment(model, factories.provider("keyless"), priority=1)
    factories.deployment(factories.model("theirs", tenants=[globex]), provider)
    theirs = factories.project(globex, "Elsewhere")
    return {
        "ours": factories.key(website, name="ours").key.public_id,
        "theirs": factories.key(theirs, name="theirs").key.public_id,
    }


@pytest.fixture
def owner(alice) -> Desk:
    """Of Acme, let in to the admin and into nothing there."""
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    return Desk(User.objects.get(pk=alice.pk))


def asked(desk: Desk, **values: str):
    response = desk.client.post(desk.url("explain"), {"endpoint": "messages", "key": "", "request": "", **values})
    assert response.status_code == 200
    return response.context


def test_an_operator_sees_every_deployment_with_its_reason(desk, keys):
    told = asked(desk, key=f"weir_{keys['ours']}", model="m")["told"]
    assert told.serves
    assert [(one.provider, one.state, one.reason) for one in told.deployments] == [
        ("secret-supplier", "first", "priority 0"),
        ("keyless", "refused", "no credential"),
    ]
    assert desk.text("explain").count("Explain a call") >= 2  # the menu has it, too


@pytest.mark.once
def test_how_deployments_are_ordered_and_that_one_needs_no_key_is_told_in_words(desk):
    provider = factories.provider("here", vendor="ollama", protocol="ollama_chat", base_url="https://ollama.test")
    row = factories.deployment(factories.model("local", strategy="balanced"), provider)
    page = desk.client.post(desk.url("explain"), {"endpoint": "messages", "model": row.model.name}).content.decode()
    assert "Deployments, by speed, success and cost together" in page
    assert ", no key</p>" in page
    assert "key no key" not in page


def test_a_tenant_s_admin_asks_about_its_keys_and_learns_of_no_provider(owner, keys):
    response = owner.client.post(owner.url("explain"), {"endpoint": "messages", "key": keys["ours"], "model": "m"})
    assert response.context["told"].serves
    page = response.content.decode()
    for hidden in ("secret-supplier", "shared-one", "theirs", "Globex", keys["theirs"]):
        assert hidden not in page, hidden
    assert "deployment 1" in page


@pytest.mark.parametrize("name", ["", "theirs", "public id"])
def test_keys_of_others_are_no_keys_to_a_tenant_s_admin(owner, keys, name):
    context = asked(owner, key=keys["theirs"] if name == "public id" else name, model="theirs")
    assert context["told"] is None
    assert context["form"].errors["key"]


def test_whoever_administers_nothing_is_shut_out(acme, keys):
    for role in (Role.DEVELOPER, Role.VIEWER):
        user = factories.member(acme, role=role)
        User.objects.filter(pk=user.pk).update(is_staff=True)
        desk = Desk(User.objects.get(pk=user.pk))
        assert desk.get("explain").status_code == 403
        assert "Explain a call" not in desk.text("index")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("{", "JSON"),
        ("[" * 100_000, "JSON object"),
        (json.dumps({"model": "m", "max_tokens": 5}), "messages"),
        (json.dumps({"model": "m", "max_tokens": "many", "messages": []}), "max_tokens"),
    ],
)
def test_what_is_wrong_with_a_request_stands_at_its_field_and_nowhere_else(desk, keys, sent, told):
    response = desk.client.post(desk.url("explain"), {"endpoint": "messages", "request": sent})
    [error] = response.context["form"].errors["request"]
    assert told in error
    assert (response.context["told"], response.content.decode().count(escape(error))) == (None, 1)
    assert bool(response.context["curl"]) is sent.endswith("}")
    assert ("explain-curl" in response.content.decode()) is bool(response.context["curl"])


def test_what_nobody_can_do_is_told_with_the_reasons_of_each(desk, keys):
    Deployment.objects.update(capabilities=["text"])
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
    request = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [picture]}]}
    context = asked(desk, request=json.dumps(request))
    assert context["told"].refusal.message == "no deployment of m offers vision"
    assert not context["form"].errors
    assert context["shown"]["rungs"][0]["reason"] == "no vision"


def test_where_a_call_comes_from_is_asked_for_where_that_matters(desk, keys):
    Key.objects.filter(public_id=keys["ours"]).update(networks=["203.0.113.0/24"])
    told = asked(desk, key=keys["ours"], model="m")["told"]
    assert (told.serves, told.notes[-1]) == (True, vantage.UNPLACED)
    told = asked(desk, key=keys["ours"], model="m", address="203.0.113.9")["told"]
    assert (told.serves, told.who.address, vantage.UNPLACED in told.notes) == (True, "203.0.113.9", False)
    told = asked(desk, key=keys["ours"], model="m", address="2001:db8::1")["told"]
    assert told.refusal.message == "this key may not be used from this address"
    assert asked(desk, key=keys["ours"], model="m", address="nowhere")["form"].errors["address"]


@pytest.mark.parametrize("form", ["{}", "weir_{}…", "weir_{}...", " weir_{} ", "weir_{}_and-what-is-secret"])
def test_a_key_is_known_by_whatever_the_admin_shows_of_it(desk, keys, form):
    assert asked(desk, key=form.format(keys["ours"]), model="m")["told"].who.key == keys["ours"]


def test_pasted_text_is_neither_kept_nor_logged_nor_in_an_address(desk, keys, caplog):
    request = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": WORDS}]}
    response = desk.client.post(desk.url("explain"), {"endpoint": "messages", "request": json.dumps(request)})
    assert response.context["told"].serves
    assert "no-store" in response["Cache-Control"]
    assert WORDS not in caplog.text
    assert not Entry.objects.exists()
    assert WORDS not in desk.text("explain", request=WORDS)


def test_a_ledger_row_a_model_and_a_deployment_lead_there(desk, keys, website):
    key = Key.objects.get(public_id=keys["ours"])
    ledger.post([outcome(intent(tenant_id=website.tenant_id, project_id=website.pk, key_id=key.pk, model_name="m"))])
    row = desk.text("usage_entry_change", Entry.objects.get().pk)
    assert "Why here?" in row
    begun = desk.form("explain", model="m", key=str(key.pk), endpoint="chat_completions")
    assert (begun["key"], begun["model"], begun["endpoint"]) == (f"weir_{keys['ours']}", "m", "chat_completions")
    assert f"{desk.url('explain')}?model=m&amp;key={key.pk}" in row
