"""The keys that seal what is stored, each of them sealed under the keyring in a row of its own.

A tenant has one for its credentials, the platform one for its own and one for what people sign in with, and the
platform's peppers are kept in the same way. Each has versions: the highest seals. The keyring is asked for each again
after five minutes; while it does not answer, what a process has opened before is used on.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

import structlog
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from apps.catalog import canary, keyring, sealing
from apps.catalog.keyrings.ring import KeyringRefused, KeyringUnavailable
from apps.catalog.models import DataKey, Purpose
from apps.runtime import walls

log = structlog.get_logger(__name__)

REMEMBERED_SECONDS = 300.0
AWAY_SECONDS = 60.0
REMEMBERED_KEYS = 10_000

Name = TypeVar("Name")
Value = TypeVar("Value")


def of(tenant_id: int | None, *, purpose: Purpose = Purpose.CREDENTIALS) -> QuerySet[DataKey]:
    """The newest first."""
    return DataKey.objects.filter(tenant=tenant_id, purpose=purpose).order_by("-version")


def newest(tenant_id: int | None, *, purpose: Purpose = Purpose.CREDENTIALS) -> DataKey:
    """What seals now; made if it is the first. Raises KeyringRefused."""
    return of(tenant_id, purpose=purpose).first() or _first(tenant_id, purpose)


@walls.as_installation()
def newest_held(tenant_id: int | None, *, purpose: Purpose = Purpose.CREDENTIALS) -> DataKey:
    """As `newest`, and the row stays until the caller's transaction has ended, so that a rotation waits for it."""
    row = of(tenant_id, purpose=purpose).select_for_update(no_key=True).first()
    return row or _first(tenant_id, purpose)


def make(tenant_id: int | None, *, purpose: Purpose, version: int) -> DataKey:
    """Raises IntegrityError where another process was first, and KeyringRefused."""
    row = DataKey(tenant_id=tenant_id, purpose=purpose, version=version)
    row.seal(secrets.token_bytes(sealing.KEY_BYTES), keyring.current())
    row.save(force_insert=True)
    return row


def opened(row: DataKey) -> bytes:
    """Raises KeyringRefused; KeyringUnavailable only if this process has not opened the key before.

    A keyring that did not answer is left alone for `AWAY_SECONDS` by whoever can do without: asking one that swallows
    questions takes seconds, and everybody whose key is looked up meanwhile waits for it.
    """
    name = (row.pk.hex, row.wrapped)
    key = _memory.get(name)
    if key is None and time.monotonic() < _away_until:
        key = _spare.get(row.pk.hex)
    if key is None:
        key = _asked(row)
        _memory.put(name, key)
    return key


def _asked(row: DataKey) -> bytes:
    global _away_until
    try:
        key = row.open(keyring.current())
    except KeyringUnavailable as error:
        _away_until = time.monotonic() + AWAY_SECONDS
        spare = _spare.get(row.pk.hex)
        if spare is None:
            raise
        log.warning("keyring.away", reason=str(error), target=row.pk.hex)
        return spare
    except KeyringRefused:
        _spare.pop(row.pk.hex, None)
        raise
    _away_until = 0.0
    _spare[row.pk.hex] = key
    return key


def is_out_of_reach(row: DataKey) -> bool:
    """Whether opening it would be asking a keyring that has just not answered."""
    return time.monotonic() < _away_until and row.pk.hex not in _spare


def opened_or_none(row: DataKey | None) -> bytes | None:
    """None for one that is gone or does not open. Raises KeyringUnavailable: that says nothing about the row."""
    try:
        return None if row is None else opened(row)
    except KeyringUnavailable:
        raise
    except KeyringRefused:
        return None


def forget() -> None:
    """Drop the keys that this process remembers."""
    global _away_until
    _memory.clear()
    _spare.clear()
    _away_until = 0.0


def sweep() -> None:
    """Drop what has expired, but for what is kept in case the keyring is away."""
    _memory.sweep()


def keep(rows: Iterable[DataKey]) -> None:
    """Drop what was opened of any other row: it is gone, and so must its key be."""
    kept = {row.pk.hex for row in rows}
    for name in list(_spare):
        if name not in kept:
            _spare.pop(name, None)


@walls.as_installation()
def _first(tenant_id: int | None, purpose: Purpose) -> DataKey:
    canary.plant()
    try:
        with transaction.atomic():
            return make(tenant_id, purpose=purpose, version=1)
    except IntegrityError:  # another process was first
        return of(tenant_id, purpose=purpose)[0]


class Memory(Generic[Name, Value]):
    """Plaintexts, for a while: what was put in longest ago goes first when there are too many."""

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[Name, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: Name) -> Value | None:
        with self._lock:
            found = self._values.get(name)
            return found[1] if found is not None and found[0] > time.monotonic() else None

    def put(self, name: Name, value: Value) -> None:
        with self._lock:
            self._values.pop(name, None)  # to the end: what expires first stands first
            self._values[name] = (time.monotonic() + REMEMBERED_SECONDS, value)
            while len(self._values) > self._capacity:
                self._values.popitem(last=False)
        self.sweep()

    def sweep(self) -> None:
        """Drop what has expired; nobody may ever ask for it again."""
        now = time.monotonic()
        with self._lock:
            while self._values and next(iter(self._values.values()))[0] <= now:
                self._values.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()


_memory: Memory[tuple[str, str], bytes] = Memory(capacity=REMEMBERED_KEYS)
# By row, whatever it is wrapped with: what it last opened to, for as long as the row is there.
_spare: dict[str, bytes] = {}
_away_until = 0.0  # by the monotonic clock
