"""Tables to take away, as the admin's are."""

from __future__ import annotations

from apps.audit.downloads import cell, csv

__all__ = ["cell", "csv"]
