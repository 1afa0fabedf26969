"""Staff who are no operators: Django's permissions decide, on every page, for every action, and for what is shown."""

from __future__ import annotations

import pytest
from django.contrib import admin

from apps.audit.models import Record
from tests import factories
from tests.control.desk import Desk

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.attack("F27")]

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
NAMES = [model._meta.label for model in MODELS]
KINDS = ("add", "change", "delete")
ONLY_SHOWN = {"clients", "try_policy"}  # buttons that lead to what may be looked at


def page(model, kind: str) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}_{kind}"


def names(model, *kinds: str) -> list[str]:
    opts = model._meta
    return [f"{opts.app_label}.{kind}_{opts.model_name}" for kind in kinds if kind in opts.default_permissions]


def test_without_a_permission_there_is_nothing_to_see(rows):
    desk = Desk(factories.staff())
    text = desk.text("index")
    assert "An operator decides what you may see" in text
    for shown in ("Spend today", "Spending", "Routing", "Last calls", "Budgets nearest", "Providers", "$0"):
        assert shown not in text, shown
    for model, row in rows.items():
        for kind, arguments in (("changelist", []), ("change", [row.pk]), ("history", [row.pk])):
            assert desk.get(page(model, kind), *arguments).status_code == 403, (model, kind)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_who_may_look_can_look_and_change_nothing(model, rows):
    desk = Desk(factories.staff(*names(model, "view")))
    row = rows[model]
    before = Record.objects.count()
    assert desk.get(page(model, "changelist")).status_code == 200
    text = desk.text(page(model, "change"), row.pk)
    assert 'name="_save"' not in text
    assert desk.client.post(desk.url(page(model, "change"), row.pk), {"name": "changed"}).status_code == 403
    assert desk.client.post(desk.url(page(model, "add")), {"name": "added"}).status_code == 403
    assert desk.client.post(desk.url(page(model, "delete"), row.pk), {"post": "yes"}).status_code == 403
    assert Record.objects.count() == before
    assert model._base_manager.filter(pk=row.pk).exists()


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_no_action_is_left_to_those_who_may_only_look(model, rows):
    desk = Desk(factories.staff(*names(model, "view")))
    registered = admin.site._registry[model]
    before = Record.objects.count()
    listed = desk.text(page(model, "changelist"))
    for action in registered.actions or ():
        assert f'value="{action}"' not in listed
        desk.act(page(model, "changelist"), action, rows[model], typed="revoke 1")
    for action in {*(registered.actions_detail or ())} - ONLY_SHOWN:
        url = desk.url(f"{model._meta.app_label}_{model._meta.model_name}_{action}", rows[model].pk)
        assert desk.client.get(url).status_code == 403, action
        assert desk.client.post(url, {"overlap": "0", "typed": "Plain key"}).status_code == 403, action
    assert Record.objects.count() == before


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_who_may_do_everything_to_one_table_needs_no_other(model, rows):
    desk = Desk(factories.staff(*names(model, "view", *KINDS)))
    assert desk.get(page(model, "changelist")).status_code == 200
    assert desk.get(page(model, "change"), rows[model].pk).status_code == 200


def test_the_menu_holds_what_one_may_see(rows):
    desk = Desk(factories.staff("keys.view_key"))
    text = desk.text("index")
    assert desk.url("keys_key_changelist") in text
    assert desk.url("catalog_provider_changelist") not in text


def test_an_inline_is_for_those_who_may_change_its_rows(rows):
    provider = next(row for model, row in rows.items() if model._meta.label == "catalog.Provider")
    desk = Desk(factories.staff("catalog.view_provider", "catalog.change_provider"))
    text = desk.text("catalog_provider_change", provider.pk)
    assert "credentials-0-secret" not in text
