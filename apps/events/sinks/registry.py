"""The kinds of sinks that there are, by the names under which they are stored. Their modules are read when used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from django.core.exceptions import ValidationError

from apps.events import doors
from apps.events.sinks.contract import Kind

_MODULES = {
    "rabbitmq": "apps.events.sinks.rabbitmq",
    "pubsub": "apps.events.sinks.pubsub",
    "webhook": "apps.events.sinks.webhook",
    "file": "apps.events.sinks.file",
}


def names() -> list[str]:
    return list(_MODULES)


def choices() -> list[tuple[str, str]]:
    return [(name, kind(name).LABEL) for name in _MODULES]


def kind(name: str) -> Kind:
    """Raises KeyError for one that this version does not have."""
    return cast(Kind, import_module(_MODULES[name]))


def clean(name: str, target: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with their defaults. Raises ValidationError by field."""
    if name not in _MODULES:
        raise ValidationError({"kind": f"There is no kind {name[:40]!r}; there are {', '.join(_MODULES)}."})
    if not isinstance(settings, Mapping):
        raise ValidationError({"settings": "Settings are by name."})
    return kind(name).clean(target, settings, networks=doors.networks())


def clean_secret(name: str, secret: str) -> None:
    """Raises ValidationError for what is none of that kind, which repeats nothing of it."""
    check = getattr(kind(name), "clean_secret", None)
    try:
        if check is not None:
            check(secret)
    except ValueError as error:
        raise ValidationError({"secret": str(error)}) from None
