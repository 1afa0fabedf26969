"""What is posted, or asked for in an address, where a row has to be chosen: what names no row is told at its field."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.forms import ModelChoiceField

from apps.audit.rows import RowFilter
from tests.control.desk import errors, fields

pytestmark = [pytest.mark.django_db, pytest.mark.once]
NO_ROWS = ("abc", "9" * 30, "-1", "\x00")
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


def words(number):
    """Two of them: the next number gets another two. All fields that choose a row, and all filters, are of one kind."""
    return [(NO_ROWS * 2)[number % len(NO_ROWS)], (NO_ROWS * 2)[number % len(NO_ROWS) + 1]]


def chosen(response):
    """(name, position in the page's formset or None) of every field of the page that chooses a row."""
    if "adminform" not in response.context:  # a page before the form
        return
    form = response.context["adminform"].form
    yield from ((name, None) for name, field in form.fields.items() if is_choice(field))
    for inline in response.context["inline_admin_formsets"]:
        formset = inline.formset
        shown = len(formset.forms)
        if formset.max_num > shown:
            yield from (
                (f"{formset.prefix}-{shown}-{name}", formset)
                for name, field in formset.empty_form.fields.items()
                if is_choice(field)
            )


def is_choice(field):
    return isinstance(field, ModelChoiceField) and not field.disabled


def pages(request, model, row):
    """The pages of a model that a form can be sent from."""
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    page = admin.site._registry[model]
    if page.has_add_permission(request):
        yield f"{name}_add", ()
    if page.has_change_permission(request, row):
        yield f"{name}_change", (row.pk,)


@pytest.mark.parametrize("model", MODELS, ids=[model._meta.label for model in MODELS])
def test_what_names_no_row_is_told_at_its_field(model, desk, rows, rf):
    request = rf.get("/")
    request.user = desk.user
    for page, arguments in pages(request, model, rows[model]):
        opened = desk.get(page, *arguments)
        found = list(chosen(opened))
        sent = fields(opened.content.decode())
        sent |= {f"{formset.prefix}-TOTAL_FORMS": len(formset.forms) + 1 for _, formset in found if formset is not None}
        for word in words(MODELS.index(model)) if found else ():
            response = desk.client.post(desk.url(page, *arguments), sent | {name: word for name, _ in found})
            assert {name for name, _ in found} <= errors(response).keys(), (page, word)


@pytest.mark.parametrize("model", MODELS, ids=[model._meta.label for model in MODELS])
def test_a_list_is_filtered_by_no_row(model, desk):
    page = f"{model._meta.app_label}_{model._meta.model_name}_changelist"
    for listed in admin.site._registry[model].list_filter:
        if isinstance(listed, tuple) and issubclass(listed[1], RowFilter):
            for word in words(MODELS.index(model)):
                assert desk.get(page, **{f"{listed[0]}__id__exact": word}).status_code in (200, 302), word
