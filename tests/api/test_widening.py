"""Whatever a developer calls, in whatever order: they never have more than before."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.access.models import Token
from apps.accounts.models import User
from apps.api import rates
from apps.catalog.models import Model, Provider
from apps.keys import services as keys
from apps.keys.models import Key
from apps.quotas import services as quotas
from apps.quotas.models import Budget, Limit
from apps.tenants.models import Membership, Project, Tenant
from tests import factories

pytestmark = pytest.mark.once

WORDS = st.none() | st.lists(st.sampled_from(["Acme-model", "Acme-alias", "messages", "10.0.0.0/8", "0.0.0.0/0"]))
KEY = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["mine", "theirs"]),
        "models": WORDS,
        "endpoints": WORDS,
        "networks": WORDS,
        "priority": st.integers(-5, 100),
        "expires_at": st.none() | st.just("2090-01-01T00:00:00Z"),
        "project": st.sampled_from(["PROJECT", "OTHER"]),
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
    st.tuples(st.just("POST"), st.just("/keys"), KEY.map(lambda key: {"tenant": "TENANT", "project": "PROJECT"} | key)),
    st.tuples(st.just("POST"), st.just("/keys"), KEY.map(lambda key: {"tenant": "TENANT", "user": "OWNER"} | key)),
    st.tuples(st.just("PATCH"), st.sampled_from(["/keys/OWN", "/keys/CONFINED", "/keys/FOREIGN"]), KEY),
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


def rights(ids: dict[str, Any]) -> list[Any]:
    """All that decides what somebody may do, but for the developer's own keys, which `check` looks at."""
    mine = {"user": ids["ME"], "tenant": ids["TENANT"]}
    theirs = Key.objects.filter(**mine).values("pk")
    return [
        *(list(rows.order_by("pk").values()) for rows in (Membership.objects, Tenant.objects, Project.objects)),
        list(User.objects.order_by("pk").values("pk", "is_staff", "is_superuser", "is_active", "user_permissions")),
        list(Key.objects.exclude(**mine).order_by("pk").values()),
        list(Budget.objects.exclude(key__in=theirs, pk__gt=ids["BUDGET"]).order_by("pk").values()),
        list(Limit.objects.exclude(key__in=theirs, pk__gt=ids["LIMIT"]).order_by("pk").values()),
        *(list(rows.order_by("pk").values()) for rows in (Model.objects, Provider.objects)),
        list(Token.objects.exclude(user=ids["ME"]).order_by("pk").values("pk", "user", "scope")),
    ]


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


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(calls=st.lists(CALLS, min_size=1, max_size=6))
def test_a_developer_never_widens_their_own_rights(world, calls):
    point = transaction.savepoint()
    try:
        rates.forget()
        ids = cast(world)
        before = rights(ids)
        for method, path, body in calls:
            where = named(path, ids, path=path)
            answer = world.developer(method, where, named(body, ids, path=path), if_match="*")
            assert answer.status_code < 500, (method, where, body, answer.content)
        assert rights(ids) == before
        check(ids)
    finally:
        transaction.savepoint_rollback(point)
