"""The operator's console: Unfold's site under Weir's name."""

from __future__ import annotations

from unfold.sites import UnfoldAdminSite


class WeirAdminSite(UnfoldAdminSite):
    site_title = "Weir"
    site_header = "Weir"
    index_title = "Overview"
