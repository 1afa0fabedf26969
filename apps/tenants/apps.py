from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TenantsConfig(AppConfig):
    name = "apps.tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        from apps.events import doors
        from apps.tenants import second_wall, selectors

        doors.name_tenants(selectors.slugs)
        post_migrate.connect(second_wall.put_right, sender=self)
