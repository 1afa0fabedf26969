from __future__ import annotations

from django.apps import AppConfig


class SignInConfig(AppConfig):
    name = "apps.signin"
    verbose_name = "Sign-in"

    def ready(self) -> None:
        from apps.signin import guessing

        guessing.watch()
