"""URLs of webhooks and chats: sealed, as whoever has one can write there. Pages show the host, and no more."""

from __future__ import annotations

import structlog
from django.db import transaction

from apps.alerts.models import SEALED, Destination
from apps.catalog import data_keys, vault
from apps.catalog.keyrings.ring import KeyringRefused, KeyringUnavailable
from apps.catalog.models import Purpose

log = structlog.get_logger(__name__)


def url_of(destination: Destination) -> str:
    """Where its messages go. Raises SecretUnreadable and KeyringUnavailable."""
    if destination.is_plain:
        return destination.target
    return vault.open_one(destination.sealed_target, place=destination.place_of_url)


def hold_key(tenant_id: int | None) -> None:
    """Before anything else of the transaction is locked that a change of a destination locks, too: those lock their
    row, then this, then the area's revision. Raises KeyringRefused."""
    data_keys.newest_held(tenant_id, purpose=Purpose.ALERTS)


def seal(destination: Destination, url: str) -> None:
    """Of one that is stored already. Raises KeyringRefused."""
    destination.sealed_target = _sealed(destination, url)
    destination.save(update_fields=["target", "masked_target", "sealed_target"])


def another(destination: Destination, given: str) -> dict[str, str]:
    """The columns of its row that change, none where the URL is the same. In the transaction that changes them.

    Raises ValidationError and KeyringRefused."""
    stored = Destination.objects.select_for_update().get(pk=destination.pk)
    try:
        if not stored.is_plain and url_of(stored) == given:
            return {}
    except vault.SecretUnreadable:  # then another is what it needs
        pass
    stored.target = given
    url = stored.take_url()
    return {
        "target": stored.target,
        "masked_target": stored.masked_target,
        "sealed_target": _sealed(stored, url),
    }


def seal_stored() -> int:
    """Those that lie here as they were given, as releases before 0.2 wrote them. One that cannot be sealed, or that
    somebody is changing, is left to the next run. How many. Raises KeyringUnavailable."""
    plain = Destination.objects.exclude(kind=Destination.Kind.EMAIL).exclude(target=SEALED)
    return sum(_seal_stored(pk) for pk in list(plain.values_list("pk", flat=True)))


def _seal_stored(pk: int) -> bool:
    with transaction.atomic():
        stored = Destination.objects.select_for_update(skip_locked=True).filter(pk=pk).first()
        if stored is None or not stored.is_plain:
            return False
        try:
            seal(stored, stored.hide_url())
        except KeyringUnavailable:
            raise
        except KeyringRefused as error:
            log.warning("alert.unsealed", target=str(pk), message=str(error))
            return False
        return True


def _sealed(destination: Destination, url: str) -> str:
    return vault.seal(url, place=destination.place_of_url, purpose=Purpose.ALERTS).text
