"""Tenants, projects and members in the admin."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.audit.models import Record
from apps.domain.refusals import REASONS
from apps.domain.snapshot import Principal
from apps.gateway.tally import Tally
from apps.quotas import services as quotas
from apps.tenants.models import Membership, Outage, Project, Tenant
from apps.usage import ledger
from tests import factories
from tests.control.desk import Desk, errors
from tests.control.test_refusals import noted, written
from tests.money.calls import intent, outcome

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def actions(*, by) -> list[str]:
    return list(Record.objects.filter(actor_id=by.pk).order_by("pk").values_list("action", flat=True))


def roles(tenant: Tenant) -> dict[str, str]:
    return dict(tenant.memberships.values_list("user__username", "role"))


def member(number: int, **values) -> dict[str, object]:
    return {f"memberships-{number}-{name}": value for name, value in values.items()}


def test_a_tenant_is_added_with_its_projects_and_members(desk):
    user = factories.user("ann")
    response = desk.send(
        "tenants_tenant_add",
        **{"name": "Initech", "slug": "initech", "timezone": "Europe/Berlin"},
        **{"projects-TOTAL_FORMS": 1, "projects-0-name": "Website", "projects-0-slug": "website"},
        **{"projects-0-is_active": "on", "memberships-TOTAL_FORMS": 1, **member(0, user=user.pk, role="owner")},
    )
    assert response.status_code == 302, errors(response)
    tenant = Tenant.objects.get()
    assert (tenant.timezone, tenant.projects.get().name, roles(tenant)) == (
        "Europe/Berlin",
        "Website",
        {"ann": "owner"},
    )
    assert actions(by=desk.user) == ["tenant.created", "project.created", "member.added"]
    assert Record.objects.get(action="member.added").area == "accounts"


def test_the_outage_policy_is_chosen_among_sentences(desk, acme):
    page = desk.text("tenants_tenant_change", acme.pk)
    assert all(sentence in page for sentence in Outage.labels)
    assert desk.send("tenants_tenant_change", acme.pk, on_outage="open").status_code == 302
    acme.refresh_from_db()
    assert acme.on_outage == "open"
    assert actions(by=desk.user) == ["tenant.updated"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "Acme"}, "name"),
        ({"slug": "no spaces"}, "slug"),
        ({"slug": "acme"}, "slug"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": ""}, "timezone"),
    ],
)
def test_what_a_tenant_cannot_be_is_told_at_its_field(wrong, field, desk, acme):
    response = desk.send("tenants_tenant_add", **({"name": "New", "slug": "new"} | wrong))
    assert list(errors(response)) == [field]
    assert list(Tenant.objects.all()) == [acme]


def test_the_last_owner_cannot_leave(desk, acme, alice, bob):
    response = desk.send("tenants_tenant_change", acme.pk, name="Renamed", **member(0, DELETE="on"))
    assert errors(response) == {"": ["alice · Renamed (Owner): The last owner of a tenant stays."]}
    acme.refresh_from_db()
    assert acme.name == "Acme"
    assert roles(acme) == {"alice": "owner", "bob": "developer"}
    assert actions(by=desk.user) == []


def test_the_last_owner_cannot_become_less(desk, acme, alice):
    response = desk.send("tenants_tenant_change", acme.pk, **member(0, role="viewer"))
    assert list(errors(response)) == [""]
    assert roles(acme) == {"alice": "owner"}


def test_one_owner_may_follow_another_on_one_page(desk, acme, alice, bob):
    changes = member(0, role="viewer") | member(1, role="owner")
    assert desk.send("tenants_tenant_change", acme.pk, **changes).status_code == 302
    assert roles(acme) == {"alice": "viewer", "bob": "owner"}
    assert actions(by=desk.user) == ["member.role_changed", "member.role_changed"]


def test_a_member_leaves_and_that_is_recorded(desk, acme, alice, bob):
    assert desk.send("tenants_tenant_change", acme.pk, **member(1, DELETE="on")).status_code == 302
    assert roles(acme) == {"alice": "owner"}
    assert actions(by=desk.user) == ["member.removed"]


def test_a_membership_stays_its_persons(desk, acme, alice, charlie):
    desk.send("tenants_tenant_change", acme.pk, **member(0, user=charlie.pk))
    assert roles(acme) == {"alice": "owner"}


def test_nobody_is_a_member_twice(desk, acme, alice):
    twice = {"memberships-TOTAL_FORMS": 2, **member(1, user=alice.pk, role="viewer", tenant=acme.pk)}
    assert errors(desk.send("tenants_tenant_change", acme.pk, **twice))
    assert Membership.objects.count() == 1


def test_tenants_and_projects_are_switched_from_their_lists(desk, website):
    for page, row in (("tenants_tenant", website.tenant), ("tenants_project", website)):
        for action, state in (("deactivate", False), ("activate", True)):
            desk.act(f"{page}_changelist", action, row)
            row.refresh_from_db()
            assert row.is_active is state
    noun = {"tenants_tenant": "tenant", "tenants_project": "project"}
    assert actions(by=desk.user) == [f"{n}.{a}" for n in noun.values() for a in ("deactivated", "activated")]


def test_tenants_and_projects_are_kept_and_the_reason_told(desk, website):
    for page, row in (("tenants_tenant", website.tenant), ("tenants_project", website)):
        response = desk.client.post(desk.url(f"{page}_delete", row.pk), {"post": "yes"}, follow=True)
        assert "deactivate it instead" in response.content.decode()
    assert Project.objects.exists()


def test_a_project_stays_with_its_tenant(desk, website, globex):
    assert desk.send("tenants_project_change", website.pk, tenant=globex.pk, name="Shop").status_code == 302
    website.refresh_from_db()
    assert (website.tenant.name, website.name) == ("Acme", "Shop")


def test_a_project_is_chosen_by_tenant_and_name(desk, website, globex):
    factories.project(globex, "Website")
    query = {"app_label": "keys", "model_name": "key", "field_name": "project", "term": "web"}
    found = desk.get("autocomplete", **query).json()["results"]
    assert sorted(choice["text"] for choice in found) == ["Acme / Website", "Globex / Website"]


def test_the_tenants_page_says_what_it_has_and_spends(desk, website, alice):
    acme = website.tenant
    empty = desk.get("tenants_tenant_change", acme.pk).context["panels"]
    assert [(panel.title, panel.figure) for panel in empty] == [
        *(("Keys", "none"), ("Budget", "none"), ("Limits", "none"), ("Data policies", "none")),
        ("Spend, 30 days", "$0.00"),
    ]
    factories.key(website)
    budget = quotas.create_budget(actor=None, tenant=acme, amount=100_000_000_000, period="month")
    quotas.create_limit(actor=None, tenant=acme, requests_per_minute=600, concurrency=9)
    ledger.post([outcome(intent(tenant_id=acme.pk, project_id=website.pk), cost=1_250_000_000)])
    ledger.post([outcome(intent(tenant_id=acme.pk + 1, project_id=website.pk + 1), cost=7_000_000_000)])
    panels = desk.get("tenants_tenant_change", acme.pk).context["panels"]
    assert [(panel.title, panel.figure, panel.note) for panel in panels] == [
        ("Keys", "1", "not revoked"),
        ("Monthly budget", "0 %", "$0.00 of $100.00"),
        ("Limits", "600 rpm", "9 at once"),
        ("Data policies", "none", "Its calls go wherever its models are"),
        ("Spend, 30 days", "$1.25", "1 call"),
    ]
    quotas.disable(budget, actor=None)
    assert desk.get("tenants_tenant_change", acme.pk).context["panels"][1].figure == "none"


def test_a_panel_is_for_those_who_may_see_what_it_tells(website):
    viewer = Desk(factories.staff("tenants.view_tenant", "keys.view_key"))
    assert [panel.title for panel in viewer.get("tenants_tenant_change", website.tenant_id).context["panels"]] == [
        "Keys"
    ]


def test_what_was_refused_of_a_tenant_is_on_its_page_for_those_who_may_see_it(website, globex):
    acme, now = website.tenant, timezone.now()
    tally = Tally()
    key = factories.key(website).key
    whose = Principal(key_id=key.pk, public_id="abc", tenant_id=acme.pk, project_id=website.pk, user_id=None)
    for at, reason in ((now, "requests"), (now, "requests"), (now, "budget"), (now - timedelta(days=3), "scope")):
        noted(tally, whose=whose, at=at, reason=reason)
    written(tally)

    def told(*may, tenant=acme):
        page = Desk(factories.staff("tenants.view_tenant", *may)).get("tenants_tenant_change", tenant.pk)
        return [listing for listing in page.context["listings"] if listing.title.startswith("Refused")]

    (listing,) = told("usage.view_refusal")
    cells = [re.findall(r"<td>(?:<[^>]+>)?([^<]*)", row)[:3] for row in listing.table.split("<tr>")[2:]]
    assert cells == [[REASONS["requests"].label, "2", "1"], [REASONS["budget"].label, "1", "1"]]
    assert listing.link.endswith(f"?since=24h&tenant__id__exact={acme.pk}")
    assert told() == []
    assert told("usage.view_refusal", tenant=globex)[0].table == ""


@pytest.mark.parametrize(("name", "slug"), [("Fruit & Juice", "fruit-juice"), ("x" * 99, "x" * 60)])
def test_a_slug_is_made_of_the_name_where_none_is_typed(name, slug, desk):
    assert desk.send("tenants_tenant_add", name=name).status_code == 302
    assert Tenant.objects.get().slug == slug


def test_a_name_that_makes_no_slug_needs_one_typed(desk):
    assert list(errors(desk.send("tenants_tenant_add", name="水門"))) == ["slug"]
    assert list(errors(desk.send("tenants_tenant_add", name=""))) == ["name"]
    assert desk.send("tenants_tenant_add", name="水門", slug="suimon").status_code == 302


def test_a_slug_is_one_projects_within_its_tenant_only(desk, website, globex):
    taken = desk.send("tenants_project_add", name="Other", slug=website.slug, tenant=website.tenant_id)
    assert errors(taken)
    assert desk.send("tenants_project_add", name="Other", slug=website.slug, tenant=globex.pk).status_code == 302
    assert Project.objects.count() == 2
