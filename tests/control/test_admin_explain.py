"""The page that explains a call: for operators all of it, for a tenant's admins what is theirs."""

from __future__ import annotations

import json

import pytest

from apps.accounts.models import User
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
        (json.dumps({"model": "m", "max_tokens": 5}), "messages"),
        (json.dumps({"model": "m", "max_tokens": "many", "messages": []}), "max_tokens"),
    ],
)
def test_what_is_wrong_with_a_request_stands_at_its_field(desk, keys, sent, told):
    context = asked(desk, request=sent)
    assert told in context["form"].errors["request"][0]
    assert context["told"].refusal.body["error"]["message"]


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
