"""What no form may take, by the kind of the field: each value is one that somebody could type, paste or forge."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms import BaseForm

NUL = "a\x00b"
LONG = "x" * 100_001
NO_ROWS = ["abc", "9" * 30, "-1", "\x00"]
NO_NUMBERS = ["-1", "9" * 30, "1e400", "x", "NaN", "Infinity", "-Infinity", "1" * 5_000, "\x00"]
NO_MOMENTS = ["10000-01-01", "x", "0000-01-01", "2027-02-30", "2027-01-01T99:00"]
NO_JSON = ['{"a": "\\ud800"}', "[" * 99_000, '{"a": "b\\u0000"}', "{", "NaN", '{"a": 1e400}', "[[1]]", '"text"', "7",
           f'{{"a": "{LONG}"}}']  # fmt: skip
KINDS: list[tuple[type[forms.Field], list[str]]] = [  # the first that fits
    (forms.BooleanField, []),
    (forms.ModelChoiceField, NO_ROWS),
    (forms.JSONField, NO_JSON),
    (forms.ChoiceField, ["nonsense", NUL, LONG]),
    (forms.DecimalField, [*NO_NUMBERS, "1.0000000001"]),
    (forms.FloatField, NO_NUMBERS),
    (forms.IntegerField, [*NO_NUMBERS, "1.5", "1e3"]),
    (forms.SplitDateTimeField, NO_MOMENTS),
    (forms.DateTimeField, NO_MOMENTS),
    (forms.DateField, NO_MOMENTS),
    (forms.EmailField, ["no address", NUL, LONG + "@example.com"]),
    (forms.SlugField, ["a b", NUL, LONG]),
    (forms.GenericIPAddressField, ["300.0.0.1", NUL, LONG]),
    (forms.FileField, []),  # of its own in the tests of import
    (forms.CharField, [LONG, NUL]),
]


def bad(field: forms.Field) -> list[str]:
    for kind, values in KINDS:
        if isinstance(field, kind):
            return values
    raise AssertionError(f"say in tests.bad_values what a {type(field).__name__} must refuse")


def sent(name: str, field: forms.Field, value: str) -> dict[str, Any]:
    """As a browser names it."""
    if isinstance(field, forms.SplitDateTimeField):
        return {f"{name}_0": value, f"{name}_1": "00:00"}
    return {name: value}


def rounds(fields: dict[str, forms.Field]) -> list[dict[str, str]]:
    """By name what is wrong, of every field at once, until each has had all of its values."""
    most = max((len(bad(field)) for field in fields.values()), default=0)
    return [{name: bad(field)[n] for name, field in fields.items() if n < len(bad(field))} for n in range(most)]


def untold(form: BaseForm, wrong: dict[str, str]) -> set[str]:
    """Names of fields that have taken what is wrong. The form can be shown again, whatever it was."""
    told = {form.add_prefix(name) for name in form.errors if name in form.fields}
    for name in form.fields:
        str(form[name].value()).encode()
    return set(wrong) - told
