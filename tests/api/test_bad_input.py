"""What cannot be is told at its field, and nothing is saved."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.utils import timezone

from apps.api.urls import VIEWS
from apps.audit.models import Record
from tests.api.caller import errors

GOOD: dict[str, dict[str, Any]] = {
    "tokens": {"name": "ci"},
    "users": {"username": "new", "email": "new@example.org", "password": "correct horse battery"},
    "tenants": {"name": "New", "timezone": "Europe/Berlin", "is_active": False},
    "projects": {"tenant": "tenants", "name": "New"},
    "members": {"tenant": "tenants", "username": "gus", "role": "viewer"},
    "keys": {"tenant": "tenants", "project": "projects", "name": "New", "priority": 3, "models": ["Acme-model"]},
    "limits": {"key": "keys", "requests_per_minute": 5, "is_enabled": False},
    "budgets": {"project": "projects", "amount_nano_usd": 10**9, "overdraft_nano_usd": 5, "period": "day"},
    "providers": {
        **{"name": "New", "vendor": "anthropic", "protocol": "anthropic_messages", "tags": ["eu"], "options": {}},
        **{"base_url": "https://api.anthropic.com", "idle_timeout": 3.5, "max_failures": 5},
    },
    "credentials": {"provider": "providers", "alias": "new", "secret": "sk-ant-new-0123456789", "weight": 2},
    "models": {"name": "new-model", "aliases": ["newest"], "tenants": [], "networks": ["192.0.2.0/24"]},
    "deployments": {"model": "models", "provider": "providers", "upstream_model": "other", "breaker_size": 7},
    "fallbacks": {"model": "models", "target": "other", "position": 2},
    "prices": {"deployment": "deployments", "input_nano_usd": 1, "output_nano_usd": 2, "is_correction": True},
    "endpoints": {"name": "new-one", "model": "models", "port": 9999, "hosts": ["new.example.org"]},
    "networks": {"cidr": "10.9.0.0/16", "note": "new"},
    "data-policies": {"name": "new", "regions": None, "rules": [{"kind": "iban", "on_request": "block"}]},
    "policy-assignments": {"policy": "data-policies", "project": "projects"},
    "cache-policies": {"model": "models", "ttl_seconds": 60, "is_always": False},
    "identity-providers": {
        **{"name": "New", "slug": "new", "issuer": "https://id.example.org", "client_id": "weir", "tenant": "tenants"},
        **{
            "algorithms": ["ES256"],
            "creates_people": True,
            "rules": [{"group": "g", "tenant": "tenants", "role": "viewer"}],
        },
    },
    "issuers": {
        **{"name": "New", "url": "https://id.example.org", "audiences": ["weir"], "algorithms": ["RS256"]},
        **{"tenant": "tenants", "project": "projects", "leeway_seconds": 30, "welcomes": True, "required_claims": {}},
    },
    "managed-settings": {"name": "New", "tenant": "tenants", "priority": 5, "role": "developer", "is_enabled": False},
    "alert-rules": {"name": "New", "tenant": "tenants", "kind": "errors", "destinations": ["alert-destinations"]},
    "alert-destinations": {"name": "New", "tenant": "tenants", "kind": "email", "target": "a@example.org"},
    "sinks": {
        **{"name": "New", "kind": "webhook", "target": "https://events.invalid/", "settings": {"at_once": 5}},
        **{"kinds": ["key.created"], "is_enabled": False},
    },
    "increases": {
        **{"budget": "budgets", "amount_nano_usd": 10**9, "reason": "a demonstration"},
        "until": (timezone.now() + datetime.timedelta(days=9)).replace(microsecond=0).isoformat()[:19] + "Z",
    },
    "report-sources": {
        **{"provider": "providers", "vendor": "openai"},
        **{"address": "https://api.openai.com", "secret": "sk-admin-1"},
    },
    "provider-names": {"provider": "providers", "name": "gpt-new", "upstream_model": "gpt"},
    "provider-reports": {
        **{"provider": "providers", "shape": "anthropic_cost", "file_name": "new.json", "is_base64": False},
        "content": '{"data": [{"starting_at": "2026-01-01T00:00:00Z", "results": []}]}',
    },
    "schedules": {"name": "New", "task": "apps.usage.tasks.roll_up", "every": 7, "period": "hours", "enabled": False},
}
LONG = "x" * 20_000


def good(world, place: str) -> dict[str, Any]:
    """A body that is taken; names of resources stand for the ids of Acme's."""
    from tests import factories

    filled = {}
    for name, value in GOOD[place].items():
        value = named(world, value) if name != "name" else value
        filled[name] = factories.model().pk if value == "other" and name == "target" else value
    return filled


