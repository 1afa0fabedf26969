"""What the portal's forms are made from. They check what was typed; what may be is the services' to say."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.renderers import TemplatesSetting

from apps.audit import fields
from apps.audit.choices import AtOnce


class Renderer(AtOnce, TemplatesSetting):
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

    def refuse(self, error: ValidationError, *, names: dict[str, str] | None = None) -> None:
        """What a service says, at the field that it names, `names` where it is called otherwise here; at the head of
        the form where there is no such field."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, errors in error.error_dict.items():
            here = (names or {}).get(name, name)
            self.add_error(here if here in self.fields else None, errors)


class TypedForm(PortalForm):
    """What cannot be undone is typed, so that it is not clicked away. `word`: what has to be typed."""

    typed = forms.CharField(max_length=200, widget=forms.TextInput({"autocomplete": "off"}))

    def __init__(self, *args: Any, word: str, verb: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.word = word
        self.fields["typed"].label = f"Type “{word}” to {verb}"

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed.strip() != self.word.strip():
            raise ValidationError("That is something else.")
        return typed


class WordsField(fields.WordsField):
    """A list of words with commas between them; None for none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=forms.TextInput, **options)


class DollarsField(fields.DollarsField):
    """An amount typed in dollars; its value is nano-USD."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=forms.TextInput({"inputmode": "decimal", "placeholder": "0.00"}), **options)


class TicksField(forms.TypedMultipleChoiceField):
    """Boxes to tick; None where none is, which stands for all."""

    widget = forms.CheckboxSelectMultiple

    def clean(self, value: Any) -> Any:
        return super().clean(value) or None
