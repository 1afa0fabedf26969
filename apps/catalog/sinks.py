"""What places that events are sent to need of the catalog: their secrets sealed, and the private networks."""

from __future__ import annotations

from apps.catalog import vault
from apps.catalog.keyrings.ring import KeyringUnavailable
from apps.catalog.models import AllowedNetwork, Purpose
from apps.catalog.vault import Place
from apps.events import doors


class _Vault:
    def seal(self, secret: str, *, sink: int, binding: str) -> str:
        return vault.seal(secret, place=_place(sink, binding), purpose=Purpose.EVENTS).text

    def open(self, sealed: str, *, sink: int, binding: str) -> str:
        try:
            return vault.open_one(sealed, place=_place(sink, binding))
        except (vault.SecretUnreadable, KeyringUnavailable) as error:
            raise doors.SecretAway("its secret cannot be read at present") from error


def offer() -> None:
    doors.keep_secrets(_Vault(), opened=lambda: AllowedNetwork.objects.cidrs())


def _place(sink: int, binding: str) -> Place:
    return Place(table="events_sink", column="sealed", row=sink, tenant_id=None, binding=binding)
