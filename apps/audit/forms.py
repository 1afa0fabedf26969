"""What forms of the admin share: fields that are chosen once, and a service's refusal told at its field."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import ProtectedError
from django.forms import BaseModelForm, ModelChoiceField
from unfold.widgets import UnfoldAdminSelectWidget


class Lasting:
    """A form for rows of which some fields are chosen once: another value would be another row.

    Of a row that there is, they show what it has, and ask the database nothing to show it.
    """

    lasting: tuple[str, ...] = ()
    instance: Any
    fields: dict[str, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.pk is None:
            return
        for name in self.fields.keys() & set(self.lasting):
            field = self.fields[name]
            field.disabled = True
            if isinstance(field, ModelChoiceField):
                chosen = getattr(self.instance, name)
                choice = (chosen.pk, str(chosen)) if chosen is not None else ("", "—")
                told = {key: text for key, text in field.widget.attrs.items() if key == "aria-label"}
                field.widget = UnfoldAdminSelectWidget(attrs=told, choices=[choice])


@contextlib.contextmanager
def named(row: models.Model) -> Iterator[None]:
    """What is refused inside is refused of `row`, and the message says so."""
    try:
        yield
    except (ValidationError, ProtectedError) as error:
        raise ValidationError([f"{row}: {message}" for message in reason(error).messages]) from None


def reason(error: ValidationError | ProtectedError) -> ValidationError:
    """A refusal in words for a person."""
    if isinstance(error, ValidationError):
        return error
    users = sorted({str(row) for row in error.protected_objects})
    return ValidationError(f"It is in use: {', '.join(users[:5])}{' and more' if len(users) > 5 else ''}.")


def refused(form: type[BaseModelForm], refusal: ValidationError) -> type[BaseModelForm]:
    """The form with the refusal among its errors, each at its field where the form has it."""

    class Refused(form):  # type: ignore[valid-type, misc]  # Django makes the class at run time
        def _post_clean(self) -> None:
            super()._post_clean()
            if not hasattr(refusal, "error_dict"):
                self.add_error(None, refusal)
                return
            for name, errors in refusal.error_dict.items():
                self.add_error(name if name in self.fields else None, errors)

    return Refused
