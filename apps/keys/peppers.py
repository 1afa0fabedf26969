"""The pepper that keys' digests are made with: a data key of the platform, sealed under the keyring, in versions.

New digests are made with the newest; one older version is accepted, and its digests are made anew when their key is
used. A secret without a pepper's row was made under WEIR_KEY_PEPPER, before peppers were kept in the database; that
is a version like any other, number 0.
"""

from __future__ import annotations

import uuid
from typing import NamedTuple

from django.conf import settings
from django.db.models import QuerySet

from apps.catalog import data_keys
from apps.catalog.models import DataKey, Purpose
from apps.domain import keys as format_of_keys


class Outdated(NamedTuple):
    """A digest under an old pepper, and what shall stand in its place."""

    secret_id: int
    digest: bytes
    new_digest: bytes
    pepper_id: uuid.UUID


def newest() -> DataKey:
    """Made if it is the first. Raises KeyringRefused."""
    return data_keys.newest(None, purpose=Purpose.API_KEYS)


def versions() -> QuerySet[DataKey]:
    """The newest first."""
    return data_keys.of(None, purpose=Purpose.API_KEYS)


def warm() -> None:
    """Open all of them, so that keys can be checked whatever becomes of the keyring. Raises KeyringRefused."""
    for row in versions():
        data_keys.opened(row)


def digest(key: str, *, pepper: DataKey | None) -> bytes:
    """Raises KeyringRefused."""
    value = settings.WEIR_KEY_PEPPER.encode() if pepper is None else data_keys.opened(pepper)
    return format_of_keys.digest(key, pepper=value)
