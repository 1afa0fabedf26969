"""Models that people can talk to."""

from __future__ import annotations

from apps.catalog.models import Model
from apps.catalog.selectors import models_of_tenant


def models_that_answer(tenant_id: int) -> list[Model]:
    """The enabled ones that are the tenant's to use and that answer in text, by name. One query."""
    found = models_of_tenant(tenant_id).filter(is_enabled=True)
    return sorted((model for model in found if "embeddings" not in model.capabilities), key=lambda row: row.name)
