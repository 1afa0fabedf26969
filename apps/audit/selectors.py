"""What has changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Model, Q, QuerySet

from apps.audit.models import Area, Record, Revision


def revisions() -> dict[str, int]:
    """The number of every area; 0 for one that has never changed. One query."""
    return dict.fromkeys(Area.values, 0) | dict(Revision.objects.values_list("area", "number"))


def history(target: Model) -> QuerySet[Record]:
    """The records about one thing, newest first."""
    return Record.objects.filter(target_type=target._meta.label_lower, target_id=str(target.pk))


def history_with(target: Model, children: Iterable[tuple[str, list[str]]]) -> QuerySet[Record]:
    """And about those that are edited on its page: by label, their ids."""
    found = Q(target_type=target._meta.label_lower, target_id=str(target.pk))
    for label, keys in children:
        found |= Q(target_type=label, target_id__in=keys)
    return Record.objects.filter(found)


def is_work_of(target: Model, actor: Any) -> bool:
    """Whether all that was ever done to it was done by this user. One query."""
    found = history(target).order_by().values_list("actor_id", flat=True).distinct()[:2]
    return actor.pk is not None and list(found) == [actor.pk]


def of_tenant(tenant_id: int) -> QuerySet[Record]:
    """The records that concern one tenant, newest first."""
    return Record.objects.filter(tenant_id=tenant_id)


def narrowed(
    records: QuerySet[Record],
    *,
    since: datetime | None = None,
    actor: str = "",
    area: str = "",
    target: str = "",
) -> QuerySet[Record]:
    """By the beginning of who did it and of what it was done to."""
    if since is not None:
        records = records.filter(at__gte=since)
    if actor:
        records = records.filter(actor_name__istartswith=actor)
    if target:
        records = records.filter(target_label__istartswith=target)
    return records.filter(area=area) if area else records


def areas() -> list[tuple[str, str]]:
    """With what people call them."""
    return [(str(value), str(label)) for value, label in Area.choices]
