"""Every page of the admin opens, for those who may, and money is dollars there: a world with one of everything."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
NAMES = [model._meta.label for model in MODELS]
NANO = re.compile(r"(?<![\d.-])(100000000000|42000000000|3000000000|15000000000|105000)(?!\d)")


def page(model, kind: str) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}_{kind}"


@pytest.mark.once
def test_the_world_has_a_row_of_every_registered_model(rows):
    assert {model._meta.label for model in MODELS} - {model._meta.label for model in rows} == set()


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_the_list_the_row_its_history_and_the_empty_form_open(model, desk, rows):
    row = rows[model]
    listed = desk.get(page(model, "changelist"))
    opened = [listed, desk.get(page(model, "change"), row.pk), desk.get(page(model, "history"), row.pk)]
    assert [response.status_code for response in opened] == [200, 200, 200]
    assert [NANO.findall(response.content.decode()) for response in opened] == [[], [], []], "money is in dollars"
    labels = re.findall(r'data-label="([^"]+ [^"]+)"', listed.content.decode())
    assert [label for label in labels if label[0].islower()] == [], "as phones show them"
    can_add = admin.site._registry[model].has_add_permission(listed.wsgi_request)
    assert desk.get(page(model, "add")).status_code == (200 if can_add else 403)


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
    """All at once: each adds to the query, which is asked."""
    values = {}
    for spec in admin.site._registry[model].list_filter:
        name = spec[0] if isinstance(spec, tuple) else spec.parameter_name
        field = model._meta.get_field(name) if isinstance(spec, tuple) else None
        related = field is not None and field.is_relation
        values |= {f"{name}__id__exact": 1} if related else {f"{name}__exact": 1} if field is not None else {name: "x"}
    if values:
        response = desk.get(page(model, "changelist"), **values)
        assert response.status_code == 200
        assert not response.context["cl"].queryset.query.is_empty()


@pytest.mark.once
def test_nobody_sees_anything_without_signing_in(rows):
    stranger = Client()
    for model, row in rows.items():
        for kind, arguments in (("changelist", []), ("add", []), ("change", [row.pk]), ("delete", [row.pk])):
            response = stranger.get(reverse(f"admin:{page(model, kind)}", args=arguments))
            assert response.status_code == 302, (model, kind)
            assert response["location"].startswith("/admin/login/")


@pytest.mark.once
def test_every_link_of_the_menu_and_of_the_first_page_leads_somewhere(desk, rows):
    text = desk.text("index")
    assert "$42.00 of $100.00" in text
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
