from __future__ import annotations

from django.urls import path

from apps.status import views

urlpatterns = [path("health/live", views.live, name="health-live")]
