from __future__ import annotations

from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "apps.usage"
    verbose_name = "Usage"

    def ready(self) -> None:
        from apps.usage import telling

        telling.offer()
