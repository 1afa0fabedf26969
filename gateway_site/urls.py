"""Every path that Django answers. The data plane's paths come first and live in `apps.gateway.routes`."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("apps.status.urls")),
    path("admin/", admin.site.urls),
    path("", include("apps.portal.doors")),
    path("", include("apps.portal.urls")),
]
