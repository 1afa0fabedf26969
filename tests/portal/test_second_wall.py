"""The second wall takes nothing from what members may see: every page is the same with it and without."""

from __future__ import annotations

import importlib

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest
from django.utils import timezone

from apps.keys.models import Key
from apps.runtime import walls
from apps.tenants.models import Tenant
from apps.usage import rollups
from tests import factories
from tests.portal.test_isolation import TOKEN, traffic
from tests.portal.test_who_may import MAY, POSTED, answer
from tests.portal.test_who_may import things as of_acme  # noqa: F401  # a fixture

pytestmark = [pytest.mark.attack("F27"), pytest.mark.postgresql]


@pytest.mark.parametrize("who", ["alice", "ann", "bob", "vera"])
def test_pages_say_the_same_with_the_wall_and_without(
    request,
    visit,
    of_acme,  # noqa: F811
    acme,
    globex,
    website,
    alice,
    charlie,
    settings,
    time_machine,
    who,
):
    time_machine.move_to(timezone.now(), tick=False)
    traffic(acme, website, alice)
    traffic(globex, factories.project(globex, "Own"), charlie)
    rollups.roll_up()
    visitor = visit(request.getfixturevalue(who))
    names = [name for name in MAY if name not in POSTED]

    def seen() -> dict[str, tuple[int, bytes]]:
        answers = {name: answer(visitor, name, of_acme) for name in names}
        return {name: (one.status_code, body(one)) for name, one in answers.items()}

    seen()  # looking leaves a trace in the audit log, once a day
    behind = seen()
    settings.WEIR_SECOND_WALL = False
    assert [name for name, told in seen().items() if told != behind[name]] == []
    assert {status for status, _ in behind.values()} <= {200, 302, 403, 404}


def test_the_wall_is_up_while_pages_are_made(visit, alice, website, monkeypatch):
    """Else the test above would compare nothing."""
    up = []
    told = Key.__str__
    monkeypatch.setattr(Key, "__str__", lambda key: (up.append(walls.is_up()), told(key))[1])
    factories.key(website, name="Laptop", user=alice)
    up.clear()
    assert "Laptop" in visit(alice).text("keys")
    assert up == [] or set(up) == {True}


def streams(monkeypatch, name: str) -> list[bool]:
    """Whether the wall was up as each batch of a module's was asked for."""
    up: list[bool] = []
    module, _, function = name.rpartition(".")
    told = getattr(importlib.import_module(module), function)

    def watched(*arguments, **named):
        for batch in told(*arguments, **named):
            up.append(walls.is_up())
            assert not Tenant.objects.exclude(slug="acme").exists()
            yield batch
            up.append(walls.is_up())

    monkeypatch.setattr(name, watched)
    return up


@pytest.mark.parametrize(
    ("page", "name", "query"),
    [
        ("usage-export", "apps.usage.calls.exported", {}),
        ("costs-focus", "apps.usage.focus.charges.charges", {"kind": "csv"}),
        ("costs-focus", "apps.usage.focus.charges.charges", {"kind": "parquet"}),
        ("costs-export", "apps.usage.reports.tables.batches", {}),
    ],
)
@pytest.mark.parametrize("by", ["wsgi", "asgi"])
def test_what_is_sent_piece_by_piece_is_asked_behind_it_too(
    visit, acme, globex, website, alice, monkeypatch, page, name, query, by
):
    traffic(acme, website, alice)
    rollups.roll_up()
    up = streams(monkeypatch, name)
    if by == "asgi":
        monkeypatch.setattr("apps.audit.downloads.ASGIRequest", HttpRequest)
    days = {"first": f"{timezone.now().date()}", "last": f"{timezone.now().date()}"} if query else {}
    answer = visit(alice).get(page, {**query, **days})
    assert walls.current() is None
    assert read(answer)
    assert len(up) >= 2
    assert set(up) == {True}
    assert walls.current() is None
    assert not walls.is_up()
    assert Tenant.objects.count() == 2


def read(answer) -> bytes:
    if not answer.is_async:
        return b"".join(answer.streaming_content)

    async def all_of_it() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return async_to_sync(all_of_it)()


def body(response) -> bytes:
    told = b"".join(response.streaming_content) if response.streaming else response.content
    return TOKEN.sub(b"", told)
