"""What is sent and told: the columns of a model by their own rules, and what is declared beside them. What is not known
is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from rest_framework import serializers
from rest_framework.fields import empty

from apps.api import fields
from apps.catalog import validators

UNKNOWN = "There is no such field."
FIXED = "This cannot be set here."
_LISTS = (
    *(validators.validate_words, validators.validate_networks, validators.validate_hosts),
    *(validators.validate_origins, validators.validate_model_names),
)


# Neither has a docstring: it would stand in the description of all that they are the base of.
class Strict(serializers.Serializer[Any]):
    # Refuses what it does not know.

    default_error_messages = {"invalid": "Give an object."}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            writable = {field.field_name for field in self._writable_fields}
            others = [str(name) for name in data if name not in writable]
            known = {*self.fields, *self.fixed()}
            if others:
                told = {name[:100]: [FIXED if name in known else UNKNOWN] for name in others[:20]}
                raise serializers.ValidationError(told)
        return super().to_internal_value(data)

    def fixed(self) -> tuple[str, ...]:
        return ()


class Body(Strict):
    # `of` gives rows of the model that `columns` are of; those that end with `_nano` are told as `_nano_usd`. What is
    # `lasting` can be given once, when it is made. What is `volatile` makes no new version. `inner` is for who runs the
    # installation. `is_told`: all of it is read only.

    of: Callable[[], models.QuerySet[Any]] | None = None
    columns: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    is_told = False

    def get_fields(self) -> dict[str, Any]:
        declared = super().get_fields()
        first = {"id": declared.pop("id")} if "id" in declared else {}
        columns = dict(self._derived(name) for name in self.columns if name not in declared)
        found = {**first, **columns, **declared}
        for name in self.inner:
            found[name].required = False
        return {name: field for name, field in found.items() if not (self.partial and name in self.lasting)}

    def fixed(self) -> tuple[str, ...]:
        return self.lasting

    def to_representation(self, instance: Any) -> dict[str, Any]:
        told: dict[str, Any] = super().to_representation(instance)
        view = self.context.get("view")
        if self.inner and view is not None and not view.sees_inside:
            for name in self.inner:
                told.pop(name, None)
        return told

    def names(self) -> dict[str, str]:
        """What columns are called here."""
        return {field.source: name for name, field in self.fields.items()}

    def _derived(self, name: str) -> tuple[str, Any]:
        assert type(self).of is not None
        column = type(self).of().model._meta.get_field(name)
        if column.is_relation:
            return name, fields.Integer(read_only=True, source=f"{name}_id", allow_null=column.null)
        if name.endswith("_nano"):
            return f"{name}_usd", fields.Nano(read_only=True, source=name, allow_null=column.null)
        return name, derived(column, is_told=self.is_told)


class Query(serializers.Serializer[Any]):
    """What a list can be narrowed by. `apply` gets what was given."""

    def __init__(self, data: Any = empty, **options: Any) -> None:
        super().__init__(data=data, **options)

    def unknown(self, given: Any, *, beside: tuple[str, ...]) -> dict[str, list[str]]:
        return {name[:100]: ["There is no such parameter."] for name in given if name not in (*self.fields, *beside)}

    @staticmethod
    def apply(rows: models.QuerySet[Any], given: dict[str, Any]) -> models.QuerySet[Any]:
        """By columns of these names."""
        return rows.filter(**given)


class Page(serializers.Serializer[Any]):
    limit = serializers.IntegerField(required=False, min_value=1, max_value=200, help_text="Of one page; usually 50.")
    cursor = serializers.CharField(required=False, max_length=1_500, help_text="As the page before gave it.")


def number(**options: Any) -> Any:
    """An id in a query."""
    return serializers.IntegerField(required=False, min_value=1, max_value=fields.LARGEST, **options)


def word(*choices: str, **options: Any) -> Any:
    if choices:
        return serializers.ChoiceField(choices=choices, required=False, **options)
    return serializers.CharField(required=False, max_length=255, **options)


def truth(**options: Any) -> Any:
    return serializers.ChoiceField(choices=("true", "false"), required=False, **options)


def moment(**options: Any) -> Any:
    return fields.Moment(required=False, **options)


def derived(column: Any, *, is_told: bool = False) -> Any:
    """A field that takes what the column does; what it cannot be is the model's to say."""
    options: dict[str, Any] = {"allow_null": column.null}
    if column.help_text:
        options["help_text"] = str(column.help_text)
    if is_told or not column.editable:
        options["read_only"] = True
    else:
        options["required"] = not (column.has_default() or column.blank or column.null)
    if column.choices and isinstance(column, models.CharField):
        blank = {} if options.get("read_only") else {"allow_blank": column.blank}
        return fields.Choice(choices=column.choices, **options, **blank)
    return _plain(column, options)


def _plain(column: Any, options: dict[str, Any]) -> Any:
    match column:
        case models.BooleanField():
            return fields.Truth(**options)
        case models.FloatField():
            return fields.Number(**options, **_bounds(column))
        case models.IntegerField():
            return fields.Integer(**options, **_bounds(column))
        case models.DateTimeField():
            return fields.Moment(**options)
        case models.DateField():
            return fields.Day(**options)
        case models.JSONField() if any(validator in _LISTS for validator in column.validators):
            return fields.Words(**options)
        case models.CharField() | models.GenericIPAddressField():
            blank = {} if options.get("read_only") else {"allow_blank": column.blank}
            return fields.Text(max_length=column.max_length or 45, **options, **blank)
        case models.UUIDField():
            return serializers.UUIDField(**options)
    raise TypeError(f"say what {column} is told as")


def _bounds(column: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for validator in column.validators:
        limit = getattr(validator, "limit_value", None)
        if isinstance(limit, int | float):
            if isinstance(validator, MinValueValidator):
                found["min_value"] = max(limit, found.get("min_value", limit))
            elif isinstance(validator, MaxValueValidator):
                found["max_value"] = min(limit, found.get("max_value", limit))
    return found
