"""One world a module: Acme with its people and one of everything, Globex next door, and who runs the installation."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from apps.access.models import Token
from apps.accounts.models import User
from apps.alerts import services as alerts
from apps.alerts.models import Alert, Delivery
from apps.api import rates
from apps.api.urls import VIEWS
from apps.catalog import services as catalog
from apps.catalog.models import Provider
from apps.keys.models import Grant
from apps.tenants.models import Role, Tenant
from tests import factories
from tests.api import caller
from tests.api.caller import Caller
from tests.control import world as everything

ROLES = ("owner", "admin", "developer", "viewer", "stranger", "operator", "staff", "nobody", "reader", "expired")


class World(NamedTuple):
    """`rows` are Acme's, by the names of their models, and `ids` those of one of each resource, by its path. `callers`
    by role; `stranger` owns Globex."""

    acme: Tenant
    globex: Tenant
    people: dict[str, User]
    callers: dict[str, Caller]
    rows: dict[str, Any]
    ids: dict[str, Any]

    def __getattr__(self, name: str) -> Caller:
        try:
            return self.callers[name]
        except KeyError:
            raise AttributeError(name) from None


@pytest.fixture(scope="module")
def _made(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """In a transaction around those of the module's tests."""
    block = transaction.atomic()
    with django_db_blocker.unblock():
        block.__enter__()
    try:
        with django_db_blocker.unblock():
            made = _world()
        yield made
    finally:
        with django_db_blocker.unblock():
            transaction.set_rollback(True)
            block.__exit__(None, None, None)


@pytest.fixture
def world(_made: World, db: None) -> World:
    rates.forget()
    return _made


def _world() -> World:
    rows = {model.__name__: row for model, row in everything.one_of_everything("Acme").items()}
    Provider.objects.update(base_url="http://127.0.0.1:9")  # it is not asked: this network is not open
    acme, globex = rows["Tenant"], factories.tenant("Globex")
    people = {
        "owner": factories.member(acme, "olga", Role.OWNER),
        "admin": factories.member(acme, "adam", Role.ADMIN),
        "developer": factories.member(acme, "dora", Role.DEVELOPER),
        "viewer": factories.member(acme, "vera", Role.VIEWER),
        "stranger": factories.member(globex, "gus", Role.OWNER),
        "operator": factories.user("otto", is_staff=True, is_superuser=True),
        "staff": factories.user("stan", is_staff=True),
    }
    callers = {role: caller.of(person) for role, person in people.items()}
    callers |= {"nobody": Caller(), "reader": caller.of(people["owner"], scope="read")}
    callers["expired"] = caller.of(people["owner"])
    past = timezone.now() - datetime.timedelta(seconds=1)
    Token.objects.filter(pk=Token.objects.latest("pk").pk).update(expires_at=past)
    catalog.add_fallback(rows["Model"], actor=None, target=factories.model())
    own = _own(acme, people["developer"], rows["Project"])
    ids = {view.place: view.rows().order_by("pk")[0].pk for view in VIEWS if hasattr(view, "retrieve")} | own
    ids["tokens"] = Token.objects.filter(user=people["owner"]).earliest("pk").pk
    return World(acme, globex, people, callers, rows, ids)


def _own(acme: Tenant, developer: User, project: Any) -> dict[str, int]:
    """What is the installation's in the world of everything, Acme's own. Nothing is sent: the destination is shut."""
    given = {"tenant": acme, "name": "Acme's", "target": "https://example.com/hook"}
    place = alerts.create_destination(actor=None, kind="webhook", **given).destination
    alerts.update_destination(place, actor=None, is_enabled=False)
    rule = alerts.create_rule(actor=None, tenant=acme, kind="budget", name="Acme's", destinations=[place])
    now = timezone.now()
    alert = Alert.objects.create(
        rule=rule, tenant_id=acme.pk, subject="budget:0", title="It is so", text="It is.", raised_at=now, seen_at=now
    )
    Delivery.objects.create(reason="the world's", alert=alert, destination=place, event="alert.raised", body={})
    grant = Grant.objects.create(tenant=acme, project=project, user=developer, public_id="b" * 12, client="a program")
    return {"alert-destinations": place.pk, "alert-rules": rule.pk, "alerts": alert.pk, "programs": grant.pk}
