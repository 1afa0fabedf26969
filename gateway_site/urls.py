"""Every path that Django answers. The data plane's paths come first and live in `apps.gateway.routes`."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path

from apps.api.problems import lost
from apps.api.resources import explain, health
from apps.status import overview
from gateway_site import broken, dry_run

explain.answer_with(dry_run.explained)
health.tell_with(overview.told)
handler500 = broken.page

urlpatterns = [
    path("", include("apps.status.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("apps.api.urls")),
    re_path(r"^api(?:/|$)", lost),
    path("", include("apps.portal.doors")),
    path("", include("apps.portal.urls")),
]
