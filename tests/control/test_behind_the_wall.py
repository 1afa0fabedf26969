"""Requests of members, and the connection that they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DataError, InternalError, OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import include, path

from apps.api.resource import Signed
from apps.keys.models import Key
from apps.portal.visits import Visit, at_all_of_theirs, page
from apps.runtime import walls
from apps.status import overview
from apps.status.doctor import database as doctor
from apps.tenants.models import Membership, Project, Role, Tenant
from gateway_site.urls import urlpatterns as real
from tests import factories
from tests.api import caller
from tests.faults.proxy import Proxy

pytestmark = [
    *(pytest.mark.attack("F27"), pytest.mark.postgresql, pytest.mark.urls(__name__)),
    pytest.mark.django_db(transaction=True),
]
STANDING = "SELECT current_user, current_setting('weir.tenants', true), current_setting('weir.person', true)"


def unscoped() -> dict[str, Any]:
    """What a page tells that asks for everything, through Django and in SQL of its own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM keys_key WHERE tenant_id > 0 OR true ORDER BY name")
        raw = [name for (name,) in cursor.fetchall()]
    return {
        "tenants": sorted(Tenant.objects.values_list("slug", flat=True)),
        "projects": sorted(Project.objects.values_list("name", flat=True)),
        "keys": sorted(Key.objects.values_list("name", flat=True)),
        "raw": raw,
    }


@page()
def forgetful(visit: Visit) -> HttpResponse:
    return JsonResponse(unscoped())


@at_all_of_theirs
def of_all(request: HttpRequest) -> HttpResponse:
    return JsonResponse(unscoped())


def nowhere(request: HttpRequest) -> HttpResponse:
    return JsonResponse(unscoped())


@page()
def failing(visit: Visit) -> HttpResponse:
    raise RuntimeError("a mistake")


