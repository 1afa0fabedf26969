"""Where each sealed column of the catalog belongs."""

from __future__ import annotations

from apps.catalog.models import Credential
from apps.catalog.vault import Place


def place_of(credential: Credential) -> Place:
    """Reads the credential's provider."""
    return Place(
        table="catalog_credential",
        column="ciphertext",
        row=credential.pk,
        tenant_id=credential.tenant_id,
        binding=credential.provider.origin,
    )
