"""The admin's pages over a world with one of everything. It is there for every test here, so none of them counts."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.quotas.models import Budget
from apps.tenants.models import Project, Tenant
from apps.usage.models import Entry, HourlyRollup
from tests import factories
from tests.control.desk import Desk
from tests.control.test_admin_home import cards
from tests.control.test_admin_undo import uses
from tests.control.test_admin_views import taken

pytestmark = pytest.mark.django_db


def test_the_first_page_asks_little(desk, rows):
    with CaptureQueriesContext(connection) as queries:
        found = cards(desk)
    assert len(queries) <= 25, [query["sql"][:90] for query in queries]
    assert {"Spend this month", "95 % took less than", "Gaps", "Books", "Unconfirmed"} <= found.keys()


def test_every_file_has_a_row_for_each_of_its_list(desk, rows):
    for model, page in ((Entry, "usage_entry"), (HourlyRollup, "usage_hourlyrollup"), (Budget, "quotas_budget")):
        query = {} if model is Budget else {"since": "all"}
        found = taken(desk, page, **query)
        listed = desk.get(f"{page}_changelist", **query).context["cl"].result_list
        assert len(found) == len(listed) > 0, model
    assert 42 <= float(taken(desk, "quotas_budget")[0]["settled"]) < 42.1
    assert "0.000105" in {row["cost"] for row in taken(desk, "usage_entry", since="all")}
    assert taken(desk, "audit_record")[0]["action"]


@pytest.mark.once
def test_a_file_is_for_those_who_may_see_the_list(rows):
    stranger = Desk(factories.staff())
    for page in ("keys_key", "usage_entry", "usage_hourlyrollup", "quotas_budget", "audit_record"):
        assert stranger.client.get(stranger.url(f"{page}_changelist") + "download.csv").status_code == 403


@pytest.mark.once
def test_a_filter_by_what_one_may_not_see_still_filters_and_names_nothing(rows):
    clerk = Desk(factories.staff("keys.view_key"))
    tenant = rows[Tenant]
    other = factories.key().key
    answer = clerk.get("keys_key_changelist", tenant__id__exact=tenant.pk)
    assert other.pk not in {row.pk for row in answer.context["cl"].result_list}
    assert {row.tenant_id for row in answer.context["cl"].result_list} == {tenant.pk}
    sidebar = answer.content.decode().partition('id="changelist-filter"')[2]
    assert tenant.name not in sidebar


@pytest.mark.once
def test_every_delete_page_of_a_row_opens(desk, rows):
    for row in rows.values():
        answer = desk.get(f"{row._meta.app_label}_{row._meta.model_name}_delete", row.pk)
        assert answer.status_code in (200, 403), row
    assert uses(desk, rows[Tenant])["projects" if Project.objects.count() > 1 else "project"][0]
    clerk = Desk(factories.staff("tenants.view_tenant", "tenants.delete_tenant"))
    assert not any(link for _, _, link in uses(clerk, rows[Tenant]).values())
