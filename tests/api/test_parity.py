"""What the admin does, the API does: of every model, every inline, every action and every page there is its like, or a
word why there is none."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import RequestFactory
from rest_framework.serializers import BaseSerializer

from apps.api import urls

pytestmark = pytest.mark.once

RESOURCES = {view.model: view for view in urls.VIEWS if hasattr(view, "model")}
WITHIN = {  # told and set as a part of another resource
    "signin.grouprule": "identity-providers",
    "policies.rule": "data-policies",
    "django_celery_beat.intervalschedule": "schedules",
    "django_celery_beat.crontabschedule": "schedules",
}
# Actions of the admin by what does the same here: an action of the resource, or a verb.
ACTIONS = {
    **dict.fromkeys(("activate", "deactivate", "enable", "disable", "set_password"), "partial_update"),
    **{"expire_selected": "partial_update", "move_selected": "partial_update", "revoke_selected": "revoke"},
    **{"rotate_selected": "rotate", "reset_breakers": "reset_breaker", "add_price": "prices", "correct": "prices"},
    **{"check_chosen": "check", "check_now": "check", "test_connection": "test", "send_test": "test"},
    **{"pause": "partial_update", "resume": "partial_update", "drop": "destroy"},
    **{"run_now": "run", "try_policy": "policy-trial", "try_policies": "policy-trial"},
}
FORMS = {("usage.unconfirmed", "partial_update"): "resolve"}  # what another form of the admin is here
NO_ACTIONS = {
    "clients": "a page of lines to copy; what is in them, the endpoint says",
    "questions": "a page about this installation's Qdrant, which has an address of its own",
}
PAGES = {
    "explain/": "explain",
    "health/": "health",
    "what-if/price/<slug:deployment_id>/": "what-if/price",
    "what-if/budget/<slug:budget_id>/": "what-if/budget",
}
NO_PAGES = {
    "transfer/": "a program reads and writes models, deployments and prices themselves, or `config`",
    "transfer/<slug:name>.<slug:ending>": "the same",
    "views/": "what a list of the admin looks like is an address of the admin",
    "views/<int:view_id>/": "the same",
    "search/": "ids are found by the lists' own parameters",
}
OWN = ("login/", "logout/", "password_change/", "password_change/done/", "autocomplete/", "jsi18n/")
PLACES = {view.place: view for view in urls.VIEWS}


def registered() -> list[Any]:
    """Every page of a model, except those of Django itself."""
    return list(admin.site._registry.values())


@pytest.mark.parametrize("page", registered(), ids=lambda page: page.opts.label_lower)
def test_every_model_of_the_admin_has_a_resource(page):
    for label in (page.opts.label_lower, *(inline.model._meta.label_lower for inline in page.inlines)):
        assert (label in RESOURCES) != (label in WITHIN), label


@pytest.mark.parametrize("page", registered(), ids=lambda page: page.opts.label_lower)
def test_what_is_made_changed_and_removed_there_is_so_here(world, page):
    """As far as the admin offers it to an operator."""
    view = resource(page)
    row = world.rows[page.model.__name__]
    request = RequestFactory().get("/")
    request.user = world.people["operator"]
    offered = {
        "create": page.has_add_permission(request),
        "partial_update": page.has_change_permission(request, row) and _changes(page, request, row),
        "destroy": page.has_delete_permission(request, row),
    }
    lacking = {verb for verb, is_offered in offered.items() if is_offered and not hasattr(view, verb)}
    assert {verb for verb in lacking if not hasattr(view, FORMS.get((page.opts.label_lower, verb), verb))} == set()


def resource(page: Any) -> Any:
    return RESOURCES.get(page.opts.label_lower) or PLACES[WITHIN[page.opts.label_lower]]


def _changes(page: Any, request: Any, row: Any) -> bool:
    """Whether its form has a field that can be written in."""
    return bool(set(page.get_form(request, row, change=True).base_fields) - {*page.get_readonly_fields(request, row)})


@pytest.mark.parametrize("page", registered(), ids=lambda page: page.opts.label_lower)
def test_every_action_of_the_admin_is_one_here(page):
    view = resource(page)
    for name in {*(page.actions or ()), *page.actions_detail, *page.actions_list, *page.actions_row}:
        like = ACTIONS.get(name, name)
        assert hasattr(view, like) or like in PLACES or name in NO_ACTIONS, name


def test_every_page_of_the_admin_is_a_resource():
    own = {f"{model._meta.app_label}/{model._meta.model_name}/" for model in admin.site._registry}
    pages = {str(url.pattern) for url in admin.site.urls[0]} - own - {*OWN, ""}
    pages = {page for page in pages if not page.startswith(("^", "(", "r/"))}
    assert pages == {*PAGES, *NO_PAGES}
    assert set(PAGES.values()) <= set(PLACES)


def test_nothing_is_excused_that_is_there():
    labels = {page.opts.label_lower for page in registered()}
    inlines = {inline.model._meta.label_lower for page in registered() for inline in page.inlines}
    assert set(WITHIN) <= labels | inlines
    names = {
        name for page in registered() for name in (*(page.actions or ()), *page.actions_detail, *page.actions_list)
    }
    assert {*ACTIONS, *NO_ACTIONS} <= names
    assert all(issubclass(view.body, BaseSerializer) for view in RESOURCES.values())
