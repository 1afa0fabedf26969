"""Models that people can talk to."""

from __future__ import annotations

from django.db.models import Q

from apps.catalog.models import Deployment, Model
from apps.catalog.selectors import models_of_tenant


def models_that_answer(tenant_id: int) -> list[Model]:
    """The enabled ones that are the tenant's to use and that answer in text, by name. One query."""
    found = models_of_tenant(tenant_id).filter(is_enabled=True)
    return sorted((model for model in found if "embeddings" not in model.capabilities), key=lambda row: row.name)


def ways_of(tenant_id: int | None) -> dict[int, tuple[str, str]]:
    """By id of each enabled deployment that may answer the tenant, the names of model and provider. None: all there
    are. Providers whose credentials are all somebody else's are not among the tenant's. One query."""
    found = Deployment.objects.filter(is_enabled=True, model__is_enabled=True, provider__is_enabled=True)
    if tenant_id is not None:
        owners = Q(provider__credentials=None) | Q(provider__credentials__tenant=None)
        usable = owners | Q(provider__credentials__tenant=tenant_id)
        models = Q(model__tenants=None) | Q(model__tenants=tenant_id)
        found = found.filter(usable, models).distinct()
    return {pk: (model, provider) for pk, model, provider in found.values_list("pk", "model__name", "provider__name")}
