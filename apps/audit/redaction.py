"""What may be seen of a change. Secrets are cut out by the name of their field, by their type and by their shape."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django.db import models

from apps.domain.snapshot import Secret

HIDDEN = "[redacted]"
MAX_TEXT = 2_000

_SECRET_NAMES = frozenset(
    {
        "api_key",
        "authorization",
        "ciphertext",
        "cookie",
        "digest",
        "passphrase",
        "password",
        "pepper",
        "private_key",
        "sealed",
        "secret",
        "token",
        "wrapped",
    }
)
_SECRET_ENDINGS = ("_api_key", "_password", "_secret", "_token")
# Linear time only: no nested repetition.
_SECRET_SHAPES = re.compile(
    r"weir_[0-9A-Za-z]{12}_[0-9A-Za-z]{40,}"
    r"|\b(?:sk|rk|pk)-[0-9A-Za-z_-]{16,}"
    r"|\bAIza[0-9A-Za-z_-]{30,}"
    r"|\bgsk_[0-9A-Za-z]{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\b[Bb]earer [^\s\"']{8,}"
)


def redacted(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON can hold them, without secrets."""
    return {name: HIDDEN if is_secret(name) else plain(value) for name, value in values.items()}


def is_secret(name: str) -> bool:
    name = name.lower()
    return name in _SECRET_NAMES or name.endswith(_SECRET_ENDINGS)


def plain(value: Any) -> Any:
    """One value as JSON can hold it."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return text(value)
        case Secret() | bytes() | bytearray() | memoryview():
            return HIDDEN
        case Mapping():
            return redacted({str(key): item for key, item in value.items()})
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case Decimal() | uuid.UUID():
            return str(value)
        case models.Model():
            return value.pk
        case set() | frozenset():
            return sorted(map(plain, value), key=str)
        case Iterable():
            return [plain(item) for item in value]
    return text(str(value))


def text(value: str) -> str:
    return _SECRET_SHAPES.sub(HIDDEN, value)[:MAX_TEXT]
