"""What becomes of a process that is gone with its disk: nobody will ever read its journal.

What the database knows to have run there (see `gate`) is booked as unconfirmed; then its leases are freed, and what
they had left is recorded as gaps. Every step may be repeated, and may be the last one before this process is killed.
Should the journal turn up after all, its outcomes correct the unconfirmed, and the gaps are closed.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from apps.audit import services as audit
from apps.audit.models import Area
from apps.quotas import windows
from apps.quotas.models import Gap, Replica
from apps.runtime.failpoints import failpoint
from apps.usage import recovery
from apps.usage.models import Entry, OpenAttempt

log = logging.getLogger(__name__)


class Lost(msgspec.Struct, frozen=True):
    """`unconfirmed` entries were made, `gap` nano-USD of leases were freed that nobody can account for."""

    replica: str
    unconfirmed: int
    gap: int


class Alive(Exception):
    """It was heard of a moment ago."""


def reap() -> list[Lost]:
    """Fences who is silent and gives up who has been fenced for the whole quarantine. For a schedule."""
    for name in windows.fence():
        log.warning("replica %s was not heard of and gets no more leases", name)
    _sweep()
    return [_give_up(name, at_once=False) for name in (*windows.overdue(), *_unknown())]


def declare_lost(replica: str, *, actor: Any) -> Lost:
    """Now, as somebody says that the process and its disk are gone. Raises Alive, and Replica.DoesNotExist."""
    found = Replica.objects.filter(name=replica)
    if found.filter(heartbeat__gte=Now() - windows.DEAD_AFTER).exists():
        raise Alive(replica)
    if not found.exists() and not OpenAttempt.objects.filter(replica=replica).exists():
        raise Replica.DoesNotExist(replica)
    told = found.first() or Replica(name=replica)
    with transaction.atomic():  # before it is done: who says so stands there even if this is cut short
        audit.record(actor=actor, action="replica.lost", target=told, area=Area.USAGE, after={"name": replica})
    return _give_up(replica, at_once=True)


def gaps(replica: str) -> set[int]:
    """The leases of which it has open gaps."""
    return set(Gap.objects.filter(replica=replica, closed_at=None).values_list("lease", flat=True))


def close_gaps(replica: str, *, leases: set[int]) -> None:
    """The process was only paused, and all that these leases paid for is in the ledger."""
    if leases and (
        count := Gap.objects.filter(replica=replica, lease__in=leases, closed_at=None).update(closed_at=Now())
    ):
        log.warning("replica %s came back: %d gaps are closed", replica, count)


def _give_up(replica: str, *, at_once: bool) -> Lost:
    """The entries first: as long as the leases are open, they pay for them."""
    unconfirmed = recovery.book_known(replica)
    failpoint("reap.before_write_off")
    lost = Lost(replica, unconfirmed, windows.write_off(replica, at_once=at_once))
    if lost.unconfirmed or lost.gap:
        log.warning("replica %s never came back: %d unconfirmed, a gap of %d nano-USD", *msgspec.structs.astuple(lost))
    return lost


def _sweep() -> None:
    """Rows that came after their outcomes, from a gate that was killed before it took them away."""
    OpenAttempt.objects.filter(Exists(Entry.objects.filter(pk=OuterRef("pk")))).delete()


def _unknown() -> list[str]:
    """Whose rows are old, and who is no replica any more: its clean end, or a write-off, came before them."""
    old = OpenAttempt.objects.filter(started_at__lt=Now() - windows.QUARANTINE)
    named = old.exclude(replica__in=Replica.objects.values("name"))
    return list(named.order_by().values_list("replica", flat=True).distinct())
