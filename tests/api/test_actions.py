"""What there is to do beside reading and writing."""

from __future__ import annotations

import pytest

from apps.api import rates
from apps.api.resources import explain
from apps.audit.models import Record
from apps.catalog.models import Provider
from apps.keys import selectors as keys
from apps.policies.models import Rule
from apps.usage.models import Entry
from tests import factories
from tests.api import caller
from tests.api.caller import errors


@pytest.fixture
def own(world):
    """A key that the developer has made, with its secret."""
    body = {"tenant": world.acme.pk, "project": world.ids["projects"], "name": "mine"}
    made = world.developer.post("/keys", body)
    assert made.status_code == 201
    return made.json()


def test_a_developer_makes_a_key_of_their_own_and_looks_after_it(world, own):
    path = f"/keys/{own['id']}"
    assert own["user"] == world.people["developer"].pk
    assert keys.principal(own["secret"]) is not None
    assert world.developer.patch(path, {"name": "renamed", "models": ["Acme-model"]}).json()["name"] == "renamed"
    turned = world.developer.post(f"{path}/rotate", {"overlap_seconds": 3600}).json()
    assert keys.principal(turned["secret"]) is not None
    assert keys.principal(own["secret"]).expires_at is not None  # works for an hour longer
    limit = world.developer.post("/limits", {"key": own["id"], "concurrency": 2})
    assert limit.status_code == 201
    assert world.developer.delete(f"/limits/{limit.json()['id']}").status_code == 204
    assert world.developer.post(f"{path}/revoke").json()["state"] == "revoked"
    assert world.developer.patch(path, {"name": "too late"}).status_code == 409
    assert world.developer.post(f"{path}/rotate").status_code == 409


def test_an_overlap_that_cannot_be(world, own):
    for overlap in (-1, 10**9, "1h", 1.5, True):
        assert errors(world.developer.post(f"/keys/{own['id']}/rotate", {"overlap_seconds": overlap}))


def test_a_budget_of_one_s_own_is_no_more_than_what_one_stands_under(world, own):
    more = {"key": own["id"], "period": "month", "amount_nano_usd": 10**15}
    assert "amount_nano_usd" in errors(world.developer.post("/budgets", more))
    made = world.developer.post("/budgets", {**more, "amount_nano_usd": 10**9}).json()
    assert (made["amount_nano_usd"], made["spent_nano_usd"]) == (10**9, 0)
    assert "amount_nano_usd" in errors(world.developer.patch(f"/budgets/{made['id']}", {"amount_nano_usd": 10**15}))


def test_roles_are_given_from_above_and_the_last_owner_stays(world):
    made = world.admin.post("/members", {"tenant": world.acme.pk, "username": "stan", "role": "viewer"})
    path = f"/members/{made.json()['id']}"
    assert world.admin.patch(path, {"role": "admin"}).json()["role"] == "admin"
    assert world.admin("PATCH", path, {"role": "owner"}, if_match="*").status_code == 403
    assert world.owner.delete(path).status_code == 204
    (gus,) = world.stranger.get("/members")["items"]
    assert "last owner" in errors(world.stranger.patch(f"/members/{gus['id']}", {"role": "viewer"}))[""][0]


def test_only_an_operator_makes_staff_and_staff_change_no_operator(world):
    clerk = caller.of(factories.staff("accounts.view_user", "accounts.add_user", "accounts.change_user"))
    made = clerk.post("/users", {"username": "newcomer"})
    assert made.status_code == 201
    path = f"/users/{made.json()['id']}"
    for given in ({"is_superuser": True}, {"is_staff": True}, {"permissions": ["keys.view_key"]}, {"permissions": []}):
        assert set(errors(clerk.patch(path, given))) == set(given)
    otto = f"/users/{world.people['operator'].pk}"
    assert clerk("PATCH", otto, {"password": "taken over, taken over"}, if_match="*").status_code == 403
    told = world.operator.patch(path, {"is_staff": True, "permissions": ["keys.view_key"]}).json()
    assert (told["is_staff"], told["permissions"]) == (True, ["keys.view_key"])
    assert "permissions" in errors(world.operator.patch(path, {"permissions": ["no.such"]}))
    assert world.operator.patch(path, {"is_active": False}).json()["is_active"] is False


def test_a_password_is_told_to_nobody(world):
    body = {"username": "quiet", "password": "correct horse battery staple"}
    made = world.operator.post("/users", body)
    assert body["password"] not in made.content.decode()
    assert body["password"] not in str(Record.objects.latest("pk").after)


