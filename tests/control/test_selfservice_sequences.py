"""Whatever a developer does by themselves, in whatever order: it widens nothing of what they may."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apps.accounts.models import User
from apps.audit.services import picture
from apps.keys import selfservice as keys
from apps.keys.models import Key
from apps.quotas import selfservice, services
from apps.quotas.models import Budget, Limit
from apps.tenants.models import Membership, Project
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.attack("F28")]
DAY = datetime.timedelta(days=1)
SOON = timezone.now() + 10 * DAY
MOST, PER_MINUTE = 100, 60
LONGER = {"day": 0, "week": 1, "month": 2}


class Scene(NamedTuple):
    """Bob, what he was given, what is others', and rooms to try."""

    bob: User
    given: Key
    projects: list[Project]
    people: list[Any]
    subjects: list[Any]


@pytest.fixture
def scene(acme, globex, website, alice, bob, charlie) -> Scene:
    for name, of in (("small", []), ("large", []), ("theirs", [globex])):
        factories.model(name, tenants=of)
    narrow = {"models": ["small"], "networks": ["10.0.0.0/8"], "endpoints": ["messages"], "expires_at": SOON}
    given = keys.issue(actor=alice, tenant=acme, project=website, name="given", user=bob, **narrow).key
    elsewhere = factories.project(globex)
    others = [
        keys.issue(actor=who, tenant=where.tenant, project=where, name="other", user=user).key
        for who, where, user in ((alice, website, alice), (alice, website, None), (charlie, elsewhere, charlie))
    ]
    theirs = Membership.objects.get(user=bob)
    for subject in ({"tenant": acme}, {"project": website}, {"user": bob, "tenant": acme}, {"user": bob}):
        services.create_budget(actor=None, amount=MOST, **subject)
        services.create_limit(actor=None, requests_per_minute=PER_MINUTE, **subject)
    for key in (given, *others):
        services.create_budget(actor=alice, amount=7, period="day", key=key)
        services.create_limit(actor=alice, concurrency=1, key=key)
    return Scene(
        bob, given, [website, factories.project(acme), others[2].project], [bob, alice, charlie, None],
        [given, *others, website, theirs],
    )  # fmt: skip


maybe = st.none() | st.just([])
narrowings: dict[str, st.SearchStrategy[Any]] = {
    "models": maybe | st.lists(st.sampled_from(["small", "large", "theirs"]), max_size=3, unique=True),
    "endpoints": maybe | st.lists(st.sampled_from(["messages", "models", "e/none"]), max_size=2, unique=True),
    "networks": maybe | st.lists(st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "::/0"]), max_size=2),
    "priority": st.integers(-100, 100),
    "expires_at": st.sampled_from([None, SOON, SOON - DAY, SOON + DAY]),
}
scopes = st.just({}) | st.one_of([st.fixed_dictionaries({name: value}) for name, value in narrowings.items()])
terms = st.fixed_dictionaries(
    {"amount": st.integers(-1, 2 * MOST)},
    optional={"overdraft": st.integers(0, 5), "period": st.sampled_from(["day", "week", "month"])},
)
allowances = st.fixed_dictionaries(
    {}, optional={"requests_per_minute": st.integers(0, 2 * PER_MINUTE), "concurrency": st.integers(1, 3)}
)
pick = st.integers(0, 10**6)
steps = st.one_of(
    st.tuples(st.just("issue"), pick, scopes),
    st.tuples(st.just("update"), pick, scopes),
    st.tuples(st.just("rotate"), pick, st.just({})),
    st.tuples(st.just("revoke"), pick, st.just({})),
    st.tuples(st.just("set_budget"), pick, terms),
    st.tuples(st.just("set_limit"), pick, allowances),
    st.tuples(st.just("change_budget"), pick, terms | st.just({"is_enabled": False})),
    st.tuples(st.just("change_limit"), pick, allowances | st.just({"is_enabled": False})),
    st.tuples(st.just("remove"), pick, st.just({})),
)


def play(scene: Scene, verb: str, number: int, values: dict[str, Any]) -> None:
    """One thing that Bob tries, with any row that there is."""

    def one(rows: Any) -> Any:
        found = list(rows)
        return found[number % len(found)]

    if verb == "issue":
        project, user = one(scene.projects), one(scene.people)
        keys.issue(actor=scene.bob, tenant=project.tenant, project=project, name="new", user=user, **values)
    elif verb in ("update", "rotate", "revoke"):
        own = Key.objects.filter(user=scene.bob).order_by("pk")
        getattr(keys, verb)(one(own if number % 4 else Key.objects.order_by("pk")), actor=scene.bob, **values)
    elif verb in ("set_budget", "set_limit"):
        own = scene.given if number % 3 else one([*Key.objects.filter(user=scene.bob)])
        subject = one([own, own, *scene.subjects])
        getattr(selfservice, verb)(subject, actor=scene.bob, **values)
    else:
        kinds: dict[str, Callable[[], Any]] = {
            "change_budget": Budget.objects.order_by("pk").all,
            "change_limit": Limit.objects.order_by("pk").all,
            "remove": lambda: [*Budget.objects.order_by("pk"), *Limit.objects.order_by("pk")],
        }
        values = {name: value for name, value in values.items() if name != "period"}
        getattr(selfservice, verb)(one(kinds[verb]()), actor=scene.bob, **values)


class Before(NamedTuple):
    """Rows that are not Bob's to change, by model and id."""

    keys: dict[int, dict[str, Any]]
    budgets: dict[int, dict[str, Any]]
    limits: dict[int, dict[str, Any]]


def pictures(scene: Scene) -> Before:
    others = [key for key in Key.objects.all() if key.user_id != scene.bob.pk]
    return Before(
        *({row.pk: picture(row) for row in rows} for rows in (others, Budget.objects.all(), Limit.objects.all()))
    )


def check(scene: Scene, before: Before) -> None:
    now = pictures(scene)
    assert now.keys == before.keys
    for was, there_is in ((before.budgets, now.budgets), (before.limits, now.limits)):
        assert {pk: there_is.get(pk) for pk in was} == was
    for key in Key.objects.filter(user=scene.bob):
        check_key(key, scene)
    for budget in Budget.objects.exclude(pk__in=before.budgets):
        assert budget.key.user == scene.bob
        assert not budget.is_enabled or budget.period not in LONGER or budget.amount <= MOST
    for limit in Limit.objects.exclude(pk__in=before.limits):
        assert limit.key.user == scene.bob
        assert not limit.is_enabled or (limit.requests_per_minute or 0) <= PER_MINUTE


def check_key(key: Key, scene: Scene) -> None:
    assert key.priority <= 0
    assert key.tenant == key.project.tenant == scene.given.tenant
    assert "theirs" not in (key.models or ())
    assert "e/none" not in (key.endpoints or ())
    if key == scene.given:
        assert set(key.models) <= {"small"}
        assert set(key.endpoints) <= {"messages"}
        assert key.expires_at <= SOON
        assert all(ipaddress.ip_network(word).subnet_of(ipaddress.ip_network("10.0.0.0/8")) for word in key.networks)
    else:
        assert key.created_by == scene.bob


@settings(
    max_examples=25, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(games=st.lists(steps, min_size=10, max_size=16))
def test_no_sequence_of_calls_widens_what_a_developer_may(scene, games):
    before = pictures(scene)
    with transaction.atomic():
        for verb, number, values in games:
            with contextlib.suppress(PermissionDenied, ValidationError):
                play(scene, verb, number, values)
        check(scene, before)
        transaction.set_rollback(True)
