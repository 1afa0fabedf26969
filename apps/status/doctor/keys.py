"""The keyring, and whether it is the one that this database was used with; keys whose holders may not call."""

from __future__ import annotations

from collections.abc import Iterator

from apps.catalog import canary, keyring
from apps.catalog.keyrings.ring import KeyringRefused, KeyringUnavailable
from apps.keys import peppers, selectors
from apps.status.doctor.findings import Finding, fine, problem, warning

_ABOUT = "keys"
_MOST_NAMED = 20


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


def holders() -> Iterator[Finding]:
    """Lists show such a key as any other: it works again with its holder's next role."""
    theirs = selectors.of_viewers()
    count = theirs.count()
    if not count:
        yield fine(_ABOUT, "none is a viewer's")
        return
    told = f"refused though they have not ended, as viewers hold them: {count}"
    named = ", ".join(
        f"{key.pk} of {key.user} in {key.tenant}" for key in theirs.select_related("user", "tenant")[:_MOST_NAMED]
    )
    more = ", …" if count > _MOST_NAMED else ""
    yield warning(_ABOUT, f"{told} ({named}{more})", "Give the holders a role that may call, or revoke the keys.")


def _words(versions: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(versions)))
