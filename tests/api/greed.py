"""What somebody would like to have of the management API and of pages: a cast to want it of, and calls that want it."""

from __future__ import annotations

import datetime
import random
from typing import Any

from django.utils import timezone
from hypothesis import strategies as st

from apps.keys import services as keys
from apps.keys.models import Key
from apps.quotas import services as quotas
from apps.tenants.models import Membership
from tests import factories
from tests.api.test_described_input import kind

NOW = timezone.now()
IN_A_DAY, IN_A_MONTH = ((NOW + datetime.timedelta(days=days)).isoformat() for days in (1, 30))


def lists(*words: str) -> st.SearchStrategy[Any]:
    return st.none() | st.just([]) | st.lists(st.sampled_from(words), min_size=1, max_size=2, unique=True)


WISHES = {
    "name": st.sampled_from(["mine", "theirs"]),
    "models": lists("Acme-model", "Acme-alias"),
    "endpoints": lists("messages", "chat_completions"),
    "networks": lists("10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0"),
    "priority": st.sampled_from([-5, -1, 0, 1, 100]),
    "expires_at": st.none() | st.just("2090-01-01T00:00:00Z"),
    "project": st.sampled_from(["PROJECT", "OTHER"]),
    "user": st.sampled_from(["ME", "OWNER", None]),
}
KEY = st.just({}) | st.one_of([st.fixed_dictionaries({name: value}) for name, value in WISHES.items()])
TOKEN = st.fixed_dictionaries(
    {"name": st.just("mine"), "scope": st.sampled_from(["read", "write"])},
    optional={
        "tenant": st.sampled_from(["TENANT", "GLOBEX", None]),
        "expires_at": st.sampled_from([IN_A_DAY, IN_A_MONTH]),
        "user": st.just("OWNER"),
    },
)
SUBJECT = st.sampled_from(
    [
        *({"key": "OWN"}, {"key": "CONFINED"}, {"key": "FOREIGN"}, {"project": "PROJECT"}, {"tenant": "TENANT"}),
        *({"user": "ME", "tenant": "TENANT"}, {"user": "ME"}, {"model": "MODEL"}, {"endpoint": "MODEL"}),
    ]
)
AMOUNT = st.sampled_from([0, 1, 10**9, 10**15])
PERSON = st.fixed_dictionaries(
    {}, optional={"is_staff": st.just(True), "is_superuser": st.just(True), "permissions": st.just(["keys.view_key"])}
)
CALLS = st.one_of(
    st.tuples(st.just("POST"), st.sampled_from(["/keys/CONFINED/rotate", "/keys/FOREIGN/rotate"]), st.just({})),
    st.tuples(
        st.just("POST"),
        st.just("/budgets"),
        st.builds(lambda whose, amount: {**whose, "amount_nano_usd": amount, "name": "x"}, SUBJECT, AMOUNT).map(
            lambda body: {name: value for name, value in body.items() if name != "name"}
        ),
    ),
    st.tuples(
        st.just("POST"),
        st.just("/limits"),
        st.builds(lambda whose, amount: {**whose, "requests_per_minute": amount}, SUBJECT, AMOUNT),
    ),
    st.tuples(
        st.just("PATCH"),
        st.sampled_from(["/budgets/THEIRS", "/budgets/ACME"]),
        st.builds(lambda amount, on: {"amount_nano_usd": amount, "is_enabled": on}, AMOUNT, st.booleans()),
    ),
    st.tuples(st.just("PATCH"), st.just("/limits/THEIRS"), st.just({"is_enabled": False})),
    st.tuples(st.just("DELETE"), st.just("/limits/THEIRS"), st.none()),
    st.tuples(st.just("PATCH"), st.just("/members/MINE"), st.sampled_from([{"role": "owner"}, {"role": "admin"}])),
    st.tuples(st.just("POST"), st.just("/members"), st.just({"tenant": "TENANT", "username": "stan", "role": "owner"})),
    st.tuples(st.just("PATCH"), st.just("/users/ME"), PERSON),
    st.tuples(st.just("PATCH"), st.just("/tenants/TENANT"), st.just({"name": "Mine"})),
    st.tuples(st.just("POST"), st.just("/projects"), st.just({"tenant": "TENANT", "name": "Mine"})),
    st.tuples(st.just("PATCH"), st.just("/models/MODEL"), st.just({"tenants": []})),
    st.tuples(st.just("POST"), st.just("/tokens"), st.just({"name": "x", "scope": "write", "user": "OWNER"})),
)


