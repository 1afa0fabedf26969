from __future__ import annotations

from django.apps import AppConfig

from apps.runtime import gateways, standings


class QuotasConfig(AppConfig):
    name = "apps.quotas"
    verbose_name = "Limits and budgets"

    def ready(self) -> None:
        from apps.quotas import heartbeats

        standings.hear(heartbeats.standings)
        gateways.hear(heartbeats.abouts)
