"""The admin site of this project as a Django app."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class WeirAdminConfig(AdminConfig):
    default_site = "gateway_site.admin.WeirAdminSite"

    def ready(self) -> None:
        """Every app's admin is known after `super().ready()`; then those that are not ours can be dressed."""
        super().ready()
        from gateway_site import checks, explaining, schedules, what_if  # noqa: F401

        checks.register()
