"""What the page of a tenant shows of all that hangs on it, and that each list it leads to shows exactly that."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.keys.models import Key
from apps.quotas import services as quotas
from apps.tenants.models import Tenant
from tests import factories
from tests.control.desk import Desk

pytestmark = pytest.mark.django_db


def shown(desk: Desk, row) -> dict[str, object]:
    page = f"{row._meta.app_label}_{row._meta.model_name}_change"
    return {listing.title: listing for listing in desk.get(page, row.pk).context["listings"]}


def test_a_tenants_page_shows_keys_budgets_policies_and_calls_and_leads_to_all_of_them(desk, rows):
    tenant = rows[Tenant]
    with CaptureQueriesContext(connection) as queries:
        found = shown(desk, tenant)
    assert len(queries) <= 25, [query["sql"][:90] for query in queries]
    assert list(found) == ["Newest keys", "Budgets", "Data policies", "Last calls", "Refused calls, 24 hours"]
    for listing in found.values():
        assert listing.table or listing.title.startswith("Refused"), listing.title
        assert desk.client.get(listing.link).status_code == 200
    assert "Plain key" in found["Newest keys"].table
    assert "$42.00" in found["Budgets"].table
    assert "42 %" in found["Budgets"].table
    assert "Plain policy" in found["Data policies"].table


@pytest.mark.once
def test_a_tenants_budgets_are_its_own_and_its_projects_and_the_list_shows_the_same(desk, acme, globex, website):
    mine = [
        quotas.create_budget(actor=None, tenant=acme, amount=10**9),
        quotas.create_budget(actor=None, project=website, amount=10**9),
    ]
    quotas.create_budget(actor=None, tenant=globex, amount=10**9)
    listing = shown(desk, acme)["Budgets"]
    listed = desk.client.get(listing.link).context["cl"].result_list
    assert {row.pk for row in listed} == {row.pk for row in mine}
    assert all(desk.url("quotas_budget_change", row.pk) in listing.table for row in mine)
    for odd in ("x", "0", "9" * 30, "-1"):
        answer = desk.get("quotas_budget_changelist", within=odd)
        assert list(answer.context["cl"].result_list) == [], odd


@pytest.mark.once
def test_nobody_sees_what_they_may_not_in_a_listing_or_a_filter(rows):
    tenant = rows[Tenant]
    assert shown(Desk(factories.staff("tenants.view_tenant")), tenant) == {}
    clerk = Desk(factories.staff("quotas.view_budget"))
    assert tenant.name not in clerk.text("quotas_budget_changelist", within=tenant.pk).partition("changelist-filter")[2]


@pytest.mark.once
def test_a_row_is_linked_for_those_who_may_see_it_only(rows, desk):
    key = rows[Key]
    page = desk.url("tenants_tenant_change", key.tenant_id)
    assert f'<a href="{page}"' in desk.text("keys_key_change", key.pk)
    clerk = Desk(factories.staff("keys.view_key"))
    text = clerk.text("keys_key_change", key.pk)
    assert page not in text
    assert key.tenant.name in text


@pytest.mark.once
def test_a_list_that_is_sorted_by_hand_sorts_the_table_alone_and_shows_the_same(desk, acme, globex):
    for tenant, allowed in ((acme, 7), (globex, 3), (acme, None), (globex, 5)):
        quotas.create_limit(actor=None, tenant=tenant, requests_per_minute=allowed, concurrency=1)
    for order in ("4", "-4"):
        with CaptureQueriesContext(connection) as queries:
            listed = desk.get("quotas_limit_changelist", o=order).context["cl"].result_list
        rates = [row.requests_per_minute for row in listed if row.requests_per_minute]
        assert rates == sorted(rates, reverse=order.startswith("-"))
        assert {3, 5, 7} <= set(rates)
        assert {"Acme", "Globex"} <= {str(row.tenant) for row in listed}
        sorting = [query["sql"] for query in queries if "requests_per_minute" in query["sql"].partition("ORDER BY")[2]]
        assert sorting
        assert not any("JOIN" in asked for asked in sorting)
