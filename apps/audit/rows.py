"""Fields, widgets and filters that choose rows. What is sent for one may be no id at all, or a number that no column
holds: Django's own ask the database for it all the same, and fail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import ValidationError
from django.db import models
from django.forms import ModelMultipleChoiceField
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm


def is_id(model: type[models.Model], word: Any) -> bool:
    """Whether a row of `model` could have it as its id."""
    column = model._meta.pk
    assert column is not None
    try:
        column.run_validators(column.to_python(word))
    except ValidationError:
        return False
    return True


class RowsField(ModelMultipleChoiceField):
    """Rows of a table."""

    def clean(self, value: Any) -> Any:
        for word in value if isinstance(value, (list, tuple)) else ():
            if not is_id(self.queryset.model, word):
                raise ValidationError(self.error_messages["invalid_pk_value"], "invalid_pk_value", {"pk": word})
        return super().clean(value)


class _Shown:
    """Shows those of the chosen that may be rows; the others are the field's to refuse."""

    choices: Any

    def optgroups(self, name: str, value: Iterable[Any], attr: Any = None) -> Any:
        rows = [word for word in value if is_id(self.choices.queryset.model, word)]
        return super().optgroups(name, rows, attr)  # type: ignore[misc]


class RowSelect(_Shown, AutocompleteSelect):
    """One row, found by typing."""


class RowsSelect(_Shown, AutocompleteSelectMultiple):
    """Several rows, found by typing."""


class _FilterForm(AutocompleteDropdownForm):
    widget = RowSelect


class RowFilter(AutocompleteSelectFilter):
    """By one row, found by typing; for those who may see its table, as the chosen one is named whatever id was sent."""

    form_class = _FilterForm

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if not self._may_be_named():
            self.template = "admin/unnamed_filter.html"

    def has_output(self) -> bool:
        """A filter that the address asks for holds for everybody, or the list would show what was not asked for."""
        return self._may_be_named() or bool(self.used_parameters)

    def choices(self, changelist: Any) -> Any:
        return super().choices(changelist) if self._may_be_named() else iter(())

    def _may_be_named(self) -> bool:
        table = self.model_admin.admin_site.get_model_admin(self.field.related_model)
        return bool(table.has_view_permission(self.request))