def named(world, value: Any) -> Any:
    match value:
        case dict():
            return {name: named(world, part) for name, part in value.items()}
        case list():
            return [named(world, part) for part in value]
        case str():
            return world.ids.get(value, value)
    return value


def wrong(value: Any) -> list[Any]:
    """What is of another type, and what is of none."""
    match value:
        case bool():
            return ["true", 1, [], None]
        case int() | float():
            return ["7", True, [7], {}, -(10**30), 10**30]
        case str():
            return [7, True, ["a"], {}, None, LONG, "a\x00b", "\ud800"]
        case list():
            return ["a", 7, {"a": 1}, [[]], [None]]
        case dict():
            return ["a", 7, ["a"], {"a": 7}]
    return [[], {}, "\ud800", True]


def test_there_is_a_good_body_for_all_that_can_be_made():
    assert set(GOOD) == {view.place for view in VIEWS if hasattr(view, "make")}


@pytest.mark.parametrize("place", GOOD)
def test_the_good_body_is_taken_and_told(world, place):
    body = good(world, place)
    made = world.operator.post(f"/{place}", body)
    assert made.status_code == 201, made.content
    found = world.operator.get(made["Location"].removeprefix("/api/v1"))
    assert made["ETag"].startswith('"')
    hidden = {"secret", "password", "is_correction", "content", "is_base64"}
    for name in body.keys() - hidden - {"rules"}:
        assert found[name] == body[name], name
    for told, rule in zip(found.get("rules", ()), body.get("rules", ()), strict=True):
        assert told.items() >= rule.items()
    assert "sk-ant-new" not in str(found)


@pytest.mark.once
@pytest.mark.parametrize("place", GOOD)
def test_a_field_of_another_type_is_refused_at_the_field(world, place):
    body = good(world, place)
    before = Record.objects.count()
    for name, value in body.items():
        for other in wrong(value):
            told = errors(world.operator.post(f"/{place}", {**body, name: other}))
            assert any(field == name or field.startswith(f"{name}.") for field in told), (name, other, told)
    assert Record.objects.count() == before


@pytest.mark.once
@pytest.mark.parametrize("place", GOOD)
def test_a_field_that_there_is_not_is_refused(world, place):
    body = good(world, place)
    before = Record.objects.count()
    told = errors(world.operator.post(f"/{place}", {**body, "nonsense": 1, "id": 7}))
    assert told == {"nonsense": ["There is no such field."], "id": ["This cannot be set here."]}
    assert Record.objects.count() == before


