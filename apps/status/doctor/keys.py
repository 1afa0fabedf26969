"""The keyring, and whether it is the one that this database was used with."""

from __future__ import annotations

from collections.abc import Iterator

from apps.catalog import canary, keyring
from apps.catalog.keyrings.ring import KeyringRefused, KeyringUnavailable
from apps.keys import peppers
from apps.status.doctor.findings import Finding, fine, problem

_ABOUT = "keys"


def sealed() -> Iterator[Finding]:
    try:
        held = keyring.current().versions()
        canary.listen()
    except KeyringUnavailable as error:
        yield problem(_ABOUT, str(error), "Is the keyring's server up, and does this host's identity open it?")
        return
    except KeyringRefused as error:
        yield problem(_ABOUT, str(error), "Put the right keyring back: docs/secrets.md. Do not issue keys meanwhile.")
        return
    yield fine(_ABOUT, f"the keyring opens what this database has sealed (versions {_words(held)})")
    try:
        peppers.warm()
    except KeyringRefused as error:
        yield problem(_ABOUT, f"the pepper of API keys does not open: {error}", "manage.py secrets verify")
        return
    yield fine(_ABOUT, f"the pepper of API keys opens (versions: {peppers.versions().count()})")


def _words(versions: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(versions)))
