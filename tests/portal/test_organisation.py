"""Projects, settings and the audit log: who may, what is refused at which field, and that looking leaves its mark."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.audit.models import Record
from apps.keys import services as keys
from apps.keys.models import Key
from apps.quotas import services as quotas
from apps.tenants import services as tenants
from apps.tenants.models import Project, Tenant
from tests import factories
from tests.portal.visitor import errors

PAYLOAD = "<script>alert(1)</script>"
MOST_QUERIES = 25
SETTINGS = {"name": "Acme", "timezone": "Europe/Berlin", "on_outage": "closed"}


def shown(response):
    assert response.status_code == 200
    return [row["change"].record.action for row in response.context["rows"]]


# --- projects ------------------------------------------------------------------------------------------------------


def test_projects_are_made_renamed_and_switched(visit, acme, ann):
    at = visit(ann)
    at.send("projects-new", {"name": "Search engine"})
    row = Project.objects.get()
    assert (row.tenant, row.slug, row.is_active) == (acme, "search-engine", True)
    at.send("projects-one", {"name": "Search"}, project=row.pk)
    at.post("projects-switch", {"to": "off"}, project=row.pk)
    row.refresh_from_db()
    assert (row.name, row.slug, row.is_active) == ("Search", "search-engine", False)
    at.post("projects-switch", {"to": "elsewhere"}, project=row.pk)
    row.refresh_from_db()
    assert not row.is_active
    at.post("projects-switch", {"to": "on"}, project=row.pk)
    row.refresh_from_db()
    assert row.is_active
    assert set(Record.objects.filter(target_type="tenants.project").values_list("actor_id", flat=True)) == {ann.pk}


def test_names_that_make_the_same_slug_get_along(visit, alice):
    for name in ("Über uns!", "uber uns", "日本語", "한국어"):
        visit(alice).send("projects-new", {"name": name})
    assert sorted(Project.objects.values_list("slug", flat=True)) == ["project", "project-2", "uber-uns", "uber-uns-2"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "WEBSITE", "a\x00b"])
def test_a_name_that_cannot_be_is_said_at_its_field(visit, website, alice, name):
    other = factories.project(website.tenant, "Other")
    at = visit(alice)
    assert "name" in errors(at.post("projects-new", {"name": name}))
    assert "name" in errors(at.post("projects-one", {"name": name}, project=other.pk))
    assert sorted(Project.objects.values_list("name", flat=True)) == ["Other", "Website"]


def test_switching_off_says_what_stops(visit, website, alice):
    factories.key(website)
    keys.revoke(factories.key(website).key, actor=None)
    assert "Its 1 key that works now will be refused" in visit(alice).text("projects-one", project=website.pk)


def test_members_see_projects_and_others_change_none(visit, website, bob, vera, charlie, globex):
    factories.key(website, user=bob)
    factories.key(website)
    assert visit(bob).get("projects").context["rows"][0]["keys"] == 1, "their own"
    assert visit(vera).get("projects").context["rows"][0]["keys"] == 2
    for somebody in (bob, vera):
        for page, where in (("projects-new", {}), ("projects-one", {"project": website.pk})):
            assert visit(somebody).post(page, {"name": "Mine"}, **where).status_code == 403
        assert visit(somebody).post("projects-switch", {"to": "off"}, project=website.pk).status_code == 403
    for page in ("projects-one", "projects-switch"):
        assert visit(charlie, globex).post(page, {"name": "Mine", "to": "off"}, project=website.pk).status_code == 404
    website.refresh_from_db()
    assert (website.name, website.is_active) == ("Website", True)


# --- settings ------------------------------------------------------------------------------------------------------


def test_owners_change_settings(visit, acme, alice):
    visit(alice).send("settings", SETTINGS | {"name": "Acme & Sons"})
    acme.refresh_from_db()
    assert (acme.name, acme.timezone, acme.on_outage, acme.slug) == ("Acme & Sons", "Europe/Berlin", "closed", "acme")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("name", word) for word in ("", "x" * 101, "Globex")),
        *(("timezone", word) for word in ("", "Mars/Olympus", "x" * 65)),
        *(("on_outage", word) for word in ("", "panic")),
    ],
)
def test_a_setting_that_cannot_be_is_said_at_its_field(visit, acme, globex, alice, name, value):
    assert list(errors(visit(alice).post("settings", SETTINGS | {name: value}))) == [name]
    stored = Tenant.objects.get(pk=acme.pk)
    assert (stored.name, stored.timezone, stored.on_outage) == ("Acme", "UTC", "lease")


def test_nobody_else_changes_settings_nor_more_than_these(visit, acme, alice, ann, bob, vera, charlie):
    for somebody in (ann, bob, vera):
        assert visit(somebody).post("settings", SETTINGS).status_code == 403
    assert visit(charlie).post("settings", SETTINGS).status_code == 404
    visit(alice).post("settings", SETTINGS | {"slug": "mine", "is_active": ""})
    acme.refresh_from_db()
    assert (acme.slug, acme.is_active) == ("acme", True)


# --- the audit log -------------------------------------------------------------------------------------------------


def test_the_log_is_the_tenants_alone(visit, acme, globex, website, alice, charlie):
    factories.provider("Somebody's")
    factories.project(globex, "Secret plans")
    response = visit(alice).get("audit")
    labels = {row["change"].record.target_label for row in response.context["rows"]}
    assert "Website" in labels
    assert not labels & {"Secret plans", "Somebody's", "Globex"}
    assert "Website" not in visit(charlie, globex).text("audit")


def test_who_may_not_see_the_log_does_not(visit, bob, vera, charlie):
    for somebody in (bob, vera):
        assert visit(somebody).get("audit").status_code == 403
    assert visit(charlie).get("audit").status_code == 404


def test_the_log_tells_what_changed_without_secrets(visit, website, alice):
    issued = factories.key(website, name="Laptop")
    keys.update(issued.key, actor=alice, name="Desktop")
    quotas.create_budget(actor=alice, project=website, amount=20_000_000_000, period="month")
    text = visit(alice).text("audit")
    for word in ("<del>Laptop</del>", "<ins>Desktop</ins>", "$20.00"):
        assert word in text, word
    assert issued.plaintext not in text


def test_each_filter_of_the_log_finds_what_it_says(visit, acme, website, alice, ann):
    keys.update(factories.key(website, name="Laptop").key, actor=ann, name="Desktop")
    at = visit(alice)
    assert shown(at.get("audit", {"who": "ANN"})) == ["key.updated"]
    assert shown(at.get("audit", {"what": "desk"})) == ["key.updated"]
    assert shown(at.get("audit", {"area": "tenants"})) == ["project.created"]
    assert shown(at.get("audit", {"area": "keys", "what": "Lap", "span": "7"})) == ["key.issued"]
    assert shown(at.get("audit", {"what": "%"})) == []


@pytest.mark.parametrize(("name", "value"), [("span", "x"), ("area", "none"), ("who", "w" * 201), ("what", "a\x00")])
def test_what_is_no_filter_of_the_log_is_said_at_its_field(visit, website, alice, name, value):
    response = visit(alice).get("audit", {name: value})
    assert list(response.context["form"].errors) == [name]
    assert shown(response) == []


def test_reading_the_log_is_in_it_once_a_day_and_session(visit, acme, alice):
    at = visit(alice)
    for _ in range(3):
        at.get("audit")
    record = Record.objects.get(action="audit.read")
    assert (record.actor_id, record.tenant_id, record.area) == (alice.pk, acme.pk, "reads")
    visit(alice).get("audit")
    assert Record.objects.filter(action="audit.read").count() == 2


def test_an_operators_visit_is_seen_by_the_tenant_but_not_from_where(visit, acme, globex, alice, operator):
    at = visit(operator)
    for page in ("overview", "members", "usage"):
        assert at.get(page).status_code == 200
    record = Record.objects.get(action="tenant.visited")
    assert (record.actor_id, record.tenant_id, record.address) == (operator.pk, acme.pk, "127.0.0.1")
    visit(operator, globex).get("overview")
    text = visit(alice).text("audit", {"who": "operator"})
    assert text.count("Tenant visited") == 1
    assert "127.0.0.1" not in text


def test_an_operator_who_is_a_member_pays_no_visit(visit, acme, operator):
    tenants.add_member(acme, actor=None, user=operator, role="owner")
    visit(operator).get("overview")
    assert not Record.objects.filter(action="tenant.visited").exists()


def test_pages_ask_a_few_questions_however_much_there_is(visit, acme, website, alice):
    def queries(page):
        at.get(page)
        with CaptureQueriesContext(connection) as found:
            assert at.get(page).status_code == 200
        return len(found)

    at = visit(alice)
    pages = ("members", "projects", "audit", "settings")
    few = {page: queries(page) for page in pages}
    for number in range(12):
        project = factories.project(acme, f"Project {number}")
        factories.key(project, user=factories.member(acme))
    assert Key.objects.count() == 12
    many = {page: queries(page) for page in pages}
    assert many == few | {"audit": many["audit"]}
    assert max(many.values()) <= MOST_QUERIES


def test_names_here_are_text(visit, acme, alice):
    project = factories.project(acme, f"x {PAYLOAD}")
    tenants.update_tenant(acme, actor=alice, name=PAYLOAD)
    at = visit(alice)
    for text in (
        at.text("projects"),
        at.text("projects-one", project=project.pk),
        at.text("settings"),
        at.text("audit"),
    ):
        assert PAYLOAD not in text
        assert "&lt;script&gt;" in text
