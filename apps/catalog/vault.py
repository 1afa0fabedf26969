"""Sealing of secrets: AES-256-GCM under a tenant's data key, which is itself sealed under the keyring.

A sealed text opens only where it was sealed: table, column, row, tenant and the place it may be sent to are its
associated data, so a text moved elsewhere is noise. Its format is `sealing`'s; the data key's id is its name.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import NamedTuple

from apps.catalog import data_keys, sealing
from apps.catalog.models import DataKey, Purpose
from apps.runtime import walls

REMEMBERED_TEXTS = 4096


class SecretUnreadable(Exception):
    """A sealed text does not open: moved, damaged, or its data key is gone."""


class Place(NamedTuple):
    """Where a sealed text belongs. `binding` is whom it may be shown to: a provider's vendor and origin."""

    table: str
    column: str
    row: int
    tenant_id: int | None
    binding: str

    def associated_data(self) -> bytes:
        tenant = "" if self.tenant_id is None else str(self.tenant_id)
        return "|".join((sealing.FORMAT, self.table, self.column, str(self.row), tenant, self.binding)).encode()


class Sealed(NamedTuple):
    """`fingerprint` tells equal secrets of one tenant from different ones, and nothing else."""

    text: str
    fingerprint: str


def seal(plaintext: str, *, place: Place, purpose: Purpose = Purpose.CREDENTIALS) -> Sealed:
    """In the transaction that stores the text. Makes the tenant's data key of the purpose if it is the first. Texts of
    credentials alone are sealed anew by `rotation`.

    Raises KeyringRefused.
    """
    row = data_keys.newest_held(place.tenant_id, purpose=purpose)
    key = data_keys.opened(row)
    mark = hmac.digest(sealing.derived(key, purpose="fingerprint"), plaintext.encode(), hashlib.sha256)
    text = sealing.seal(plaintext, key=key, name=row.pk.hex, data=place.associated_data())
    return Sealed(text, mark.hex()[:16])


def open_all(texts: Iterable[tuple[str, Place]]) -> list[str | None]:
    """The plaintexts in order; None for one that does not open. At most one query, none when all are remembered.

    Raises KeyringUnavailable.
    """
    asked = [(text, place.associated_data()) for text, place in texts]
    found = [_memory.get(pair) for pair in asked]
    if None in found:
        rows = {row.pk.hex: row for row in DataKey.objects.all()}
        if walls.current() is None:  # behind one, rows of others are not gone
            data_keys.keep(rows.values())
        opened: dict[str, bytes | None] = {}
        for index, pair in enumerate(asked):
            if found[index] is None:
                found[index] = _open(pair, rows=rows, opened=opened)
    return found


def open_one(text: str, *, place: Place) -> str:
    """Raises SecretUnreadable."""
    (plaintext,) = open_all([(text, place)])
    if plaintext is None:
        raise SecretUnreadable(f"{place.table} {place.row}")
    return plaintext


def forget() -> None:
    """Drop the plaintexts that this process remembers, and the keys that open them."""
    _memory.clear()
    data_keys.forget()


def sweep() -> None:
    """Drop the plaintexts whose time has passed. For processes that live long."""
    _memory.sweep()
    data_keys.sweep()


def _open(pair: tuple[str, bytes], *, rows: dict[str, DataKey], opened: dict[str, bytes | None]) -> str | None:
    text, data = pair
    name = sealing.name_of(text)
    if name not in opened:
        opened[name] = data_keys.opened_or_none(rows.get(name))
    key = opened[name]
    plaintext = None if key is None else sealing.unseal(text, key=key, data=data)
    if plaintext is not None:
        _memory.put(pair, plaintext)
    return plaintext


# So that a refresh of the snapshot does not decrypt the whole catalog again.
_memory: data_keys.Memory[tuple[str, bytes], str] = data_keys.Memory(capacity=REMEMBERED_TEXTS)
