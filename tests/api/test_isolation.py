"""What another tenant has and does is nothing to whoever asks: answers are the same, byte by byte, before and after;
and what is another's is told as what is nobody's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from rest_framework import serializers

from apps.access import services as access
from apps.alerts import services as alerts
from apps.api.urls import VIEWS
from apps.keys import services as keys
from apps.quotas import services as quotas
from apps.tenants.models import Role
from tests import factories
from tests.api import caller
from tests.api.caller import Caller
from tests.api.test_matrix import QUERIES, routes, shown
from tests.portal.test_isolation import traffic
from tests.portal.test_who_may import signed_in

pytestmark = [pytest.mark.once, pytest.mark.attack("F27")]

NOBODYS = 999_999_999
NO_UUID = "00000000-0000-7000-8000-000000000000"
SHORT_LIVED = ("x-trace-id", "x-request-id", "date")
LEAVING_TRACES = "/usage/charges"  # in the record, each time
TRACE = re.compile(rb'"trace_id": ?"[^"]*"')


def answered(program: Caller, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
    """All of it, but for what names this very request."""
    answer = program(method, path, body)
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in SHORT_LIVED}
    return answer.status_code, headers, TRACE.sub(b"", answer.content)


def without(number: Any, answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes]:
    """An answer that may say again what it was asked for."""
    status, headers, text = answer
    alone = rf"(?<![\d:.-]){number}(?![\d:.-])"  # not within a moment
    told = {name: re.sub(alone, "#", value) for name, value in headers.items() if name != "content-length"}
    return status, told, re.sub(alone.encode(), b"#", text)


@pytest.fixture
def neighbours(world) -> dict[str, Caller]:
    """Globex's owner and a developer of theirs, who have made something themselves."""
    own = factories.project(world.globex, "Own")
    traffic(world.globex, own, world.people["stranger"])
    developer = factories.member(world.globex, "gina", Role.DEVELOPER)
    return {"owner": world.stranger, "developer": caller.of(developer)}


def busy(world: Any) -> None:
    """All that Acme's people make besides."""
    acme, owner, project = world.acme, world.people["owner"], world.rows["Project"]
    place = alerts.create_destination(actor=owner, tenant=acme, name="Mail", kind="email", target="a@example.com")
    alerts.create_rule(actor=owner, tenant=acme, kind="budget", name="Theirs", destinations=[place.destination])
    quotas.create_limit(actor=owner, project=project, requests_per_minute=7)
    access.issue(owner, name="theirs", scope="write")
    factories.member(acme, "newcomer", Role.ADMIN)
    keys.revoke(factories.key(project).key, actor=owner)
    signed_in(owner, project)


def asked(world: Any) -> Iterator[str]:
    """Every list, each in pages of one, too."""
    for method, place, tail in routes():
        if method == "GET" and tail == "-":
            query = QUERIES.get(place, "").format(tenant=world.globex.pk)
            yield f"/{place}{query}"
            yield f"/{place}{query}{'&' if query else '?'}limit=1"


def test_all_that_a_tenant_is_told_stays_as_it_was_whatever_another_does(world, neighbours, time_machine, figure):
    time_machine.move_to(timezone.now(), tick=False)
    paths = list(asked(world))
    for program in neighbours.values():
        for view in VIEWS:
            if hasattr(view, "retrieve") and (found := program("GET", f"/{view.place}")).status_code == 200:
                paths += [f"/{view.place}/{item['id']}" for item in found.json().get("items", ())[:3]]
    paths = sorted(set(paths))

    def told() -> dict[tuple[str, str], Any]:
        return {(who, path): answered(program, "GET", path) for who, program in neighbours.items() for path in paths}

    taken = [answered(world.stranger, "GET", path) for path in paths if path.startswith(LEAVING_TRACES)]
    paths = [path for path in paths if not path.startswith(LEAVING_TRACES)]
    before = told()
    assert sum(answer[0] == 200 for answer in before.values()) > len(paths) / 2
    traffic(world.acme, world.rows["Project"], world.people["owner"])
    busy(world)
    after = told()
    assert {asked_for for asked_for, answer in before.items() if after[asked_for] != answer} == set()
    assert [
        answered(world.stranger, "GET", path) for path in sorted(asked(world)) if path.startswith(LEAVING_TRACES)
    ] == taken
    figure("F27", "answers of the API that are as before another's doings", len(before), least=150)


def test_what_is_anothers_is_told_as_what_is_nobodys(world, neighbours, time_machine, figure):
    """By id, by every filter, and in every body: whoever guesses learns nothing."""
    time_machine.move_to(timezone.now(), tick=False)
    told, tried = [], 0
    acme = {"tenant": world.acme.pk, "user": world.people["owner"].pk, "members": world.ids["members"]}
    known = list(routes())
    for method, place, tail in known:
        if tail == "-":
            continue
        mine = world.ids[place]
        other: Any = NO_UUID if "-" in str(mine) else NOBODYS
        body = {} if method in ("POST", "PATCH") else None
        for who, program in neighbours.items():
            tried += 1
            found = [without(one, _undone(program, method, f"/{place}/{one}{tail}", body)) for one in (mine, other)]
            if found[0] != found[1]:
                told.append((shown(method, place, tail), who, found))
    for view, name in filters():
        mine = acme.get(name) or world.ids.get(f"{name}s", 1)
        path = f"/{view.place}{QUERIES.get(view.place, '?').format(tenant=world.globex.pk)}"
        for who, program in neighbours.items():
            tried += 1
            answers = [without(one, answered(program, "GET", f"{path}&{name}={one}")) for one in (mine, NOBODYS)]
            if answers[0] != answers[1]:
                told.append((view.place, name, who, answers))
    for place in [place for method, place, tail in known if (method, tail) == ("POST", "-")]:
        for who, program in neighbours.items():
            tried += 1
            bodies = [_naming(place, world, one) for one in (None, NOBODYS)]
            answers = [_undone(program, "POST", f"/{place}", body) for body in bodies]
            if answers[0] != answers[1]:
                told.append((place, who, answers))
    assert told == []
    figure("F27", "questions for another's rows that are told as for nobody's", tried, least=400)


def filters() -> Iterator[tuple[Any, str]]:
    """Those of lists that take a number of a row."""
    for view in VIEWS:
        query = getattr(view, "query", None)
        for name, field in query().fields.items() if query is not None else ():
            if isinstance(field, serializers.IntegerField):
                yield view, name


def _naming(place: str, world: Any, number: int | None) -> dict[str, Any]:
    """A body with those fields that take a number of a row."""
    names = {"tenant": world.acme.pk, "project": world.ids["projects"], "key": world.ids["keys"]}
    names |= {"user": world.people["owner"].pk, "budget": world.ids["budgets"]}
    body = next((view.body for view in VIEWS if view.place == place and hasattr(view, "body")), None)
    taken = names if body is None else body().fields
    return {name: number or found for name, found in names.items() if name in taken}


def _undone(program: Caller, method: str, path: str, body: Any) -> Any:
    point = transaction.savepoint()
    found = answered(program, method, path, body)
    transaction.savepoint_rollback(point)
    return found
