"""A known text sealed under each version of the keyring: it tells a wrong keyring from a right one at start."""

from __future__ import annotations

from apps.catalog import keyring
from apps.catalog.keyrings.ring import Keyring, KeyringRefused, KeyringUnavailable
from apps.catalog.models import Canary, DataKey
from apps.catalog.sealing import FORMAT

_SONG = b"weir canary"


def verify() -> None:
    """Refuse to start on a keyring that is not the one the stored secrets were sealed under.

    The first start with a version leaves a canary. Raises KeyringRefused.
    """
    listen()
    plant()


def listen() -> None:
    """As `verify`, by what is there: nothing is written."""
    ring = keyring.current()
    held = ring.versions()
    needed = set(DataKey.objects.order_by().values_list("kek_version", flat=True).distinct())
    if missing := sorted(needed - held):
        raise KeyringRefused(f"WEIR_KEYRING lacks version {missing[0]}, under which secrets are still sealed.")
    for canary in Canary.objects.filter(kek_version__in=held):
        _listen(canary, ring=ring)
    for row in DataKey.objects.filter(tenant=None):
        row.open(ring)


def plant() -> None:
    """Under the active version, if there is none."""
    ring = keyring.current()
    version = ring.active()
    if not Canary.objects.filter(pk=version).exists():
        made, text = ring.wrap(_SONG, context=_context(version))
        if made == version:
            Canary.objects.bulk_create([Canary(kek_version=version, sealed=text)], ignore_conflicts=True)


def _listen(canary: Canary, *, ring: Keyring) -> None:
    version = canary.kek_version
    try:
        song = ring.unwrap(canary.sealed, version=version, context=_context(version))
    except KeyringUnavailable:
        raise
    except KeyringRefused:
        song = b""
    if song != _SONG:
        raise KeyringRefused(f"WEIR_KEYRING: version {version} is not the key that this database was used with.")


def _context(version: int) -> bytes:
    return f"{FORMAT}|canary|{version}".encode()
