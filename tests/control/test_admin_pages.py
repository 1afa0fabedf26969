"""Every page of the admin opens, for those who may; what people typed is text there, and money is dollars."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from tests import factories
from tests.control import world
from tests.control.desk import Desk

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
NAMES = [model._meta.label for model in MODELS]
SCRIPT = '<script>alert("x")</script>'
IMAGE = "<img/src=x>"  # as short as a model's name has to be


def page(model, kind: str) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}_{kind}"


@pytest.fixture
def rows(db):
    return world.one_of_everything()


@pytest.mark.once
def test_the_world_has_a_row_of_every_registered_model(rows):
    assert {model._meta.label for model in MODELS} - {model._meta.label for model in rows} == set()


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_the_list_the_row_its_history_and_the_empty_form_open(model, desk, rows):
    row = rows[model]
    assert desk.get(page(model, "changelist")).status_code == 200
    assert desk.get(page(model, "change"), row.pk).status_code == 200
    assert desk.get(page(model, "history"), row.pk).status_code == 200
    can_add = admin.site._registry[model].has_add_permission(desk.get("index").wsgi_request)
    assert desk.get(page(model, "add")).status_code == (200 if can_add else 403)


@pytest.mark.once
@pytest.mark.parametrize("name", ["llama3.2:latest", "gpt-5"])
def test_a_name_stands_at_the_head_of_its_page_as_callers_must_write_it(name, desk):
    model = factories.model(name)
    heads = desk.text("catalog_model_change", model.pk).partition("</h1>")[0].partition('id="header-inner"')[2]
    assert re.findall(r">([^<>\s]+)</a>", heads) == ["Routing", "Models", name]


@pytest.mark.once
@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_labels_of_several_words_begin_as_phones_show_them(model, rows, desk):
    labels = re.findall(r'data-label="([^"]+ [^"]+)"', desk.text(page(model, "changelist")))
    assert [label for label in labels if label[0].islower()] == []


@pytest.mark.once
@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_a_list_without_rows_says_what_the_next_step_is(model, desk):
    registered = admin.site._registry[model]
    if registered.search_fields:
        text = desk.text(page(model, "changelist"), q="nothing-is-called-this")
        assert "Nothing fits this search" in text
        assert "Show all" in text
    if not model._base_manager.exists():
        text = desk.text(page(model, "changelist"))
        assert f"{registered.nothing or f'No {model._meta.verbose_name_plural} yet'}<" in text
        assert escape(registered.nothing_yet) in text
        if registered.has_add_permission(desk.get("index").wsgi_request):
            assert f'href="{desk.url(page(model, "add"))}"' in text


@pytest.mark.once
@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_a_row_that_is_not_there_is_no_error_of_ours(model, desk):
    missing = "00000000-0000-7000-8000-000000000000" if model._meta.label == "usage.Entry" else 987_654
    for kind in ("change", "history", "delete"):
        assert desk.get(page(model, kind), missing).status_code in (302, 403), kind


@pytest.mark.once
@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_every_choice_of_a_row_can_be_searched(model, desk, rows):
    registered = admin.site._registry[model]
    inlines = [inline(model, admin.site) for inline in registered.inlines]
    for owner in (registered, *inlines):
        for name in owner.get_autocomplete_fields(None):
            query = {"app_label": owner.opts.app_label, "model_name": owner.opts.model_name, "field_name": name}
            found = desk.get("autocomplete", **query, term="")
            assert found.status_code == 200, name
            assert found.json()["results"], name


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_every_filter_of_a_list_can_be_used(model, desk, rows):
    for spec in admin.site._registry[model].list_filter:
        name = spec[0] if isinstance(spec, tuple) else spec.parameter_name
        field = model._meta.get_field(name) if isinstance(spec, tuple) else None
        related = field is not None and field.is_relation
        values = {f"{name}__id__exact": 1} if related else {f"{name}__exact": 1} if field is not None else {name: "x"}
        assert desk.get(page(model, "changelist"), **values).status_code == 200, name


@pytest.mark.once
def test_nobody_sees_anything_without_signing_in(rows):
    for model, row in rows.items():
        for kind, arguments in (("changelist", []), ("add", []), ("change", [row.pk]), ("delete", [row.pk])):
            response = Client().get(reverse(f"admin:{page(model, kind)}", args=arguments))
            assert response.status_code == 302, (model, kind)
            assert response["location"].startswith("/admin/login/")


@pytest.mark.once
def test_signing_in_leads_to_the_first_page(operator):
    operator.set_password("a good password")
    operator.save()
    response = Client().post(
        "/admin/login/", {"username": operator.username, "password": "a good password"}, follow=True
    )
    assert response.redirect_chain == [("/admin/", 302)]
    assert "Spend today" in response.content.decode()


@pytest.mark.once
def test_every_link_of_the_menu_and_of_the_first_page_leads_somewhere(desk, rows):
    text = desk.text("index")
    links = {link.replace("&amp;", "&") for link in re.findall(r'href="(/admin/[^"#]*)"', text)}
    assert len(links) > 20
    for link in links - {"/admin/logout/"}:
        assert desk.client.get(link).status_code == 200, link


def test_links_of_panels_lead_to_lists_that_are_filtered(desk, rows):
    for model in ("tenants.Tenant", "tenants.Project", "keys.Key", "accounts.User", "catalog.Model"):
        row = next(row for found, row in rows.items() if found._meta.label == model)
        panels = desk.get(page(type(row), "change"), row.pk).context["panels"]
        assert panels, model
        for panel in panels:
            assert desk.client.get(panel.link).status_code == 200, panel


@pytest.mark.once
@pytest.mark.parametrize("payload", [SCRIPT, IMAGE])
def test_what_people_typed_is_shown_as_text(desk, payload):
    rows = world.one_of_everything(payload, actor=desk.user)
    desk.client.get(reverse("admin:index"))
    pages = [desk.text("index")]
    for model, row in rows.items():
        for kind, arguments in (("changelist", []), ("change", [row.pk]), ("history", [row.pk])):
            pages.append(desk.text(page(model, kind), *arguments))
    shown = [text for text in pages if payload.replace("<", "&lt;").replace(">", "&gt;").split('"')[0] in text]
    assert len(shown) > 20
    assert not [text for text in pages if payload in text]


@pytest.mark.once
def test_money_is_shown_in_dollars_on_every_page(desk, rows):
    nano = re.compile(r"(?<![\d-])(100000000000|42000000000|3000000000|15000000000|105000)(?!\d)")
    for model, row in rows.items():
        for kind, arguments in (("changelist", []), ("change", [row.pk]), ("history", [row.pk])):
            text = desk.text(page(model, kind), *arguments)
            assert not nano.search(text), (model, kind, nano.search(text))
    assert "$42.00 of $100.00" in desk.text("index")


@pytest.mark.once
def test_what_is_not_for_operators_is_not_offered(desk):
    labels = set(NAMES)
    assert not {label for label in labels if label.startswith(("axes.", "auth.", "sessions."))}
    assert not labels & {"django_celery_beat.SolarSchedule", "django_celery_beat.ClockedSchedule"}


@pytest.mark.once
def test_a_form_without_its_token_is_refused(operator):
    desk = Desk(operator, enforce_csrf_checks=True)
    tenant = factories.tenant()
    key = factories.key(factories.project(tenant)).key
    provider = factories.provider()
    for url in (
        desk.url("tenants_tenant_change", tenant.pk),
        desk.url("keys_key_add"),
        desk.url("keys_key_rotate", key.pk),
        desk.url("keys_key_revoke", key.pk),
        desk.url("catalog_provider_test_connection", provider.pk),
        desk.url("keys_key_changelist"),
        desk.url("password_change"),
    ):
        assert desk.client.post(url, {"typed": key.name}).status_code == 403, url
    key.refresh_from_db()
    assert key.revoked_at is None
