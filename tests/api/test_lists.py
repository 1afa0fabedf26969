"""Lists: page after page along an index, narrowed by what is known, never counted."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.api.urls import VIEWS
from tests import factories
from tests.api import caller

LISTED = [view.place for view in VIEWS if hasattr(view, "list") and hasattr(view, "body")]


def walk(program, path):
    """The ids of all pages."""
    ids, pages = [], 0
    while path is not None:
        page = program.get(path)
        ids += [item["id"] for item in page["items"]]
        pages += 1
        path = page["next"] and page["next"].partition("/api/v1")[2]
    return ids, pages


def test_pages_follow_one_another_without_gap_or_repetition(world):
    made = [factories.project(world.acme).pk for _ in range(7)]
    ids, pages = walk(world.owner, "/projects?limit=3")
    assert ids == sorted([*made, world.ids["projects"]], reverse=True)
    assert pages == 3


def test_what_comes_meanwhile_moves_no_page(world):
    made = [factories.project(world.acme).pk for _ in range(4)]
    page = world.owner.get("/projects?limit=2")
    factories.project(world.acme)
    following = world.owner.get(page["next"].partition("/api/v1")[2])
    assert [item["id"] for item in page["items"] + following["items"]] == made[::-1]


def test_the_link_keeps_the_filters(world):
    for _ in range(3):
        factories.project(world.acme)
    factories.project(world.globex)
    ids, pages = walk(world.operator, f"/projects?limit=2&tenant={world.acme.pk}")
    assert (len(ids), pages) == (4, 2)


# Beside the rows, however many there are: how far each sink has come.
BESIDE = {"sinks": 4}


@pytest.mark.parametrize("place", LISTED)
def test_a_list_asks_few_questions_and_counts_nothing(world, place):
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert world.operator.get(f"/{place}")["items"]
    told = [query["sql"] for query in asked.captured_queries]
    assert len(told) <= 4 + BESIDE.get(place, 0), told
    assert place in BESIDE or not any("COUNT(*)" in sql for sql in told)


def test_the_ledger_is_read_along_its_indexes(world):
    """By tenant for members, who are asked which where they are in several."""
    both = factories.member(world.acme, "both", "viewer")
    from apps.tenants import services

    services.add_member(world.globex, actor=None, user=both, role="developer")
    program = caller.of(both)
    answer = program("GET", "/usage/entries")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["tenant"])
    with CaptureQueriesContext(connection) as asked:
        assert len(program.get(f"/usage/entries?tenant={world.acme.pk}")["items"]) == 2
    (sql,) = [query["sql"] for query in asked.captured_queries if "usage_entry" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{sql}")
        plan = str(cursor.fetchall())
    if connection.vendor == "sqlite":
        assert "entry_by_tenant" in plan, plan


def test_members_are_told_nothing_of_who_answers(world):
    (entry, *_) = world.viewer.get("/usage/entries")["items"]
    (inside, *_) = world.operator.get("/usage/entries")["items"]
    inner = ("provider", "deployment", "credential", "upstream_model", "trail", "provider_request_id", "message_id")
    for name in inner:
        assert name not in entry
        assert name in inside
    assert entry["cost_nano_usd"] == inside["cost_nano_usd"]
    assert world.viewer("GET", "/usage/costs?by=provider").status_code == 403


def test_developers_see_their_own_usage_only(world):
    assert world.developer.get("/usage/entries")["items"] == []
    assert world.developer.get("/usage/rollups")["items"] == []
    assert world.developer.get("/usage/costs")["items"] == []
    (group,) = world.viewer.get("/usage/costs?by=key")["items"]
    assert (group["group"], group["cost_nano_usd"]) == (str(world.ids["keys"]), 105_000)


@pytest.mark.parametrize("by", ["tenant", "project", "user", "key", "model", "provider", "endpoint", "day", "hour"])
def test_costs_by_everything_come_to_the_same(world, by):
    groups = world.operator.get(f"/usage/costs?by={by}")["items"]
    assert sum(group["cost_nano_usd"] for group in groups) == 105_000


def test_entries_are_found_by_request_and_time(world):
    (entry, *_) = world.operator.get("/usage/entries")["items"]
    found = world.operator.get(f"/usage/entries?request_id={entry['request_id']}")["items"]
    assert {item["request_id"] for item in found} == {entry["request_id"]}
    assert world.operator.get("/usage/entries?since=2099-01-01T00:00:00Z")["items"] == []
    assert world.operator.get("/usage/entries?until=0001-01-01T00:00:00Z")["items"] == []
    assert world.operator.get("/usage/entries?state=unconfirmed&failed=false")["items"]
