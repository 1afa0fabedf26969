"""What has changed."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet

from apps.audit.models import Area, Record, Revision


def revisions() -> dict[str, int]:
    """The number of every area; 0 for one that has never changed. One query."""
    return dict.fromkeys(Area.values, 0) | dict(Revision.objects.values_list("area", "number"))


def history(target: Model) -> QuerySet[Record]:
    """The records about one thing, newest first."""
    return Record.objects.filter(target_type=target._meta.label_lower, target_id=str(target.pk))


def is_work_of(target: Model, actor: Any) -> bool:
    """Whether all that was ever done to it was done by this user. One query."""
    found = history(target).order_by().values_list("actor_id", flat=True).distinct()[:2]
    return actor.pk is not None and list(found) == [actor.pk]


def of_tenant(tenant_id: int) -> QuerySet[Record]:
    """The records that concern one tenant, newest first."""
    return Record.objects.filter(tenant_id=tenant_id)
