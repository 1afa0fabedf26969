"""Reports of providers in the admin: brought in, looked at, posted and taken back."""

from apps.reconciliation.admin import adjustments, differences, reports, sources

__all__ = ["adjustments", "differences", "reports", "sources"]
