"""The admin site of this project as a Django app."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class WeirAdminConfig(AdminConfig):
    default_site = "gateway_site.admin.WeirAdminSite"
