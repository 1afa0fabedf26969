"""Changes and the record of them, in one transaction.

`add`, `amend` and `remove` are what services of the apps above write with: they validate, write and record. `record`
is for changes of another kind. The area's revision row stays locked until the transaction ends, so numbers are given
out in the order of commits; record late in a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from django.db import models, transaction
from django.db.models import F
from django.db.transaction import TransactionManagementError

from apps.audit import origin, redaction
from apps.audit.models import Area, Record, Revision
from apps.runtime import walls

Row = TypeVar("Row", bound=models.Model)
Values = Mapping[str, Any]


class Amendment(NamedTuple):
    """`revision` None: nothing was different, so nothing was written. `before` and `after` hold what was."""

    revision: int | None
    before: dict[str, Any]
    after: dict[str, Any]


def record(
    *,
    actor: Any,
    action: str,
    target: models.Model,
    area: str,
    before: Values | None = None,
    after: Values | None = None,
    tenant_id: int | None = None,
) -> int:
    """Append a record; return the area's new revision number.

    `actor` is a user, or None for the system; `tenant_id` defaults to the target's own. Secrets are cut out of
    `before` and `after`. Raises TransactionManagementError outside a transaction: a change and its record stand or
    fall together.
    """
    if not transaction.get_connection().in_atomic_block:
        raise TransactionManagementError("A change is recorded inside the transaction that makes it.")
    cut = getattr(target, "unrecorded", frozenset())  # columns whose values are secrets in this row
    made = Record(
        actor_id=getattr(actor, "pk", None),
        actor_name=str(actor)[:200] if actor is not None else "system",
        action=action,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        target_label=redaction.text(str(target))[:200],
        tenant_id=tenant_id if tenant_id is not None else getattr(target, "tenant_id", None),
        area=area,
        before=None if before is None else redaction.redacted(before, cut=cut),
        after=None if after is None else redaction.redacted(after, cut=cut),
        address=origin.address(),
        token=origin.token(),
    )
    with walls.as_installation():
        made.revision = _next_revision(area)
        made.save(force_insert=True)
    return made.revision


def note_read(
    *, actor: Any, action: str, target: models.Model, tenant_id: int | None = None, after: Values | None = None
) -> None:
    """That somebody has looked at, or taken away, what is not for all to see: a privileged read (decision 37).
    `after`: what of it."""
    with transaction.atomic():
        record(actor=actor, action=action, target=target, area=Area.READS, after=after, tenant_id=tenant_id)


def _next_revision(area: str) -> int:
    rows = Revision.objects.filter(area=area)
    if not rows.update(number=F("number") + 1):
        Revision.objects.bulk_create([Revision(area=area)], ignore_conflicts=True)
        rows.update(number=F("number") + 1)
    return rows.values_list("number", flat=True).get()


@walls.as_installation()
def serialise(area: str) -> None:
    """Wait until no other transaction is changing the area. For checks that no constraint can make."""
    Revision.objects.bulk_create([Revision(area=area)], ignore_conflicts=True)
    Revision.objects.select_for_update().get(area=area)


def add(row: models.Model, *, actor: Any, action: str, area: str, tenant_id: int | None = None) -> int:
    """Insert a new row. Raises ValidationError."""
    with transaction.atomic():
        row.full_clean()
        row.save(force_insert=True)
        return record(actor=actor, action=action, target=row, area=area, after=picture(row), tenant_id=tenant_id)


def amend(
    row: Row,
    *,
    actor: Any,
    action: str,
    area: str,
    changes: Values,
    allowed: frozenset[str] | None = None,
    tenant_id: int | None = None,
) -> Amendment:
    """Write `changes` over what is stored, and into `row`. What was meanwhile changed elsewhere is kept.

    Raises TypeError for a field outside `allowed`, ValidationError, and DoesNotExist where the row is gone.
    """
    if allowed is not None and (others := set(changes) - allowed):
        raise TypeError(f"not changed here: {', '.join(sorted(others))}")
    with transaction.atomic():
        stored = row._meta.model._base_manager.select_for_update().get(pk=row.pk)  # request.user's type is a proxy's
        old = picture(stored)
        for name, value in changes.items():
            setattr(stored, stored._meta.get_field(name).name, value)
        stored.full_clean()
        new = picture(stored)
        names = [name for name in new if new[name] != old[name]]
        _copy(stored, row)
        if not names:
            return Amendment(None, {}, {})
        stored.save(update_fields=[field.name for field in stored._meta.concrete_fields if field.attname in names])
        before, after = {name: old[name] for name in names}, {name: new[name] for name in names}
        number = record(
            actor=actor, action=action, target=stored, area=area, before=before, after=after, tenant_id=tenant_id
        )
        return Amendment(number, before, after)


def remove(row: models.Model, *, actor: Any, action: str, area: str, tenant_id: int | None = None) -> int:
    """Delete a row. Raises ProtectedError where others depend on it."""
    with transaction.atomic():
        # As `amend` does, the row before the revision: otherwise the two could wait for each other.
        row._meta.model._base_manager.select_for_update().filter(pk=row.pk).first()
        number = record(actor=actor, action=action, target=row, area=area, before=picture(row), tenant_id=tenant_id)
        row.delete()
        return number


def picture(row: models.Model) -> dict[str, Any]:
    """The values of a row by column name."""
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def _copy(source: models.Model, target: models.Model) -> None:
    for field in source._meta.concrete_fields:
        setattr(target, field.attname, getattr(source, field.attname))
