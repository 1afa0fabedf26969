"""The admin asks the database as often for 300 rows as for 3, and never counts keys or ledger entries to the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.audit.pages import MOST_ROWS, CappedPaginator
from apps.keys.models import Key
from apps.tenants.models import Tenant
from apps.usage.admin.filters import OutcomeFilter
from apps.usage.models import Entry
from tests import factories
from tests.control import world
from tests.control.desk import Desk

pytestmark = pytest.mark.django_db

FEW, MANY = 3, 300
LONG_TABLES = ("keys_key", "usage_entry", "usage_hourlyrollup", "audit_record", "policies_intervention")
COUNT = re.compile(r"\bCOUNT\s*\(", re.IGNORECASE)


def pages(desk: Desk) -> Iterator[str]:
    """The first page, every list as it is, searched and sorted, and the choices of forms."""
    yield desk.url("index")
    for model, registered in admin.site._registry.items():
        listing = desk.url(f"{model._meta.app_label}_{model._meta.model_name}_changelist")
        yield listing
        if registered.search_fields:
            yield f"{listing}?q=1"
        for owner in (registered, *(inline(model, admin.site) for inline in registered.inlines)):
            for field in owner.get_autocomplete_fields(None):
                query = f"app_label={owner.opts.app_label}&model_name={owner.opts.model_name}&field_name={field}&term="
                yield f"{desk.url('autocomplete')}?{query}"
    for state in ("active", "soon", "expired", "revoked", "unused"):
        yield f"{desk.url('keys_key_changelist')}?state={state}"
    for outcome in ("errors", "unconfirmed", "unpriced", "ok"):
        yield f"{desk.url('usage_entry_changelist')}?outcome={outcome}&since=all"


def asked(desk: Desk) -> dict[str, list[str]]:
    """The queries of each page."""
    found = {}
    for url in pages(desk):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert desk.client.get(url).status_code == 200, url
        found[url] = [query["sql"] for query in queries]
    return found


@pytest.mark.once
def test_every_page_asks_as_often_for_many_rows_as_for_few(desk):
    world.many_of_everything(FEW)
    desk.client.get(desk.url("index"))  # what is asked once a process is asked now
    few = {url: len(queries) for url, queries in asked(desk).items()}
    world.many_of_everything(MANY - FEW, start=FEW)
    assert Key.objects.count() == MANY
    many = asked(desk)
    assert {url: len(queries) for url, queries in many.items()} == few
    assert max(few.values()) <= 40, few
    for url, queries in many.items():
        for query in queries:
            if COUNT.search(query) and any(f'"{table}"' in query for table in LONG_TABLES):
                assert "LIMIT" in query or "GROUP BY" in query, f"{url} counts to the end: {query}"


def test_the_pages_of_a_row_do_not_grow_with_what_hangs_on_it(desk):
    """A tenant with a few keys, members and projects, and one with many."""
    few, many = factories.tenant("Few"), factories.tenant("Many")
    for tenant, count in ((few, FEW), (many, MANY)):
        projects = [factories.project(tenant, f"p{n}") for n in range(3)]
        people = User.objects.bulk_create(User(username=f"{tenant.name}-{n}", password="!") for n in range(count))
        tenant.memberships.model.objects.bulk_create(
            tenant.memberships.model(tenant=tenant, user=user, role="viewer") for user in people
        )
        Key.objects.bulk_create(
            Key(tenant=tenant, project=projects[0], name=f"k{n}", public_id=f"{tenant.name}{n:06}", last_four="abcd")
            for n in range(count)
        )
    numbers = []
    for tenant in (few, many):
        with CaptureQueriesContext(connection) as queries:
            desk.text("tenants_tenant_change", tenant.pk)
        numbers.append(len(queries))
    # A second page of members is one more to count, and the rows of a page are 50 at most.
    assert numbers[1] <= numbers[0] + 2, numbers
    assert numbers[1] < 60


def test_a_list_is_counted_no_further_than_it_is_paged():
    assert CappedPaginator(Key.objects.order_by("-id"), 50).count == 0
    with CaptureQueriesContext(connection) as queries:
        assert CappedPaginator(Entry.objects.order_by("-id"), 50).count == 0
    (query,) = [query["sql"] for query in queries]
    assert f"LIMIT {MOST_ROWS}" in query
    assert "ORDER BY" not in query


def test_a_search_that_finds_little_reads_the_table_once(desk):
    world.many_of_everything(FEW)
    key = Key.objects.earliest("pk")
    with CaptureQueriesContext(connection) as queries:
        assert key.name in desk.text("keys_key_changelist", q=key.public_id)
    rows = [query["sql"] for query in queries if 'FROM "keys_key"' in query["sql"]]
    found = f'"keys_key"."id" IN ({key.pk})'
    assert [found in query for query in rows] == [False, True, True], rows


@pytest.mark.sqlite
@pytest.mark.parametrize("outcome", ["errors", "timeout", "unconfirmed", "unpriced"])
def test_rare_outcomes_are_found_by_an_index(outcome, rf):
    """PostgreSQL's planner reads so small a table whole."""
    registered = admin.site._registry[Entry]
    asked = OutcomeFilter(rf.get("/"), {"outcome": [outcome]}, Entry, registered)
    assert "USING INDEX entry_" in asked.queryset(rf.get("/"), Entry.objects.order_by("-id")).explain()


