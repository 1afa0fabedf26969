"""The ledger and its rollups in the admin: looked at, never edited."""

from apps.usage.admin import entries, gaps, panels, refusals, rollups, seals, unconfirmed, verifications

__all__ = ["entries", "gaps", "panels", "refusals", "rollups", "seals", "unconfirmed", "verifications"]
