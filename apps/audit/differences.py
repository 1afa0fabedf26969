"""Records as people read them: which field went from what to what."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import DateTimeField, Field, Model
from django.utils.dateparse import parse_datetime

from apps.audit import selectors
from apps.audit.models import Record
from apps.domain import money

Names = dict[tuple[type[Model], Any], str]
MOST = 100
UNTOLD = frozenset({"id", "revision"})  # of use to nobody who reads
_LONGEST = 300


class Difference(NamedTuple):
    """`before` None: it was not there; `after` None: it is gone."""

    field: str
    before: str | None
    after: str | None


class Change(NamedTuple):
    record: Record
    title: str
    differences: list[Difference]


def of(row: Model, *, children: Iterable[tuple[str, list[str]]] = ()) -> list[Change]:
    """The newest changes of one row, and of those that are edited with it. One query, and one for every kind of row
    that they name."""
    return told(list(selectors.history_with(row, children)[:MOST]))


def told(records: list[Record]) -> list[Change]:
    """One query for every kind of row that they name."""
    names = _names(records)
    return [Change(record, _title(record), _between(record, names)) for record in records]


def between(record: Record) -> list[Difference]:
    """Field by field. Of a new or a deleted row, those fields that say anything."""
    return _between(record, _names([record]))


def _title(record: Record) -> str:
    return record.action.replace(".", " ").replace("_", " ").capitalize()


def _between(record: Record, names: Names) -> list[Difference]:
    before, after = record.before or {}, record.after or {}
    found = []
    for name in dict.fromkeys([*before, *after]):
        field = _field(record.target_type, name)
        if name in UNTOLD:
            continue
        old, new = (_text(side.get(name), field, names) if name in side else None for side in (before, after))
        if old != new and (old or new):
            found.append(Difference(_label(name, field), old, new))
    return found


def _field(target_type: str, name: str) -> Field[Any, Any] | None:
    """None for what is not a column, or is one no longer."""
    try:
        for field in apps.get_model(target_type)._meta.concrete_fields:
            if name in (field.attname, field.name):
                return field
    except (LookupError, ValueError, FieldDoesNotExist):
        return None
    return None


def _label(name: str, field: Field[Any, Any] | None) -> str:
    return str(field.verbose_name) if field is not None else name.replace("_", " ")


def _names(records: list[Record]) -> Names:
    """What the rows are called that foreign keys in the records point at."""
    wanted: dict[type[Model], set[Any]] = {}
    for record in records:
        for side in (record.before or {}, record.after or {}):
            for name, value in side.items():
                field = _field(record.target_type, name)
                if field is not None and field.is_relation and value is not None:
                    wanted.setdefault(field.related_model, set()).add(value)
    return {
        (model, pk): str(row)
        for model, pks in wanted.items()
        for pk, row in model._base_manager.in_bulk(list(pks)).items()
    }


def _text(value: Any, field: Field[Any, Any] | None, names: Names) -> str:
    """Columns that are kept in nano-dollars say so in their help text, and are shown in dollars."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and field is not None and field.help_text.startswith("nano-USD"):
        return money.exact(value)
    if field is not None and field.is_relation:
        return names.get((field.related_model, value), f"no. {value}")
    if isinstance(field, DateTimeField) and isinstance(value, str):
        moment = parse_datetime(value)
        return value if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return ", ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
