"""The admin asks the database as often for 300 rows as for 3, and never counts keys or ledger entries to the end."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
LONG_TABLES = ("keys_key", "usage_entry", "usage_hourlyrollup", "audit_record")
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


def test_a_filter_offers_choices_without_reading_them_all(desk):
    """Two hundred tenants: none of their names is in the list of keys, which has a filter by tenant."""
    Tenant.objects.bulk_create(Tenant(name=f"Choice {n}", slug=f"choice-{n}") for n in range(200))
    for page in ("keys_key", "usage_entry", "usage_hourlyrollup", "quotas_budget", "tenants_project"):
        text = desk.text(f"{page}_changelist")
        assert "tenant__id__exact" in text, page
        assert "Choice 1" not in text, page
