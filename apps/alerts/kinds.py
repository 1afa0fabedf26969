"""What can be watched, and with which settings."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models


class Kind(models.TextChoices):
    """What is watched. See `conditions` for how."""

    BUDGET = "budget", "A budget is nearly spent"
    ERRORS = "errors", "Many calls fail"
    BREAKER = "breaker", "A breaker is open"
    PROVIDER = "provider", "A provider is down"
    UNCONFIRMED = "unconfirmed", "Unconfirmed usage piles up"
    KEY_EXPIRY = "key_expiry", "A key is about to expire"
    KEY_UNUSED = "key_unused", "Keys lie unused"


OPERATORS_ONLY = (Kind.BREAKER, Kind.PROVIDER)  # of what all tenants share
FOR_TENANTS = [(kind.value, str(kind.label)) for kind in Kind if kind not in OPERATORS_ONLY]
DEFAULTS: dict[str, dict[str, Any]] = {
    Kind.BUDGET: {"percents": [50, 80, 100], "forecast": True},
    Kind.ERRORS: {"percent": 20, "minutes": 15, "calls": 20},
    Kind.UNCONFIRMED: {"calls": 100, "dollars": 1},
    Kind.KEY_EXPIRY: {"days": 7},
    Kind.KEY_UNUSED: {"days": 90},
}
BOUNDS = {"percent": (1, 100), "minutes": (1, 60), "calls": (1, 10**9), "dollars": (0, 10**9), "days": (1, 3650)}


def clean_settings(kind: str, given: Any) -> dict[str, Any]:
    """With defaults for what is left out. Raises ValidationError."""
    known = DEFAULTS.get(kind, {})
    if not isinstance(given, dict) or set(given) - set(known):
        raise ValidationError(f"Settings are by name; of this kind there are: {', '.join(known) or 'none'}.")
    found = known | given
    for name, (least, most) in BOUNDS.items():
        value = found.get(name, least)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValidationError(f"“{name}” is a whole number from {least} to {most:,}.")
    percents = found.get("percents", [1])
    if (
        not isinstance(percents, list)
        or not 0 < len(percents) <= 10
        or not all(isinstance(each, int) and not isinstance(each, bool) and 1 <= each <= 1000 for each in percents)
    ):
        raise ValidationError("“percents” are up to ten whole numbers from 1 to 1000.")
    if not isinstance(found.get("forecast", True), bool):
        raise ValidationError("“forecast” is true or false.")
    return found