def test_rules_of_a_policy_are_set_as_a_whole(world):
    path = f"/data-policies/{world.ids['data-policies']}"
    rules = [{"kind": "iban", "on_request": "flag"}, {"kind": "card", "on_request": "route"}]
    assert errors(world.operator.patch(path, {"rules": rules}))["route_tag"]
    assert [rule.kind for rule in Rule.objects.filter(policy=world.ids["data-policies"])] == ["card"]
    told = world.operator.patch(path, {"rules": rules, "route_tag": "eu"}).json()
    assert [(rule["kind"], rule["on_request"]) for rule in told["rules"]] == [("card", "route"), ("iban", "flag")]
    assert world.operator.patch(path, {"rules": [], "route_tag": ""}).json()["rules"] == []
    assert world.operator("DELETE", path, if_match="*").status_code == 409  # somebody is under it


def test_what_others_depend_on_stays(world):
    for place in ("providers", "models"):
        assert "disable it instead" in errors(world.operator.delete(f"/{place}/{world.ids[place]}"))[""][0]
    unused = world.operator.post("/models", {"name": "unused"}).json()["id"]
    assert world.operator.delete(f"/models/{unused}").status_code == 204


def test_a_provider_that_cannot_be_reached_is_told_step_by_step(world):
    moved = world.operator.post(f"/providers/{world.ids['providers']}/test", {"model": "m"})
    assert (moved.status_code, "secret anew" in moved.json()["detail"]) == (409, True)
    world.operator.patch(f"/credentials/{world.ids['credentials']}", {"is_enabled": False})
    told = world.operator.post(f"/providers/{world.ids['providers']}/test", {"model": "m"}).json()
    assert [(step["step"], step["ok"]) for step in told["steps"]] == [
        ("list", False),
        ("call", False),
        ("stream", False),
    ]
    assert all(step["message"] for step in told["steps"])
    assert "credential" in errors(
        world.operator.post(f"/providers/{world.ids['providers']}/test", {"credential": 10**6})
    )
    checked = world.operator.post(f"/providers/{world.ids['providers']}/check").json()
    assert (checked["ok"], Provider.objects.get(pk=world.ids["providers"]).consecutive_failures) == (
        False,
        2,
    )  # the list was one


def test_an_unconfirmed_cost_is_said_once(world):
    path = f"/usage/unconfirmed/{world.ids['usage/unconfirmed']}"
    for body in (
        {},
        {"said": "all", "cost_nano_usd": 1},
        {"cost_nano_usd": -1},
        {"said": "perhaps"},
        {"usage": {"x": 1}},
    ):
        assert errors(world.operator.post(f"{path}/resolve", body))
    told = world.operator.post(f"{path}/resolve", {"cost_nano_usd": 7_000, "note": "by invoice"}, idempotency_key="r1")
    assert told.json()["cost_nano_usd"] == 7_000
    assert Entry.objects.filter(pk=told.json()["correction"]).exists()
    again = world.operator.post(f"{path}/resolve", {"cost_nano_usd": 7_000, "note": "by invoice"}, idempotency_key="r1")
    assert again.json() == told.json()
    assert world.operator("GET", path).status_code == 404
    assert world.operator.get("/usage/unconfirmed")["items"] == []


def test_a_dry_run_says_where_a_call_would_go(world, own, monkeypatch):
    told = world.operator.post("/explain", {"model": "Acme-model"}).json()
    assert told["explanation"]["model"] == "Acme-model"
    mine = world.developer.post("/explain", {"model": "Acme-model", "key": own["id"]}).json()
    assert mine["explanation"]["who"]["key"] == own["public_id"]
    assert all(one["provider"] is None for one in mine["explanation"]["deployments"])
    foreign = {"model": "Acme-model", "key": world.ids["keys"]}
    assert errors(world.developer.post("/explain", foreign))["key"] == ["There is no such key."]
    assert errors(world.developer.post("/explain", {"model": "Acme-model"}))["key"]
    assert errors(world.operator.post("/explain", {"address": "300.1.1.1"}))["address"]
    monkeypatch.setattr(explain, "MOST_A_MINUTE", 0)
    rates.forget()
    assert world.operator.post("/explain", {"model": "Acme-model"}).status_code == 429


def test_a_credential_s_secret_is_set_and_never_read(world):
    path = f"/credentials/{world.ids['credentials']}"
    told = world.operator.patch(path, {"secret": "sk-ant-another-9876", "weight": 3}).json()
    assert (told["weight"], told["has_secret"], told["last_four"]) == (3, True, "9876")
    assert "another" not in str(told) + str(world.operator.get(path))
    assert "another" not in str(list(Record.objects.values_list("after", flat=True)))
