"""Pages of the admin in a world of their own: empty lists, signing in, forms without a token."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.test import Client
from django.utils.html import escape

from tests import factories
from tests.control.desk import Desk

pytestmark = [pytest.mark.django_db, pytest.mark.once]

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
NAMES = [model._meta.label for model in MODELS]


def page(model, kind: str) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}_{kind}"


@pytest.mark.parametrize("name", ["llama3.2:latest", "gpt-5"])
def test_a_name_stands_at_the_head_of_its_page_as_callers_must_write_it(name, desk):
    model = factories.model(name)
    heads = desk.text("catalog_model_change", model.pk).partition("</h1>")[0].partition('id="header-inner"')[2]
    assert re.findall(r">([^<>\s]+)</a>", heads) == ["Routing", "Models", name]


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_a_list_without_rows_says_what_the_next_step_is(model, desk):
    registered = admin.site._registry[model]
    if registered.search_fields:
        text = desk.text(page(model, "changelist"), q="nothing-is-called-this")
        assert "Nothing fits this search" in text
        assert "Show all" in text
    if not model._base_manager.exists():
        listed = desk.get(page(model, "changelist"))
        text = listed.content.decode()
        assert f"{registered.nothing or f'No {model._meta.verbose_name_plural} yet'}<" in text
        assert escape(registered.nothing_yet) in text
        if registered.has_add_permission(listed.wsgi_request):
            assert f'href="{desk.url(page(model, "add"))}"' in text


def test_signing_in_leads_to_the_first_page(operator):
    operator.set_password("a good password")
    operator.save()
    response = Client().post(
        "/sign-in/?next=/admin/", {"username": operator.username, "password": "a good password"}, follow=True
    )
    assert response.redirect_chain == [("/admin/", 302)]
    assert "Spend today" in response.content.decode()


def test_what_is_not_for_operators_is_not_offered(desk):
    labels = set(NAMES)
    assert not {label for label in labels if label.startswith(("axes.", "auth.", "sessions."))}
    assert not labels & {"django_celery_beat.SolarSchedule", "django_celery_beat.ClockedSchedule"}


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
