"""All keys, trusted issuers and signed-in programs, for whoever manages them."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.keys.models import Grant, Issuer, Key


def keys() -> QuerySet[Key]:
    return Key.objects.select_related("tenant", "project")


def issuers() -> QuerySet[Issuer]:
    return Issuer.objects.select_related("tenant", "project")


def grants() -> QuerySet[Grant]:
    return Grant.objects.select_related("tenant", "project", "user")
