"""Who takes whose signatures. The conservative reading of PROTOCOLS A6: a vendor takes its own and nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.domain.providers import registry

if TYPE_CHECKING:
    from apps.domain.snapshot import Provider


def family(provider: Provider) -> str:
    """The vendor's, by its slug. Anybody may stand behind an address that is the installation's own: then by host."""
    vendor = registry.vendor(provider.vendor)
    return vendor.family or (vendor.slug if vendor.base_url else provider.host)
