"""All keys, for whoever manages them."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.keys.models import Key


def keys() -> QuerySet[Key]:
    return Key.objects.select_related("tenant", "project")