@pytest.mark.parametrize("place", [view.place for view in VIEWS if hasattr(view, "change")])
def test_what_lasts_is_not_changed(world, place):
    path = f"/{place}/{world.ids[place]}"
    view = next(view for view in VIEWS if view.place == place)
    for name in (*view.body.lasting, "created_at"):
        if name in world.operator.get(path):
            assert errors(world.operator.patch(path, {name: None})) == {name: ["This cannot be set here."]}


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        ("keys", "expires_at", "2001-01-01T00:00:00Z"),
        ("keys", "expires_at", "2099-01-01T00:00:00"),
        ("keys", "models", ["no-such-model"]),
        ("keys", "endpoints", ["no-such-endpoint"]),
        ("keys", "networks", ["300.0.0.0/8"]),
        ("keys", "user", 10**6),
        ("budgets", "amount_nano_usd", -1),
        ("budgets", "amount_nano_usd", 9 * 10**18 + 1),
        ("budgets", "starts_on", "2027-02-30"),
        ("budgets", "timezone", "Europe/Atlantis"),
        ("limits", "requests_per_minute", 0),
        ("prices", "input_nano_usd", -5),
        ("providers", "base_url", "http://169.254.169.254"),
        ("providers", "base_url", "http://10.0.0.1"),
        ("providers", "base_url", "file:///etc/passwd"),
        ("providers", "protocol", "openai_chat"),
        ("providers", "idle_timeout", 0),
        ("providers", "name", "Acme provider"),
        ("credentials", "secret", "two\nlines"),
        ("credentials", "weight", 0),
        ("models", "name", "Acme-model"),
        ("models", "aliases", ["Acme-alias"]),
        ("tenants", "name", "Acme tenant"),
        ("tenants", "timezone", "Nowhere"),
        ("users", "username", "olga"),
        ("users", "password", "short"),
        ("users", "email", "no address"),
        ("projects", "slug", "the-project"),
        ("members", "username", "olga"),
        ("members", "username", "nobody-at-all"),
        ("networks", "cidr", "8.8.8.0/24"),
        ("networks", "cidr", "10.1.0.0/16"),
        ("endpoints", "port", 70_000),
        ("endpoints", "name", "No Spaces"),
        ("deployments", "upstream_model", "Acme upstream"),
        ("fallbacks", "position", 0),
        ("data-policies", "rules", [{"kind": "nonsense", "on_request": "block"}]),
        ("data-policies", "rules", [{"kind": "iban", "on_request": "block"}] * 2),
        ("data-policies", "route_tag", "a,b"),
        ("cache-policies", "ttl_seconds", 0),
    ],
)
def test_what_cannot_be_is_told_where_it_is(world, place, field, value):
    body = good(world, place)
    before = Record.objects.count()
    told = errors(world.operator.post(f"/{place}", {**body, field: value}))
    assert told, told
    exempt = {("members", "olga"), ("deployments", "Acme upstream"), ("data-policies", "rules")}
    if (place, value if isinstance(value, str) else field) not in exempt:
        assert any(name == field or name.startswith(f"{field}.") for name in told), told
    assert Record.objects.count() == before


def test_prices_begin_now_or_later_and_those_that_were_in_force_stay(world):
    past = (timezone.now() - datetime.timedelta(days=1)).isoformat()
    body = {"deployment": world.ids["deployments"], "input_nano_usd": 1, "output_nano_usd": 1, "effective_from": past}
    assert "effective_from" in errors(world.operator.post("/prices", body))
    assert "in force" in errors(world.operator.delete(f"/prices/{world.ids['prices']}"))[""][0]


@pytest.mark.parametrize("field", ["tenant", "project", "user", "key"])
def test_other_tenants_ids_are_none(world, field):
    """Globex's owner names what is Acme's."""
    named = {"tenant": "tenants", "project": "projects", "user": "members", "key": "keys"}[field]
    theirs = world.people["owner"].pk if field == "user" else world.ids[named]
    own = world.stranger.post("/projects", {"tenant": world.globex.pk, "name": "Own"}).json()["id"]
    before = Record.objects.count()
    key = {"tenant": world.globex.pk, "project": own, "name": "k"}
    budget = {"amount_nano_usd": 5, **({"tenant": world.globex.pk} if field == "user" else {}), field: theirs}
    if field != "key":
        assert "There is no such" in errors(world.stranger.post("/keys", {**key, field: theirs}))[field][0]
    assert "There is no such" in errors(world.stranger.post("/budgets", budget))[field][0]
    assert Record.objects.count() == before


def test_members_set_nothing_for_the_tenant_itself(world):
    assert world.owner.post("/budgets", {"tenant": world.acme.pk, "amount_nano_usd": 5}).status_code == 403
    assert world.owner.post("/limits", {"tenant": world.acme.pk, "concurrency": 5}).status_code == 403
    path = f"/tenants/{world.acme.pk}"
    assert errors(world.owner.patch(path, {"is_active": False})) == {"is_active": ["This is an operator's to change."]}
    assert world.owner.patch(path, {"name": "Acme, renamed"}).json()["name"] == "Acme, renamed"
