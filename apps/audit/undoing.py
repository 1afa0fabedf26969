"""Taking a change back: the values that were before it are written over those that it wrote, as a change of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models

from apps.audit import redaction
from apps.audit.models import Record
from apps.runtime.redact import CUT

Update = Callable[..., Any]  # a service: the row, `actor`, and the new values by field


def values(record: Record, row: models.Model) -> dict[str, Any]:
    """The former values by field. Raises ValidationError, which says why the change cannot be taken back: it is no
    plain one, or what it wrote is there no longer."""
    before, after = record.before or {}, record.after or {}
    if not before or before.keys() != after.keys():
        raise ValidationError("This is no change of fields.")
    found = {}
    for name, old in before.items():
        field = _field(row, name)
        if CUT in (old, after[name]) or (isinstance(old, str) and len(old) >= redaction.MAX_TEXT):
            raise ValidationError(f"What “{field.verbose_name}” was is not kept.")
        if redaction.plain(getattr(row, field.attname)) != after[name]:
            raise ValidationError(f"“{field.verbose_name}” has been changed again since.")
        found[field.name] = _value(field, old)
    return found


def undo(record: Record, row: models.Model, *, update: Update, actor: Any) -> None:
    """Through the service, which may refuse. Raises ValidationError."""
    changes = values(record, row)
    try:
        update(row, actor=actor, **changes)
    except TypeError:  # a service's word for what it does not change
        raise ValidationError("This is changed by an action of its own, and taken back by one.") from None


def can_undo(record: Record, row: models.Model) -> bool:
    try:
        values(record, row)
    except ValidationError:
        return False
    return True


def _field(row: models.Model, name: str) -> Any:
    try:
        field: Any = row._meta.get_field(name)
    except FieldDoesNotExist:
        raise ValidationError(f"There is no “{name}” any more.") from None
    if not field.concrete:
        raise ValidationError("This is no change of fields.")
    return field


def _value(field: Any, old: Any) -> Any:
    if not field.is_relation or old is None:
        return field.to_python(old)
    found = field.related_model._base_manager.filter(pk=old).first()
    if found is None:
        raise ValidationError(f"What “{field.verbose_name}” was is no longer there.")
    return found
