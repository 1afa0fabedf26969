"""Another pepper, online: the old one is accepted until no key hangs on it, and is then retired."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import data_keys
from apps.catalog.models import DataKey, Purpose
from apps.keys import peppers, published
from apps.keys.models import Key, KeySecret

_BATCH = 500


class PepperReport(NamedTuple):
    """`working`: how many secrets that still open the door have their digest under this version."""

    version: int
    is_newest: bool
    working: int
    ended: int


def rotate_pepper(*, actor: Any = None) -> DataKey:
    """Another pepper. Gateways look every key that is used up again, and so find out whose digest is due.

    Raises ValidationError while an older one is still accepted, and KeyringRefused.
    """
    with transaction.atomic():
        before = peppers.versions().select_for_update().first()
        if before is None:  # keys, if any, hang on WEIR_KEY_PEPPER
            row, number = peppers.newest(), 0
        elif peppers.newest().pk != before.pk:
            raise ValidationError("Another run has just made a new pepper.")
        else:
            _retire(before, actor=actor, force=False)
            number = before.version
            row = data_keys.make(None, purpose=Purpose.API_KEYS, version=number + 1)
        versions = {"before": {"version": number}, "after": {"version": row.version}}
        revision = audit.record(actor=actor, action="pepper.made", target=row, area=Area.KEYS, **versions)
        Key.objects.filter(secrets__in=_working(_older(row))).update(revision=revision)
    return row


def retire_pepper(*, actor: Any = None, force: bool = False) -> int:
    """End all peppers but the newest; return how many working secrets that revoked.

    Raises ValidationError if there are any and it is not by `force`.
    """
    with transaction.atomic():
        return _retire(peppers.newest(), actor=actor, force=force)


def _retire(row: DataKey, *, actor: Any, force: bool) -> int:
    ended = _end(_working(_older(row)), row=row, actor=actor, force=force)
    for pks in _batches(_older(row).values_list("pk", flat=True)):
        # These open nothing any more. What stands here instead is the digest of no key.
        dead = [KeySecret(pk=pk, pepper=row, digest=secrets.token_bytes(32)) for pk in pks]
        KeySecret.objects.bulk_update(dead, ["pepper", "digest"])
    gone = peppers.versions().exclude(pk=row.pk)
    if versions := list(gone.values_list("version", flat=True)):
        gone.delete()
        before = {"versions": versions, "revoked": ended}
        audit.record(actor=actor, action="pepper.retired", target=row, area=Area.KEYS, before=before)
    return ended


def make_anew(outdated: Iterable[peppers.Outdated]) -> None:
    """Digests under the newest pepper, for keys that were used. Two queries, and no news to other processes."""
    due = {each.secret_id: each for each in outdated}
    changed = []
    with transaction.atomic():
        rows = KeySecret.objects.filter(pk__in=due).order_by("pk").only("digest").select_for_update(no_key=True)
        for row in rows:
            if bytes(row.digest) == due[row.pk].digest:
                row.digest, row.pepper_id = due[row.pk].new_digest, due[row.pk].pepper_id
                changed.append(row)
        KeySecret.objects.bulk_update(changed, ["digest", "pepper"], batch_size=_BATCH)


def counts() -> list[PepperReport]:
    """By version, the oldest first; version 0 is WEIR_KEY_PEPPER and is there while keys hang on it."""
    newest = peppers.versions().first()
    working = Count("pk", filter=_is_working())
    found = KeySecret.objects.order_by().values("pepper__version").annotate(working=working, all=Count("pk"))
    told = {row["pepper__version"] or 0: (row["working"], row["all"] - row["working"]) for row in found}
    known = {*told, *peppers.versions().values_list("version", flat=True)}
    latest = newest.version if newest is not None else None
    return [PepperReport(version, version == latest, *told.get(version, (0, 0))) for version in sorted(known)]


def _end(working: QuerySet[KeySecret], *, row: DataKey, actor: Any, force: bool) -> int:
    count = working.count()
    if not count:
        return 0
    if not force:
        raise ValidationError(f"{count} working keys have not been used since. They would end with the old pepper.")
    keys = list(working.values_list("key", flat=True).distinct())
    working.update(revoked_at=timezone.now())
    revision = audit.record(
        actor=actor, action="pepper.keys_ended", target=row, area=Area.KEYS, after={"keys": len(keys), "secrets": count}
    )
    for pks in _batches(Key.objects.filter(pk__in=keys).values_list("pk", flat=True)):
        asked = Key.objects.filter(pk__in=pks)
        asked.update(revision=revision)
        # One that was rotated, or lent, may go on by a secret of a newer pepper.
        ended = asked.exclude(pk__in=_working(KeySecret.objects.filter(key__in=pks)).values("key"))
        published.tell_all("revoked", ended, actor=actor, revoked_at=timezone.now(), reason="pepper retired")
    return count


def _older(row: DataKey) -> QuerySet[KeySecret]:
    return KeySecret.objects.exclude(pepper=row)


def _is_working() -> Q:
    now = timezone.now()
    secret = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))
    return secret & Q(key__revoked_at=None) & (Q(key__expires_at=None) | Q(key__expires_at__gt=now))


def _working(rows: QuerySet[KeySecret]) -> QuerySet[KeySecret]:
    return rows.filter(_is_working())


def _batches(pks: QuerySet[Any]) -> Iterable[list[int]]:
    found = list(pks)
    return (found[start : start + _BATCH] for start in range(0, len(found), _BATCH))
