from __future__ import annotations

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "apps.tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        from apps.events import doors
        from apps.tenants import selectors

        doors.name_tenants(selectors.slugs)
