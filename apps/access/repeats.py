"""Requests that may be sent again: the second time their answer is given again, and nothing is done.

A request claims its key first, in a row that all see. What it does and what is answered are then one transaction: a
process that dies in the middle has done nothing, and after a while somebody else may take its claim.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.access.models import Answer

KEPT = datetime.timedelta(hours=24)
ABANDONED = datetime.timedelta(seconds=90)
_BATCH = 1_000


class OtherRequest(Exception):
    """The key was used for something else."""


class UnderWay(Exception):
    """The same request is being answered."""


class Claim(NamedTuple):
    pk: int
    claim: uuid.UUID


class Given(NamedTuple):
    """An answer of earlier."""

    status: int
    headers: dict[str, str]
    body: Any


def begin(user_id: int, *, key: str, digest: str) -> Claim | Given:
    """Outside of any transaction of the request's own. Raises OtherRequest and UnderWay."""
    now = timezone.now()
    Answer.objects.filter(user=user_id, key=key, began_at__lt=now - KEPT).delete()
    row = Answer(user_id=user_id, key=key, digest=digest, began_at=now)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        return _met(user_id, key=key, digest=digest, now=now)
    return Claim(row.pk, row.claim)


def _met(user_id: int, *, key: str, digest: str, now: datetime.datetime) -> Claim | Given:
    row = Answer.objects.filter(user=user_id, key=key).first()
    if row is None:  # given up between the two queries
        raise UnderWay
    if row.digest != digest:
        raise OtherRequest
    if row.status is not None:
        return Given(row.status, row.headers, row.body)
    claim = uuid.uuid4()
    abandoned = Answer.objects.filter(pk=row.pk, claim=row.claim, status=None, began_at__lt=now - ABANDONED)
    if not abandoned.update(claim=claim, began_at=now):
        raise UnderWay
    return Claim(row.pk, claim)


def finish(claim: Claim, *, status: int, headers: Mapping[str, str], body: Any) -> None:
    """In the transaction of what was done. Raises UnderWay where the claim was taken meanwhile: then undo it."""
    mine = Answer.objects.filter(pk=claim.pk, claim=claim.claim, status=None)
    if not mine.update(status=status, headers=dict(headers), body=body):
        raise UnderWay


def give_up(claim: Claim) -> None:
    """Nothing was done: the key may be used again."""
    Answer.objects.filter(pk=claim.pk, claim=claim.claim, status=None).delete()


def forget(now: datetime.datetime) -> int:
    """Drops what is kept no longer; returns how many."""
    gone = 0
    while pks := list(Answer.objects.filter(began_at__lt=now - KEPT).values_list("pk", flat=True)[:_BATCH]):
        gone += Answer.objects.filter(pk__in=pks).delete()[0]
    return gone
