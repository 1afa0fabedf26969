"""Moving secrets to a new version of the keyring, online, and telling where they stand."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from django.db import transaction

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import keyring, vault
from apps.catalog.models import Canary, Credential, DataKey
from apps.catalog.places import place_of


class Report(NamedTuple):
    """`sealed` and `data_keys` count by keyring version; `unreadable` holds ids of credentials that do not open."""

    active: int
    data_keys: dict[int, int]
    sealed: dict[int, int]
    unreadable: tuple[int, ...]


def rotate_kek(*, actor: Any = None) -> int:
    """Reseal every data key that is not under the active version; return how many were.

    One transaction a key, so an interrupted run is continued by another. Raises KeyringRefused.
    """
    vault.verify()
    done = 0
    for pk in DataKey.objects.exclude(kek_version=keyring.active()).values_list("pk", flat=True):
        done += _reseal(pk, actor=actor)
    Canary.objects.exclude(pk__in=DataKey.objects.values("kek_version")).exclude(pk=keyring.active()).delete()
    return done


def _reseal(pk: Any, *, actor: Any) -> int:
    with transaction.atomic():
        row = DataKey.objects.select_for_update().filter(pk=pk).exclude(kek_version=keyring.active()).first()
        if row is None:  # another run was first
            return 0
        before = row.kek_version
        vault.wrap(vault.unwrap(row), row=row)
        row.save(update_fields=["kek_version", "wrapped"])
        audit.record(
            actor=actor,
            action="data_key.resealed",
            target=row,
            area=Area.CATALOG,
            before={"kek_version": before},
            after={"kek_version": row.kek_version},
        )
    return 1


def inspect() -> Report:
    """Open everything and count. Remembers nothing and changes nothing. Raises KeyringRefused."""
    held = keyring.versions()
    vault.forget()
    rows = list(DataKey.objects.all())
    version_of = {row.pk.hex: row.kek_version for row in rows}
    sealed: Counter[int] = Counter()
    unreadable = []
    credentials = list(Credential.objects.exclude(ciphertext="").select_related("provider").order_by("pk"))
    texts = vault.open_all([(row.ciphertext, place_of(row)) for row in credentials])
    for credential, plaintext in zip(credentials, texts, strict=True):
        if plaintext is None:
            unreadable.append(credential.pk)
        else:
            sealed[version_of[vault.data_key_name(credential.ciphertext)]] += 1
    vault.forget()
    return Report(max(held), dict(Counter(row.kek_version for row in rows)), dict(sealed), tuple(unreadable))
