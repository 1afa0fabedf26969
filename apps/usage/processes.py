"""The gateway processes as an operator sees them: who lives, who is silent, and who is gone with something open."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import msgspec
from django.db.models import DurationField, ExpressionWrapper, F, Q, Sum
from django.db.models.functions import Now

from apps.quotas import windows
from apps.quotas.models import Gap, Replica
from apps.runtime import gateways
from apps.usage.models import OpenAttempt

State = Literal["live", "silent", "written off", "departed"]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One process. Live: heard of within a minute. Silent: not, or fenced. Written off: its leases became gaps, which
    are open. Departed: it has ended, but calls are known to have run there of which the ledger has nothing.

    `silence` is by the database's clock; it and `epoch` are None of who is no replica any more. `held`: what its open
    leases have left, their credit too, in nano-USD. `version`, `role`, `in_flight` and `ports`: as it said
    with its last heartbeat.
    """

    name: str
    state: State
    silence: timedelta | None = None
    epoch: int | None = None
    held: int = 0
    version: str = ""
    role: str = ""
    in_flight: int = 0
    ports: dict[int, str] = {}


def listed() -> list[Listed]:
    """By name. Three queries."""
    left = Sum(
        F("leases__granted") - F("leases__settled") + F("leases__credit"), filter=Q(leases__is_open=True), default=0
    )
    silence = ExpressionWrapper(Now() - F("heartbeat"), output_field=DurationField())
    found = {row.name: _listed(row) for row in Replica.objects.annotate(silence=silence, held=left)}
    for name in Gap.objects.filter(closed_at=None).values_list("replica", flat=True):
        found.setdefault(name, Listed(name=name, state="written off"))
    for name in _with_calls():
        found.setdefault(name, Listed(name=name, state="departed"))
    return sorted(found.values(), key=lambda one: one.name)


def losable() -> list[str]:
    """The names of those of whom something is left to give up; see `reaper.declare_lost`."""
    return sorted({*Replica.objects.values_list("name", flat=True), *_with_calls()})


def _listed(row: Replica) -> Listed:
    silence, held = row.silence, row.held  # type: ignore[attr-defined]  # annotated
    is_live = row.fenced_at is None and silence <= windows.DEAD_AFTER
    about = gateways.read(row.about)
    return Listed(
        name=row.name,
        state="live" if is_live else "silent",
        silence=silence,
        epoch=row.epoch,
        held=held,
        version=about.version,
        role=about.role,
        in_flight=about.in_flight,
        ports=about.ports,
    )


def _with_calls() -> set[str]:
    return set(OpenAttempt.objects.order_by().values_list("replica", flat=True).distinct())
