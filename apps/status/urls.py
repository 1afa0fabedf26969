"""The telling pages. The probes are not Django's: see `probes`."""

from __future__ import annotations

from django.urls import path

from apps.status import views

urlpatterns = [
    path("health/detailed", views.Detailed.as_view(), name="health-detailed"),
    path("providers", views.Providers.as_view(), name="providers"),
    path("config", views.Config.as_view(), name="config"),
    path("settings", views.Settings.as_view(), name="settings"),
    path("redis-test", views.RedisTest.as_view(), name="redis-test"),
    path("metrics", views.Metrics.as_view(), name="metrics"),
]
