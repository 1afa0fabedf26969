"""Moving secrets to new keys, online, and telling where they stand.

A data key is moved to the keyring's active version by sealing it anew; what it seals stays as it is. A data key itself
is changed by giving its tenant another and sealing every credential anew, each in a transaction of its own. Both may be
killed anywhere: everything opens, and the next run goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import canary, data_keys, keyring, sealing, vault
from apps.catalog.keyrings.ring import Keyring, KeyringRefused, KeyringUnavailable
from apps.catalog.models import Canary, Credential, DataKey, Provider, Purpose
from apps.catalog.places import place_of


class KeyReport(NamedTuple):
    """`secrets`: how many texts it opened."""

    row: DataKey
    is_newest: bool
    opens: bool
    secrets: int


class Report(NamedTuple):
    """`unreadable` holds ids of credentials that do not open."""

    active: int
    keys: tuple[KeyReport, ...]
    unreadable: tuple[int, ...]

    def by_version(self) -> dict[int, tuple[int, int]]:
        """Data keys, and the secrets they opened, by the keyring's version; the active one is always there."""
        found = {self.active: (0, 0)}
        for key in self.keys:
            keys, secrets = found.get(key.row.kek_version, (0, 0))
            found[key.row.kek_version] = (keys + 1, secrets + key.secrets)
        return dict(sorted(found.items()))

    @property
    def min_decryption_version(self) -> int:
        """Of the keyring: what is older may be taken off it."""
        return min((key.row.kek_version for key in self.keys), default=self.active)


class Resealed(NamedTuple):
    """`left`: ids of credentials that do not open, and therefore stay under the old key."""

    count: int
    left: tuple[int, ...]


# --- the keyring's versions ------------------------------------------------------------------------------------


def rotate_kek(*, actor: Any = None) -> int:
    """Reseal every data key that is not under the active version; return how many were.

    One transaction a key, so an interrupted run is continued by another. Raises KeyringRefused.
    """
    canary.verify()
    ring = keyring.current()
    active = ring.active()
    rows = DataKey.objects.exclude(kek_version=active).values_list("pk", flat=True)
    done = sum(_rewrap(pk, ring, ring, is_done=lambda row: row.kek_version == active, actor=actor) for pk in rows)
    Canary.objects.exclude(pk__in=DataKey.objects.values("kek_version")).exclude(pk=active).delete()
    return done


def move(*, previous: Keyring, actor: Any = None) -> int:
    """From another keyring to this one; return how many data keys were still under the other.

    Nothing may be served meanwhile: a process opens what is under its own keyring only. An interrupted run is
    continued by another. Raises KeyringRefused.
    """
    ring = keyring.current()
    rows = DataKey.objects.values_list("pk", flat=True)
    done = sum(_rewrap(pk, previous, ring, is_done=lambda row: _opens(row, ring), actor=actor) for pk in rows)
    with transaction.atomic():
        Canary.objects.all().delete()
        canary.plant()
    return done


def _opens(row: DataKey, ring: Keyring) -> bool:
    try:
        row.open(ring)
    except KeyringUnavailable:
        raise
    except KeyringRefused:
        return False
    return True


def _rewrap(pk: Any, opens: Keyring, seals: Keyring, *, is_done: Callable[[DataKey], bool], actor: Any) -> int:
    with transaction.atomic():
        row = DataKey.objects.select_for_update(of=("self",)).filter(pk=pk).first()
        if row is None or is_done(row):  # another run was first
            return 0
        before = row.kek_version
        row.seal(row.open(opens), seals)
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


# --- the data keys ---------------------------------------------------------------------------------------------


def tenants_with_keys() -> list[int | None]:
    """The ids of those that have a data key for credentials; None is the platform."""
    rows = DataKey.objects.filter(purpose=Purpose.CREDENTIALS).order_by("tenant_id")
    return list(rows.values_list("tenant_id", flat=True).distinct())


def rotate_dek(tenant_id: int | None, *, actor: Any = None) -> Resealed:
    """Give a tenant (None: the platform) another data key, and delete the old one once nothing is under it.

    What a killed run began is finished; only then does the next run make yet another key. Raises KeyringRefused.
    """
    row = _next(tenant_id, actor=actor)
    if row is None:
        return Resealed(0, ())
    done, left = 0, set[int]()
    while True:
        for pk in _waiting(row, left):
            count = _reseal(pk, row=row)
            done += count
            if not count and pk in _waiting(row, left):
                left.add(pk)
        if _drop_idle(row, left, resealed=done, actor=actor):
            return Resealed(done, tuple(sorted(left)))


