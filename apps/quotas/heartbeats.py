"""What the other gateway processes that live have said with their last heartbeat."""

from __future__ import annotations

from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.quotas import replicas
from apps.quotas.models import Replica
from apps.quotas.windows import QUIET_AFTER


def standings() -> list[str]:
    """Of their deployments, but for who has nothing to say."""
    return list(_others().exclude(standing="").values_list("standing", flat=True))


def abouts() -> list[str]:
    """Of themselves."""
    return list(_others().values_list("about", flat=True))


def _others() -> QuerySet[Replica]:
    return Replica.objects.filter(heartbeat__gte=Now() - QUIET_AFTER, fenced_at=None).exclude(name=replicas.name())
