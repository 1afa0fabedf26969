from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from apps.runtime.state import state


class StatusConfig(AppConfig):
    name = "apps.status"
    label = "status"

    def ready(self) -> None:
        state.role = settings.WEIR_ROLE
        if settings.WEIR_REPLICA:
            state.replica = settings.WEIR_REPLICA
