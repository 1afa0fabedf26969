"""Form fields for what columns keep otherwise than people write it: dollars, words, some of a few, JSON."""

from __future__ import annotations

import functools
import json
import zoneinfo
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminTextInputWidget,
)

from apps.domain import money

MOST_DOLLARS = Decimal(9_000_000_000)  # what a 64-bit count of nano-dollars holds
MOST_JSON = 100_000  # characters of a document that somebody types
TIMEZONE_HELP = "Where its days, weeks and months begin."


class DollarsField(forms.DecimalField):
    """An amount typed in dollars; its value is nano-USD."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", UnfoldAdminTextInputWidget({"inputmode": "decimal"}))
        super().__init__(min_value=Decimal(0), max_value=MOST_DOLLARS, **options)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, int):
            return f"{money.dollars(value).normalize():f}"
        return value

    def clean(self, value: Any) -> Any:
        amount = super().clean(value)
        if amount is None:
            return None
        try:
            return money.nano(amount)
        except ValueError as error:
            raise ValidationError(f"{str(error).capitalize()}.") from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(initial != self.clean(data))
        except (ValidationError, InvalidOperation):
            return True


class WordsField(forms.CharField):
    """A list of words, typed with commas between them. `none`: the value of an empty field."""

    def __init__(self, *, none: Any = None, **options: Any) -> None:
        self.none = none
        options.setdefault("widget", UnfoldAdminTextInputWidget)
        options.setdefault("required", False)
        super().__init__(max_length=4000, **options)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        words = [word.strip() for word in text.replace("\n", ",").split(",")]
        if text.strip() and not any(words):  # as empty it would often mean: all
            raise ValidationError("There is no word between these commas.")
        return [word for word in words if word] or self.none

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool((initial or self.none) != self.clean(data))
        except ValidationError:
            return True


class SeveralField(forms.MultipleChoiceField):
    """Some of a few, as boxes to tick. `none`: the value when no box is ticked."""

    def __init__(self, *, none: Any = None, **options: Any) -> None:
        self.none = none
        options.setdefault("widget", UnfoldAdminCheckboxSelectMultipleWidget)
        options.setdefault("required", False)
        super().__init__(**options)

    def clean(self, value: Any) -> Any:
        return list(super().clean(value)) or self.none

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(initial or [], data)


def offer_also(field: forms.Field, words: Iterable[str]) -> None:
    """Words that a row has already are offered too, so that saving the form loses none."""
    assert isinstance(field, SeveralField)
    known = {str(value) for value, _ in field.choices}
    field.choices = [*field.choices, *((word, word) for word in words if word not in known)]


class JsonField(forms.JSONField):
    """A document that every store can hold and every reader read. What is refused is shown as it was typed."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > MOST_JSON:
            raise ValidationError(f"Give at most {MOST_JSON:,} characters.")
        try:
            found = super().to_python(value)
            written = json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):  # of half characters too
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None
        if b"\\u0000" in written:
            raise ValidationError("It holds a NUL.")
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:
        if self.disabled:
            return initial
        return None if data is None else InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, InvalidJSONInput):
            return value
        return json.dumps(value, ensure_ascii=False, indent=2)


class TimezoneField(forms.ChoiceField):
    """One of the time zones, found by typing. `empty`: what choosing none means; without it one must be chosen."""

    def __init__(self, *, empty: str = "", **options: Any) -> None:
        options.setdefault("widget", UnfoldAdminSelect2Widget)
        options.setdefault("help_text", TIMEZONE_HELP)
        super().__init__(choices=lambda: _timezones(empty), required=not empty, **options)


def _timezones(empty: str) -> list[tuple[str, str]]:
    return [*([("", empty)] if empty else []), *((name, name) for name in _zones())]


@functools.cache
def _zones() -> tuple[str, ...]:
    """Looked up once: each time six hundred files are."""
    return tuple(sorted(zoneinfo.available_timezones()))
