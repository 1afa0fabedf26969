"""Another pepper of tokens, online: the old one is accepted until no token hangs on it, and is then retired. As that of
keys, but that tokens are looked up with each request: no other process has to be told."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from apps.access.models import Token
from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import data_keys
from apps.catalog.models import DataKey, Purpose
from apps.domain import keys as format_of_keys

_BATCH = 500


class PepperReport(NamedTuple):
    """`working`: how many tokens that still open the door have their digest under this version."""

    version: int
    is_newest: bool
    working: int
    ended: int


def versions() -> QuerySet[DataKey]:
    """The newest first."""
    return data_keys.of(None, purpose=Purpose.API_TOKENS)


def rotate_pepper(*, actor: Any = None) -> DataKey:
    """Another pepper. Raises ValidationError while an older one is still accepted, and KeyringRefused."""
    with transaction.atomic():
        before = versions().select_for_update().first()
        if before is None:
            row = data_keys.newest(None, purpose=Purpose.API_TOKENS)
        elif versions()[0].pk != before.pk:
            raise ValidationError("Another run has just made a new pepper.")
        else:
            _retire(before, actor=actor, force=False)
            row = data_keys.make(None, purpose=Purpose.API_TOKENS, version=before.version + 1)
        number = before.version if before is not None else 0
        told = {"before": {"version": number}, "after": {"version": row.version}}
        audit.record(actor=actor, action="token_pepper.made", target=row, area=Area.ACCOUNTS, **told)
    return row


def retire_pepper(*, actor: Any = None, force: bool = False) -> int:
    """End all peppers but the newest; return how many working tokens that revoked. Raises ValidationError if there are
    any and it is not by `force`."""
    with transaction.atomic():
        return _retire(data_keys.newest(None, purpose=Purpose.API_TOKENS), actor=actor, force=force)


def _retire(row: DataKey, *, actor: Any, force: bool) -> int:
    older = Token.objects.exclude(pepper=row)
    count = older.filter(_is_working()).count()
    if count and not force:
        raise ValidationError(f"{count} working tokens have not been used since. They would end with the old pepper.")
    now = timezone.now()
    while dead := list(older.only("digest")[:_BATCH]):
        # These open nothing any more. What stands here instead is the digest of no token.
        for token in dead:
            token.pepper, token.digest = row, secrets.token_bytes(32)
        Token.objects.filter(_is_working(), pk__in=[token.pk for token in dead]).update(revoked_at=now)
        Token.objects.bulk_update(dead, ["pepper", "digest"])
    gone = versions().exclude(pk=row.pk)
    if numbers := list(gone.values_list("version", flat=True)):
        gone.delete()
        before = {"versions": numbers, "revoked": count}
        audit.record(actor=actor, action="token_pepper.retired", target=row, area=Area.ACCOUNTS, before=before)
    return count


def make_anew(token: Token, plaintext: str) -> None:
    """Its digest under the newest pepper, for one that was used."""
    newest = versions().first()
    if newest is None or newest.pk == token.pepper_id:
        return
    digest = format_of_keys.digest(plaintext, pepper=data_keys.opened(newest))
    same = Token.objects.filter(pk=token.pk, pepper=token.pepper_id)
    same.update(pepper=newest, digest=digest)


def counts() -> list[PepperReport]:
    """By version, the oldest first."""
    working = Count("pk", filter=_is_working())
    found = Token.objects.order_by().values("pepper__version").annotate(working=working, all=Count("pk"))
    told = {row["pepper__version"]: (row["working"], row["all"] - row["working"]) for row in found}
    known = sorted(versions().values_list("version", flat=True))
    return [PepperReport(version, version == known[-1], *told.get(version, (0, 0))) for version in known]


def _is_working() -> Q:
    return Q(revoked_at=None, expires_at__gt=timezone.now())