def cast(world) -> dict[str, Any]:
    """A key of the developer's own making, one that an admin has confined and restrained, and what is others'."""
    dora, adam, project = world.people["developer"], world.people["admin"], world.rows["Project"]
    own = keys.issue(actor=dora, tenant=world.acme, project=project, name="own", user=dora).key
    confined = keys.issue(
        **{"actor": adam, "tenant": world.acme, "project": project, "name": "confined", "user": dora},
        **{"models": ["Acme-model"], "endpoints": ["messages"], "networks": ["10.0.0.0/8"], "priority": -1},
    ).key
    budget = quotas.create_budget(actor=adam, key=confined, amount=10**9, period="day")
    limit = quotas.create_limit(actor=adam, key=confined, requests_per_minute=5)
    return {
        **{"TENANT": world.acme.pk, "PROJECT": project.pk, "OTHER": factories.project(world.globex).pk},
        **{"OWN": own.pk, "CONFINED": confined.pk, "FOREIGN": world.ids["keys"], "MODEL": world.ids["models"]},
        **{"ME": dora.pk, "OWNER": world.people["owner"].pk, "ACME": world.ids["budgets"]},
        **{"OTTO": world.people["operator"].pk, "GLOBEX": world.globex.pk},
        **{"BUDGET": budget.pk, "LIMIT": limit.pk, "MINE": Membership.objects.get(user=dora).pk},
    }


def named(value: Any, ids: dict[str, Any], *, path: str) -> Any:
    """With ids where names of the cast stand."""
    theirs = ids["BUDGET"] if path.startswith("/budgets") else ids["LIMIT"]
    known = {**ids, "THEIRS": theirs}
    if isinstance(value, dict):
        return {name: named(part, ids, path=path) for name, part in value.items()}
    if isinstance(value, str) and value.startswith("/"):
        return "/".join(str(known.get(part, part)) for part in value.split("/"))
    return known.get(value, value) if isinstance(value, str) else value


def check(ids: dict[str, Any]) -> None:
    confined = Key.objects.get(pk=ids["CONFINED"])
    assert set(confined.models) <= {"Acme-model"}
    assert set(confined.endpoints) <= {"messages"}
    assert confined.networks is not None
    assert "0.0.0.0/0" not in confined.networks
    assert confined.priority <= 0
    for key in Key.objects.filter(user=ids["ME"]):
        assert (key.tenant_id, key.project_id) == (ids["TENANT"], ids["PROJECT"])
        assert key.priority <= 0


# What is taken of a member, to be made worse from there.
GOOD: dict[str, dict[str, Any]] = {
    "keys": {"tenant": "TENANT", "project": "PROJECT", "name": "new"},
    "tokens": {"name": "new", "scope": "write"},
    "budgets": {"key": "OWN", "amount_nano_usd": 10**9, "period": "day"},
    "limits": {"key": "OWN", "requests_per_minute": 5},
    "increases": {"budget": "ACME", "amount_nano_usd": 10**9, "reason": "more", "until": "2026-12-01T00:00:00Z"},
    "alert-rules": {"name": "New", "tenant": "TENANT", "kind": "errors"},
    "alert-destinations": {"name": "New", "tenant": "TENANT", "kind": "email", "target": "a@example.org"},
    "members": {"tenant": "TENANT", "username": "stan", "role": "developer"},
    **{place: {} for place in ("programs", "projects", "users", "tenants")},
}
GREED: dict[str, list[Any]] = {
    "role": ["owner", "admin"],
    "scope": ["write"],
    "user": ["ME", "OWNER", "OTTO", None],
    "username": ["dora", "vera", "otto"],
    "tenant": ["TENANT", "GLOBEX", None],
    "project": ["PROJECT", "OTHER", None],
    "key": ["OWN", "CONFINED", "FOREIGN"],
    "models": [None, [], ["Acme-model"]],
    "endpoints": [None, ["messages"], ["e/none"]],
    "networks": [None, [], ["0.0.0.0/0"]],
    "permissions": [["keys.view_key"], ["accounts.change_user"]],
    "priority": [100, 0, -1],
    "expires_at": ["2090-01-01T00:00:00Z", None],
    "revoked_at": [None],
    "email": ["otto@example.com", "olga@example.com"],
    "decision": ["approve", "deny"],
    "password": ["correct horse battery"],
    "model": ["MODEL"],
    "lasts": ["never", ""],
}
# Columns that no form and no body has.
SMUGGLED = {
    **{"is_staff": True, "is_superuser": True, "is_active": True, "role": "owner", "user": "OWNER", "id": 1, "pk": 1},
    **{
        "user_id": 1,
        "tenant_id": 1,
        "created_by": 1,
        "revoked_at": None,
        "public_id": "0" * 12,
        "digest": "",
        "q": "x",
    },
    **{"is_operator": True, "scope": "write", "state": "approved", "decided_by": 1, "ended_at": None, "key": "FOREIGN"},
}


def greedy(name: str, schema: dict[str, Any], dice: random.Random) -> Any:
    """What somebody would like it to be."""
    if name in GREED:
        return dice.choice(GREED[name])
    if "enum" in schema:
        return dice.choice(schema["enum"])
    of_kind = {"integer": [10**15, 0, 1], "number": [1e9, 0], "boolean": [True, False], "array": [[], None]}
    return dice.choice(of_kind.get(kind(schema), ["x", "Mine"]))
