"""What the portal's forms are made from. They check what was typed; what may be is the services' to say."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.renderers import TemplatesSetting


class Renderer(TemplatesSetting):
    """Fields as the portal shows them, with help and errors beside them."""

    form_template_name = "portal/form.html"
    field_template_name = "portal/field.html"


class PortalForm(forms.Form):
    """`when` names fields that only a choice elsewhere needs: `{"until": "lifetime=other"}`."""

    default_renderer = Renderer
    when: dict[str, str] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, field in self.fields.items():
            field.when = self.when.get(name, "")  # type: ignore[attr-defined]  # the template asks

    def refuse(self, error: ValidationError) -> None:
        """What a service says, at the field that it names; at the head of the form where there is no such field."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, errors in error.error_dict.items():
            self.add_error(name if name in self.fields else None, errors)


class WordsField(forms.CharField):
    """A list of words with commas, spaces or lines between them; None for none."""

    def to_python(self, value: Any) -> Any:
        words = str(value or "").replace(",", " ").split()
        return list(dict.fromkeys(words)) or None

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list | tuple) else value

    def validate(self, value: Any) -> None:
        if self.required and not value:
            raise ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: Any) -> None:
        """Those of texts are none of a list's."""
