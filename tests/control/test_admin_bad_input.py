"""What cannot be is told at its field, on every page of the admin that makes or changes a row, and nothing is saved.

The pages are those of the registry, their fields and those of their inlines what the forms say: a new one is tried
without a word here. Each field is sent over HTTP with one wrong value at least; the others are given to the same form.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import pytest
from django import forms as django_forms
from django.apps import apps
from django.contrib import admin
from django.db import models
from django.forms import BaseForm, Field

from tests.bad_values import LONG, bad, rounds, sent, untold
from tests.control.desk import errors, fields

pytestmark = [pytest.mark.django_db, pytest.mark.once]
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
IDS = [model._meta.label for model in MODELS]
NEGATIVE = "one that is lower than all others"
TAKEN = {  # field: what it takes, and why
    "keys.Key priority": ("-1", NEGATIVE),
    "keys.Issuer priority": ("-1", NEGATIVE),
    "policies.ManagedSettings priority": ("-1", NEGATIVE),
}


class Shown(NamedTuple):
    """A form of a page: the page's own, or one more row of an inline. `made` makes it of what was sent."""

    form: BaseForm
    fields: dict[str, Field]  # by the names they are sent by
    made: Any


def shown(response: Any) -> list[Shown]:
    form = response.context["adminform"].form
    found = [Shown(form, _open(form, ()), lambda values: type(form)(values, instance=copy.copy(form.instance)))]
    for inline in response.context["inline_admin_formsets"]:
        formset = inline.formset
        if formset.max_num > len(formset.forms):
            prefix = f"{formset.prefix}-{len(formset.forms)}"
            more = type(formset.empty_form)(prefix=prefix, **formset.get_form_kwargs(None))
            formset.add_fields(more, None)
            found.append(Shown(more, _open(more, ("id", "DELETE", formset.fk.name)), _made(formset, more)))
    return found


def _made(formset: Any, more: Any) -> Any:
    def made(values: Any) -> BaseForm:
        form = type(more)(values, prefix=more.prefix, **formset.get_form_kwargs(None))
        formset.add_fields(form, None)
        return form

    return made


def _open(form: Any, but: tuple[str, ...]) -> dict[str, Field]:
    return {
        form.add_prefix(name): field for name, field in form.fields.items() if not field.disabled and name not in but
    }


def pages(rf: Any, desk: Any, model: Any, row: Any) -> list[str]:
    request = rf.get("/")
    request.user = desk.user
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    page = admin.site._registry[model]
    found = [desk.url(f"{name}_add")] if page.has_add_permission(request) else []
    if found and model._meta.label == "catalog.Provider":
        found = [f"{found[0]}?vendor={vendor}" for vendor in ("anthropic", "azure_openai")]
    return [*found, *([desk.url(f"{name}_change", row.pk)] if page.has_change_permission(request, row) else [])]


def everything() -> dict[str, int]:
    """Rows of each table."""
    return {model._meta.label: model._base_manager.count() for model in apps.get_models()}


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_a_wrong_value_is_told_at_its_field_and_nothing_is_saved(model, desk, rows, rf):
    before = everything(), stored(rows[model])
    for url in pages(rf, desk, model, rows[model]):
        opened = desk.client.get(url)
        whole = fields(opened.content.decode())
        forms = shown(opened)
        for formset in (inline.formset for inline in opened.context["inline_admin_formsets"]):
            whole[f"{formset.prefix}-TOTAL_FORMS"] = min(len(formset.forms) + 1, formset.max_num)
        named = {name: field for form in forms for name, field in form.fields.items()}
        taken = told_by_page(desk, url, whole, named) | told_by_forms(forms, whole)
        for name, value in sorted(taken):
            if TAKEN.get(f"{model._meta.label} {name}", ("",))[0] != value:
                response = desk.client.post(url, whole | sent(name, named[name], value))
                assert name in errors(response), (url, name, value[:40])
    assert (everything(), stored(rows[model])) == before


def told_by_page(desk: Any, url: str, whole: dict[str, Any], named: dict[str, Field]) -> set[tuple[str, str]]:
    """What the page has taken of one wrong value in each field."""
    wrong = {name: bad(field)[0] for name, field in named.items() if bad(field)}
    if not wrong:
        return set()
    values = dict(whole)
    for name, value in wrong.items():
        values |= sent(name, named[name], value)
    found = errors(desk.client.post(url, values))
    return {(name, value) for name, value in wrong.items() if name not in found}


def told_by_forms(forms: list[Shown], whole: dict[str, Any]) -> set[tuple[str, str]]:
    taken = set()
    for form in forms:
        for wrong in rounds(form.fields)[1:]:
            values = dict(whole)
            for name, value in wrong.items():
                values |= sent(name, form.fields[name], value)
            taken |= {(name, wrong[name]) for name in untold(form.made(values), wrong)}
    return taken


def stored(row: models.Model) -> dict[str, Any]:
    return type(row)._base_manager.filter(pk=row.pk).values().get()


class Careless(django_forms.Form):
    name = django_forms.CharField()
    amount = django_forms.IntegerField(min_value=0)


def test_a_field_that_takes_anything_is_found():
    wrong = rounds(Careless().fields)
    taken = {(name, value) for each in wrong for name in untold(Careless(each), each) for value in [each[name]]}
    assert taken == {("name", LONG), ("amount", "9" * 30)}
    with pytest.raises(AssertionError, match="ComboField"):
        bad(django_forms.ComboField(fields=[]))


def test_what_is_taken_is_taken_by_a_field_that_there_is(rf, desk, rows):
    for named in TAKEN:
        label, _, name = named.partition(" ")
        model = apps.get_model(label)
        assert all(name in shown(desk.client.get(url))[0].fields for url in pages(rf, desk, model, rows[model]))
