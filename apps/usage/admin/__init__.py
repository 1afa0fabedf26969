"""The ledger and its rollups in the admin: looked at, never edited."""

from apps.usage.admin import entries, panels, rollups, unconfirmed, verifications

__all__ = ["entries", "panels", "rollups", "unconfirmed", "verifications"]
