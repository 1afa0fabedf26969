from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class CatalogConfig(AppConfig):
    name = "apps.catalog"
    verbose_name = "Routing"

    def ready(self) -> None:
        from apps.catalog import checks as own
        from apps.catalog import sinks
        from apps.runtime import hygiene

        hygiene.forbid_dumps()  # here, since every process with the settings has secrets: gateway, worker, command

        checks.register(own.check_keyring, checks.Tags.security)
        checks.register(own.check_keyring_is_its_own, checks.Tags.security, deploy=True)
        checks.register(own.check_keyring_fits, checks.Tags.database)
        checks.register(own.check_providers, checks.Tags.database, deploy=True)
        sinks.offer()
