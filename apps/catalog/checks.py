"""What must be right before anything starts: `manage.py check`, and `check --deploy` for an installation."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection

from apps.catalog import canary, keyring
from apps.catalog.keyrings.ring import KeyringRefused
from apps.catalog.models import Canary, Provider


def check_keyring(**_: Any) -> list[checks.CheckMessage]:
    """The keyring can be read."""
    try:
        keyring.current()
    except KeyringRefused as error:
        return [checks.Error(str(error), id="weir.E001")]
    return []


def check_keyring_is_its_own(**_: Any) -> list[checks.CheckMessage]:
    """One secret for two purposes falls with either."""
    others = (settings.SECRET_KEY, settings.WEIR_KEY_PEPPER, settings.WEIR_OPERATOR_TOKEN)
    try:
        if any(other and keyring.repeats(other) for other in others):
            return [checks.Error("WEIR_KEYRING repeats another secret; give it a value of its own.", id="weir.E002")]
    except KeyringRefused:  # E001 tells
        return []
    return []


def check_keyring_fits(*, databases: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """The stored secrets were sealed under this keyring. Runs where the database may be asked (`migrate`)."""
    if not databases:
        return []
    try:
        if Canary._meta.db_table in connection.introspection.table_names():
            canary.verify()
    except KeyringRefused as error:
        return [checks.Error(str(error), id="weir.E003")]
    except DatabaseError:  # tables of another version: the migrations that follow will mend or tell
        return []
    return []


def check_providers(*, databases: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """With `--deploy --database`: that nobody's calls are answered by the provider that is not real."""
    if not databases:
        return []
    try:
        simulated = list(Provider.objects.filter(is_enabled=True, vendor="simulated").order_by("pk"))
    except DatabaseError:  # not migrated yet
        return []
    told = "is simulated, and enabled: it takes any credential, and its answers are made up."
    return [checks.Warning(f"The provider {provider} {told}", id="weir.W026") for provider in simulated]