def test_a_list_that_is_longer_says_so(desk, monkeypatch):
    from apps.audit import pages as pages_of_the_admin

    Tenant.objects.bulk_create(Tenant(name=f"tenant {n}", slug=f"tenant-{n}") for n in range(120))
    assert "120 tenants" in desk.text("tenants_tenant_changelist")
    monkeypatch.setattr(pages_of_the_admin, "MOST_ROWS", 100)
    text = desk.text("tenants_tenant_changelist")
    assert "100+ tenants" in text
    assert "filter or search to reach the others" in text
    assert desk.get("tenants_tenant_changelist", p=2).status_code == 200


# --- lists that only grow -------------------------------------------------------------------------------------------


class Links(HTMLParser):
    """Where a list goes on to, by `rel`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and given.get("rel") in ("prev", "next"):
            self.found[str(given["rel"])] = str(given["href"])


def walk(
    desk: Desk, page: str, *, rel: str = "next", start: str = "?"
) -> Iterator[tuple[str, list[object], list[str]]]:
    """The pages of a list one after another: address, rows, queries."""
    where: str | None = start
    while where is not None:
        with CaptureQueriesContext(connection) as queries:
            answer = desk.client.get(desk.url(page) + where)
        assert answer.status_code == 200
        yield where, [row.pk for row in answer.context["cl"].result_list], [query["sql"] for query in queries]
        links = Links()
        links.feed(answer.content.decode())
        where = links.found.get(rel)


GROWING = {
    "usage_entry_changelist": "usage_entry",
    "usage_hourlyrollup_changelist": "usage_hourlyrollup",
    "usage_hourlyrollup_changelist?o=-8": "usage_hourlyrollup",
    "audit_record_changelist": "audit_record",
}


@pytest.mark.parametrize("listing", GROWING)
def test_a_list_that_only_grows_is_paged_from_its_last_row_and_counts_nothing(desk, listing):
    page, _, query = listing.partition("?")
    world.many_of_everything(MANY // 2)
    found = list(walk(desk, page, start=f"?{query}"))
    shown = [key for _, rows, _ in found for key in rows]
    model = next(model for model in admin.site._registry if model._meta.db_table == GROWING[listing])
    order = ["-cost_nano", "-hour", "-id"] if query else [*model._meta.ordering, "-pk"]
    assert shown == list(model.objects.order_by(*order).values_list("pk", flat=True))
    assert len(found) == -(-len(shown) // 50) >= 3
    back = list(walk(desk, page, rel="prev", start=found[-1][0]))
    assert [rows for _, rows, _ in back] == [rows for _, rows, _ in reversed(found)]
    of_the_list = [sql for _, _, queries in [*found, *back] for sql in queries if f'FROM "{GROWING[listing]}"' in sql]
    assert of_the_list
    assert [sql for sql in of_the_list if "OFFSET" in sql or COUNT.search(sql)] == []


@pytest.mark.parametrize("listing", GROWING)
def test_the_next_page_is_found_along_an_index(desk, listing):
    page, _, query = listing.partition("?")
    world.many_of_everything(MANY // 2)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if connection.vendor == "postgresql":  # whose planner reads so small a table whole
            cursor.execute("SET enable_seqscan = off")
            cursor.execute("SET enable_bitmapscan = off")
    _, (_, _, queries), *_ = walk(desk, page, start=f"?{query}")
    (sql,) = [sql for sql in queries if f'FROM "{GROWING[listing]}"' in sql]
    with connection.cursor() as cursor:
        cursor.execute(f"{'EXPLAIN QUERY PLAN' if connection.vendor == 'sqlite' else 'EXPLAIN'} {sql}")
        plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
    table = GROWING[listing]
    assert f"SCAN {table}" not in plan
    assert not re.search(rf"Seq Scan on {table}", plan)
    assert "TEMP B-TREE" not in plan.replace("LAST TERM OF ORDER BY", "")


@pytest.mark.once
def test_a_page_that_no_link_leads_to_is_the_first(desk):
    world.many_of_everything(FEW)
    for given in ("o", "x", "oAAAA", "o!!", "oWzFd", "oWyJ4Il0", "nbnVsbA", "oW10"):
        answer = desk.client.get(desk.url("usage_entry_changelist"), {"p": given}, follow=True)
        assert answer.status_code == 200, given
        assert len(answer.context["cl"].result_list) == FEW, given


def test_a_filter_offers_choices_without_reading_them_all(desk):
    """Two hundred tenants: none of their names is in the list of keys, which has a filter by tenant."""
    Tenant.objects.bulk_create(Tenant(name=f"Choice {n}", slug=f"choice-{n}") for n in range(200))
    for page in ("keys_key", "usage_entry", "usage_hourlyrollup", "quotas_budget", "tenants_project"):
        text = desk.text(f"{page}_changelist")
        assert "tenant__id__exact" in text, page
        assert "Choice 1" not in text, page