@page()
def broken(visit: Visit) -> HttpResponse:
    """Its connection is ended under its hands, and it goes on with another."""
    try:
        with walls.as_installation(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    except OperationalError:
        connection.close()
    return JsonResponse(unscoped())


@page()
def cut(visit: Visit) -> HttpResponse:
    """Its connection is ended, and it does not notice."""
    with contextlib.suppress(OperationalError), walls.as_installation(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    return HttpResponse("done")


class Forgetful(Signed):
    def list(self, request: Any) -> HttpResponse:
        return JsonResponse(unscoped())


urlpatterns = [
    path("t/<slug:tenant>/forgetful/", forgetful),
    path("t/<slug:tenant>/failing/", failing),
    path("t/<slug:tenant>/broken/", broken),
    path("t/<slug:tenant>/cut/", cut),
    path("of-all/", of_all),
    path("nowhere/", nowhere),
    path("api/v1/", include(([path("forgetful", Forgetful.as_view({"get": "list"}))], "api"))),
    *real,
]


@pytest.fixture
def people(acme, globex, website, alice, charlie) -> dict[str, Any]:
    """Alice owns Acme, Charlie Globex, and Mia is at both."""
    theirs = factories.project(globex, "Theirs")
    factories.key(website, name="acme's", user=alice)
    factories.key(theirs, name="globex's", user=charlie)
    mia = factories.member(acme, "mia", Role.VIEWER)
    Membership.objects.create(tenant=globex, user=mia, role=Role.VIEWER)
    return {"alice": alice, "charlie": charlie, "mia": mia}


def client_of(user: Any) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def standing() -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute(STANDING)
        return tuple(value or "" for value in cursor.fetchone())


def is_clean() -> bool:
    return standing() == (connection.settings_dict["USER"], "", "") and walls.current() is None


OF_ACME = {"projects": ["Website"], "keys": ["acme's"], "raw": ["acme's"]}
NOTHING: dict[str, Any] = {"projects": [], "keys": [], "raw": []}


def test_a_page_that_forgets_its_tenant_shows_no_other(people):
    told = client_of(people["alice"]).get("/t/acme/forgetful/").json()
    assert told == {"tenants": ["acme"], **OF_ACME}
    assert is_clean()


def test_at_one_tenants_page_the_visitors_others_are_not_there_either(people):
    told = client_of(people["mia"]).get("/t/acme/forgetful/").json()
    assert told == {"tenants": ["acme", "globex"], **OF_ACME}  # names of their own tenants are in the page's menu
    both = client_of(people["mia"]).get("/of-all/").json()
    assert both["keys"] == ["acme's", "globex's"]


def test_before_the_tenant_is_known_there_is_nothing(people):
    assert Client().get("/nowhere/").json() == {"tenants": [], **NOTHING}
    assert client_of(people["alice"]).get("/nowhere/").json() == {"tenants": ["acme"], **NOTHING}
    assert is_clean()


def test_operators_see_everything(people, operator):
    told = client_of(operator).get("/t/acme/forgetful/").json()
    assert told["keys"] == ["acme's", "globex's"]


@pytest.mark.parametrize(
    ("who", "confined", "keys"),
    [("alice", False, ["acme's"]), ("mia", False, ["acme's", "globex's"]), ("mia", True, ["acme's"])],
)
def test_the_management_api_shows_no_other_tenant(people, acme, who, confined, keys):
    asking = caller.of(people[who], **({"tenant": acme} if confined else {}))
    assert asking.get("/forgetful")["keys"] == keys
    assert is_clean()


def test_an_operators_token_that_is_confined_stands_behind_the_wall(people, acme, operator):
    assert caller.of(operator, tenant=acme).get("/forgetful")["keys"] == ["acme's"]
    assert caller.of(operator).get("/forgetful")["keys"] == ["acme's", "globex's"]


def test_after_a_page_that_fails_the_connection_is_as_it_was(people):
    assert client_of(people["alice"]).get("/t/acme/failing/").status_code == 500
    assert is_clean()
    assert Key.objects.count() == 2


def test_a_connection_that_is_opened_anew_stands_behind_the_wall(people):
    assert client_of(people["alice"]).get("/t/acme/broken/").json() == {"tenants": ["acme"], **OF_ACME}
    assert is_clean()


def test_after_a_page_whose_connection_was_cut_another_is_opened(people):
    assert client_of(people["alice"]).get("/t/acme/cut/").content == b"done"
    assert is_clean()


def test_a_transaction_that_fails_leaves_the_wall_where_it_was(people, acme):
    walls.stand(person=people["alice"].pk, tenants=[acme.pk])
    try:
        with contextlib.suppress(DataError), transaction.atomic(), walls.as_installation():
            assert Key.objects.count() == 2
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        assert Key.objects.count() == 1
        with contextlib.suppress(RuntimeError), transaction.atomic(), walls.as_installation():
            raise RuntimeError
        assert Key.objects.count() == 1
    finally:
        walls.leave()
    assert is_clean()


async def test_on_an_event_loop_as_well(people):
    from asgiref.sync import sync_to_async

    client = AsyncClient()
    await sync_to_async(client.force_login)(people["alice"])
    answer = await client.get("/t/acme/forgetful/")
    assert json.loads(answer.content) == {"tenants": ["acme"], **OF_ACME}
    assert await sync_to_async(is_clean)()


def test_where_there_is_no_such_role_pages_are_served_behind_the_first_wall(people, monkeypatch, caplog):
    monkeypatch.setattr(walls, "_told_at", float("-inf"))
    monkeypatch.setattr(walls, "_RAISE", walls._RAISE.replace("'_member'", "'_nobody'"))
    answer = client_of(people["alice"]).get("/t/acme/")
    assert answer.status_code == 200
    assert "tenants.no_second_wall" in caplog.text
    assert client_of(people["alice"]).get("/t/acme/forgetful/").json()["keys"] == ["acme's", "globex's"]
    assert is_clean()


class Pooler(Proxy):
    """Names itself to whoever connects, as poolers do, and not the process of PostgreSQL's that answers."""

    KEY = re.compile(rb"(?<=K\0\0\0\x0c).{4}(?=.{4}Z)", re.DOTALL)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        write = writer.write
        writer.write = lambda told: write(self.KEY.sub(b"pool", told))  # type: ignore[method-assign]
        await super()._serve(reader, writer)


@pytest.fixture
def pooler(monkeypatch) -> Iterator[None]:
    """Stands between this thread's connection and PostgreSQL."""
    own = connection.settings_dict
    proxy = Pooler(f"postgresql://{own['HOST']}:{own['PORT']}")
    connection.close()
    with monkeypatch.context() as patched:
        patched.setitem(own, "HOST", "127.0.0.1")
        patched.setitem(own, "PORT", proxy.port)
        yield
        connection.close()
    proxy.close()


def test_behind_a_pooler_no_role_is_taken_that_its_next_client_would_have(people, pooler, monkeypatch, caplog):
    monkeypatch.setattr(walls, "_told_at", float("-inf"))
    assert client_of(people["alice"]).get("/t/acme/").status_code == 200
    assert client_of(people["alice"]).get("/t/acme/forgetful/").json()["keys"] == ["acme's", "globex's"]
    assert [(told.msg["event"], told.msg["reason"]) for told in caplog.records if "second_wall" in str(told.msg)] == [
        ("tenants.no_second_wall", "pooler")
    ]
    walls.stand(person=people["alice"].pk, tenants=[1])
    assert standing() == (connection.settings_dict["USER"], "", "")
    walls.leave()
    (finding,) = doctor.second_wall()
    assert finding.level == "warning"
    assert "pooler" in finding.told
    assert "WEIR_SECOND_WALL=1" in finding.cure
    assert finding in overview.beside_calls()


def test_behind_one_that_is_said_to_keep_connections_it_stands(people, pooler, settings):
    settings.WEIR_WALL_BEHIND_POOLER = True
    assert client_of(people["alice"]).get("/t/acme/forgetful/").json() == {"tenants": ["acme"], **OF_ACME}
    assert is_clean()
    (finding,) = doctor.second_wall()
    assert finding.level == "ok"


def test_what_the_connection_was_before_is_what_it_is_afterwards(people, acme):
    """A login that acts as the owner of the tables, and looks for these by its own name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (login,) = cursor.fetchone()
        cursor.execute("DROP ROLE IF EXISTS acting")
        cursor.execute("CREATE ROLE acting SUPERUSER")
        cursor.execute("ALTER SCHEMA public RENAME TO acting")
        cursor.execute("SET ROLE acting")
    before = ("acting", "", "")
    try:
        assert Key.objects.count() == 2
        walls.stand(person=people["alice"].pk)
        walls.stand(person=people["alice"].pk, tenants=[acme.pk])
        assert Key.objects.count() == 1
        with walls.as_installation():
            assert standing() == before
            assert Key.objects.count() == 2
        assert Key.objects.count() == 1
        walls.leave()
        assert standing() == before
        assert Key.objects.count() == 2
    finally:
        walls.leave()
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
            cursor.execute("ALTER SCHEMA acting RENAME TO public")
            cursor.execute("DROP ROLE acting")
    assert standing() == (login, "", "")


def test_where_the_role_cannot_be_given_back_it_is_stood_behind_all_the_same(people, acme):
    walls.stand(person=people["alice"].pk, tenants=[acme.pk])
    try:
        with socket.socket(fileno=os.dup(connection.connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
        with pytest.raises(OperationalError), walls.as_installation():
            raise AssertionError("inside")
        assert Key.objects.count() == 1
        with contextlib.suppress(DataError), transaction.atomic():
            with contextlib.suppress(DataError), connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
            with pytest.raises(InternalError), walls.as_installation():
                raise AssertionError("inside")
            raise DataError
        assert walls.is_up()
        assert Key.objects.count() == 1
    finally:
        walls.leave()
    assert is_clean()
