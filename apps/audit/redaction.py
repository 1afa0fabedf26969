"""What may be seen of a change. Secrets are cut out by the name of their field, by their type and by their shape."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django.db import models

from apps.domain.snapshot import Secret
from apps.runtime.redact import CUT, redact

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


def redacted(values: Mapping[str, Any], *, cut: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The values as JSON can hold them, without secrets, and without those of `cut`."""
    return {name: CUT if name in cut or is_secret(name) else plain(value) for name, value in values.items()}


def is_secret(name: str) -> bool:
    name = name.lower()
    return name in _SECRET_NAMES or name.startswith("sealed_") or name.endswith(_SECRET_ENDINGS)


def plain(value: Any) -> Any:
    """One value as JSON can hold it."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return text(value)
        case Secret() | bytes() | bytearray() | memoryview():
            return CUT
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
    return redact(value)[:MAX_TEXT]