def _next(tenant_id: int | None, *, actor: Any) -> DataKey | None:
    """The key to move to. None: there is nothing to move."""
    newest = data_keys.of(tenant_id).first()
    if newest is None or _is_unfinished(newest):
        return newest
    try:
        with transaction.atomic():
            row = data_keys.make(tenant_id, purpose=Purpose.CREDENTIALS, version=newest.version + 1)
            audit.record(
                actor=actor,
                action="data_key.made",
                target=row,
                area=Area.CATALOG,
                after={"version": row.version, "kek_version": row.kek_version},
            )
    except IntegrityError:  # another run was first
        return data_keys.of(tenant_id).first()
    return row


def _is_unfinished(row: DataKey) -> bool:
    """Whether something is left to do for the run that made it. What does not open keeps its key, and is nothing."""
    older = list(_older(row))
    if any(not _sealed_under([key]).exists() for key in older):
        return True
    waiting = _sealed_under(older).select_related("provider")
    texts = vault.open_all([(credential.ciphertext, place_of(credential)) for credential in waiting])
    return any(text is not None for text in texts)


def _older(row: DataKey) -> QuerySet[DataKey]:
    return data_keys.of(row.tenant_id).filter(version__lt=row.version)


def _sealed_under(keys: Iterable[DataKey]) -> QuerySet[Credential]:
    names = [Q(ciphertext__startswith=sealing.prefix(key.pk.hex)) for key in keys]
    return Credential.objects.filter(reduce(or_, names)) if names else Credential.objects.none()


def _waiting(row: DataKey, left: set[int]) -> list[int]:
    return list(_sealed_under(_older(row)).exclude(pk__in=left).order_by("pk").values_list("pk", flat=True))


def _reseal(pk: int, *, row: DataKey) -> int:
    """One credential: 1 if it was moved. The provider's lock keeps its address, and whoever sets the secret, away."""
    with transaction.atomic():
        provider = Provider.objects.select_for_update().filter(credentials=pk).first()
        credential = _sealed_under(_older(row)).filter(pk=pk).first()
        if provider is None or credential is None:
            return 0
        credential.provider = provider
        (plaintext,) = vault.open_all([(credential.ciphertext, place_of(credential))])
        if plaintext is None:
            return 0
        sealed = vault.seal(plaintext, place=place_of(credential))
        unchanged = Credential.objects.filter(pk=pk, ciphertext=credential.ciphertext)
        return unchanged.update(ciphertext=sealed.text, fingerprint=sealed.fingerprint)


def _drop_idle(row: DataKey, left: set[int], *, resealed: int, actor: Any) -> bool:
    """Whether nothing waits any more. Whoever is sealing with an old key at this moment is waited for."""
    with transaction.atomic():
        older = list(_older(row).select_for_update(of=("self",)))
        if _waiting(row, left):
            return False
        idle = [key for key in older if not _sealed_under([key]).exists()]
        before = {"versions": [key.version for key in idle]}
        for key in idle:
            key.delete()
        if idle or resealed:
            audit.record(
                actor=actor,
                action="data_key.rotated",
                target=row,
                area=Area.CATALOG,
                before=before,
                after={"version": row.version, "resealed": resealed},
            )
        return True


# --- where everything stands -----------------------------------------------------------------------------------


def inspect() -> Report:
    """Open everything and count. Remembers nothing and changes nothing. Raises KeyringRefused."""
    ring = keyring.current()
    vault.forget()
    rows = list(DataKey.objects.select_related("tenant").order_by("purpose", "tenant_id", "version"))
    credentials = list(Credential.objects.exclude(ciphertext="").select_related("provider").order_by("pk"))
    texts = vault.open_all([(row.ciphertext, place_of(row)) for row in credentials])
    opened = [row for row, text in zip(credentials, texts, strict=True) if text is not None]
    sealed = Counter(sealing.name_of(row.ciphertext) for row in opened)
    newest = {(row.tenant_id, row.purpose): row.pk for row in rows}  # in the order of versions: the last one stays
    keys = tuple(
        KeyReport(
            row,
            is_newest=newest[row.tenant_id, row.purpose] == row.pk,
            opens=data_keys.opened_or_none(row) is not None,
            secrets=sealed[row.pk.hex],
        )
        for row in rows
    )
    vault.forget()
    closed = {row.pk for row in credentials} - {row.pk for row in opened}
    return Report(ring.active(), keys, tuple(sorted(closed)))
