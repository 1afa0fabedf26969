"""Sealing of secrets: AES-256-GCM under a tenant's data key, which is itself sealed under the keyring.

A sealed text is `v1.<data key>.<nonce>.<ciphertext>`, base64url. It opens only where it was sealed: table, column, row,
tenant and the place it may be sent to are its associated data, so a text moved elsewhere is noise.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import IntegrityError, transaction

from apps.catalog import keyring
from apps.catalog.models import Canary, DataKey

FORMAT = "v1"
NONCE_BYTES = 12
REMEMBERED_SECONDS = 300.0
REMEMBERED_TEXTS = 4096
_CANARY = "weir canary"


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
        return "|".join((FORMAT, self.table, self.column, str(self.row), tenant, self.binding)).encode()


class Sealed(NamedTuple):
    """`fingerprint` tells equal secrets of one tenant from different ones, and nothing else."""

    text: str
    fingerprint: str


def seal(plaintext: str, *, place: Place) -> Sealed:
    """Makes the tenant's data key if it is the first. Raises KeyringRefused."""
    row = _data_key(place.tenant_id)
    key = unwrap(row)
    mark = hmac.digest(keyring.derived(key, purpose="fingerprint"), plaintext.encode(), hashlib.sha256)
    return Sealed(_encrypted(plaintext, key=key, name=row.pk.hex, data=place.associated_data()), mark.hex()[:16])


def open_all(texts: Iterable[tuple[str, Place]]) -> list[str | None]:
    """The plaintexts in order; None for one that does not open. At most one query, none when all are remembered."""
    asked = [(text, place.associated_data()) for text, place in texts]
    found = [_memory.get(pair) for pair in asked]
    if None in found:
        keys = {row.pk.hex: row for row in DataKey.objects.all()}
        opened: dict[str, bytes | None] = {}
        for index, pair in enumerate(asked):
            if found[index] is None:
                found[index] = _open(pair, keys=keys, opened=opened)
    return found


def open_one(text: str, *, place: Place) -> str:
    """Raises SecretUnreadable."""
    (plaintext,) = open_all([(text, place)])
    if plaintext is None:
        raise SecretUnreadable(f"{place.table} {place.row}")
    return plaintext


def forget() -> None:
    """Drop the plaintexts that this process remembers."""
    _memory.clear()


def data_key_name(text: str) -> str:
    """The id of the data key that sealed a text; empty where it is no sealed text."""
    parts = text.split(".")
    return parts[1] if len(parts) == 4 and parts[0] == FORMAT else ""


def verify() -> None:
    """Refuse to start on a keyring that is not the one the stored secrets were sealed under.

    The first start with a version leaves a canary, a known text sealed under it. Raises KeyringRefused.
    """
    held = keyring.versions()
    needed = set(DataKey.objects.order_by().values_list("kek_version", flat=True).distinct())
    if missing := sorted(needed - held.keys()):
        raise keyring.KeyringRefused(f"WEIR_KEYRING lacks version {missing[0]}, under which secrets are still sealed.")
    for canary in Canary.objects.filter(kek_version__in=held):
        if _decrypted(canary.sealed, key=held[canary.kek_version], data=_canary_data(canary.kek_version)) != _CANARY:
            raise keyring.KeyringRefused(
                f"WEIR_KEYRING: version {canary.kek_version} is not the key that this database was used with."
            )
    for row in DataKey.objects.filter(tenant=None):
        unwrap(row)
    plant_canary()


def plant_canary() -> None:
    version = keyring.active()
    if not Canary.objects.filter(pk=version).exists():
        data = _canary_data(version)
        sealed = _encrypted(_CANARY, key=keyring.versions()[version], name="canary", data=data)
        Canary.objects.bulk_create([Canary(kek_version=version, sealed=sealed)], ignore_conflicts=True)


def wrap(key: bytes, *, row: DataKey) -> None:
    """Seal a data key under the active version, into `row`, which is not saved."""
    row.kek_version = keyring.active()
    kek = keyring.versions()[row.kek_version]
    row.wrapped = _encrypted(key.hex(), key=kek, name=str(row.kek_version), data=_row_data(row))


def unwrap(row: DataKey) -> bytes:
    """Raises KeyringRefused."""
    kek = keyring.versions().get(row.kek_version)
    plaintext = None if kek is None else _decrypted(row.wrapped, key=kek, data=_row_data(row))
    if plaintext is None:
        raise keyring.KeyringRefused(f"WEIR_KEYRING does not open {row} (version {row.kek_version}).")
    return bytes.fromhex(plaintext)


def _data_key(tenant_id: int | None) -> DataKey:
    rows = DataKey.objects.filter(tenant=tenant_id)
    row = rows.first()
    if row is not None:
        return row
    plant_canary()
    row = DataKey(id=uuid.uuid4(), tenant_id=tenant_id)
    wrap(secrets.token_bytes(keyring.KEY_BYTES), row=row)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:  # another process was first
        return rows.get()
    return row


def _row_data(row: DataKey) -> bytes:
    return f"{FORMAT}|data key|{row.pk.hex}|{row.tenant_id or ''}".encode()


def _canary_data(version: int) -> bytes:
    return f"{FORMAT}|canary|{version}".encode()


def _encrypted(plaintext: str, *, key: bytes, name: str, data: bytes) -> str:
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, plaintext.encode(), data)
    return ".".join((FORMAT, name, _text(nonce), _text(sealed)))


def _decrypted(text: str, *, key: bytes, data: bytes) -> str | None:
    parts = text.split(".")
    if len(parts) != 4 or parts[0] != FORMAT:
        return None
    try:
        return AESGCM(key).decrypt(_bytes(parts[2]), _bytes(parts[3]), data).decode()
    except (InvalidTag, ValueError):
        return None


def _open(pair: tuple[str, bytes], *, keys: dict[str, DataKey], opened: dict[str, bytes | None]) -> str | None:
    text, data = pair
    name = data_key_name(text)
    if name not in opened:
        opened[name] = _unwrapped(keys.get(name))
    key = opened[name]
    plaintext = None if key is None else _decrypted(text, key=key, data=data)
    if plaintext is not None:
        _memory.put(pair, plaintext)
    return plaintext


def _unwrapped(row: DataKey | None) -> bytes | None:
    try:
        return None if row is None else unwrap(row)
    except keyring.KeyringRefused:
        return None


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


class _Memory:
    """Opened texts, for a while, so that a refresh of the snapshot does not decrypt the whole catalog again."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[str, bytes], tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, pair: tuple[str, bytes]) -> str | None:
        with self._lock:
            until, plaintext = self._texts.get(pair, (0.0, ""))
            if until > time.monotonic():
                return plaintext
            self._texts.pop(pair, None)
            return None

    def put(self, pair: tuple[str, bytes], plaintext: str) -> None:
        with self._lock:
            self._texts[pair] = (time.monotonic() + REMEMBERED_SECONDS, plaintext)
            while len(self._texts) > REMEMBERED_TEXTS:
                self._texts.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._texts.clear()


_memory = _Memory()
