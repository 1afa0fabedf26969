"""All that the catalog holds, for whoever manages it, and why some of it stays."""

from __future__ import annotations

from django.db.models import Model as Row
from django.db.models import QuerySet

from apps.catalog.models import AllowedNetwork, Credential, Deployment, Fallback, Model, PinnedEndpoint, Price, Provider


def providers() -> QuerySet[Provider]:
    return Provider.objects.all()


def credentials() -> QuerySet[Credential]:
    return Credential.objects.select_related("provider")


def models() -> QuerySet[Model]:
    return Model.objects.prefetch_related("tenants")


def deployments() -> QuerySet[Deployment]:
    return Deployment.objects.select_related("model", "provider")


def fallbacks() -> QuerySet[Fallback]:
    return Fallback.objects.all()


def prices() -> QuerySet[Price]:
    return Price.objects.all()


def endpoints() -> QuerySet[PinnedEndpoint]:
    return PinnedEndpoint.objects.all()


def networks() -> QuerySet[AllowedNetwork]:
    return AllowedNetwork.objects.all()


def why_kept(row: Row) -> str:
    """Why it cannot be removed; "": it can."""
    if isinstance(row, Provider) and row.deployments.exists():
        return "Models are deployed here, and the ledger names it: disable it instead."
    if isinstance(row, Model) and row.deployments.exists():
        return "It has deployments, and the ledger names it: disable it instead."
    if isinstance(row, Model) and row.stands_in_for.exists():
        return "It is a fallback of other models: take it from them first."
    return ""
