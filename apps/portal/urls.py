"""The portal's pages. What is a tenant's lies under its name, so that an address can be given to a colleague."""

from __future__ import annotations

from django.urls import include, path

from apps.portal import overview

app_name = "portal"

tenant_pages = [
    path("", overview.overview, name="overview"),
]

urlpatterns = [
    path("", overview.home, name="home"),
    path("t/<slug:tenant>/", include(tenant_pages)),
]
