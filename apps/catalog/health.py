"""Whether providers answer. A change of health is a change of the catalog; a single check is not."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import history
from apps.catalog.models import AllowedNetwork, CheckKind, HealthCheck, Provider
from apps.catalog.questions import Found, Question, ask, question
from apps.events import outbox
from apps.outbound.probe import ProbeResult

log = structlog.get_logger(__name__)

# Each waits for one provider. Those that failed the last time are asked last: no number of them holds up the others.
_AT_ONCE = 32
# Seconds for which a run goes on beginning checks; what is due then is the next run's.
_BEGINS_FOR = datetime.timedelta(seconds=120)
_MOST_MESSAGE = 120

Running = dict["Future[Found]", tuple[Provider, datetime.datetime]]


def check_now(provider: Provider, *, actor: Any) -> Found:
    """Asked for by a person. The beat does not ask again before the interval has passed."""
    return check_each([provider], actor=actor)[0]


def check_each(providers: list[Provider], *, actor: Any) -> list[Found]:
    """As `check_now`, all at once. What costs something is recorded."""
    found = {}
    for provider, each in _ask_all(providers, now=None):
        found[provider.pk] = each
        if each.kind == CheckKind.CALL:
            told = {"works": each.result.ok, "milliseconds": each.result.milliseconds, "cost_nano": each.cost}
            record_tested(provider, actor=actor, told=told)
    return [found[provider.pk] for provider in providers]


def check_due(now: datetime.datetime) -> int:
    """Check every enabled provider whose last check is older than its interval; return how many were."""
    return sum(1 for _ in _ask_all(due(now), now=now))


def due(now: datetime.datetime) -> list[Provider]:
    rows = Provider.objects.filter(is_enabled=True)
    return sorted((row for row in rows if _is_due(row, now=now)), key=lambda row: row.consecutive_failures > 0)


def _is_due(row: Provider, *, now: datetime.datetime) -> bool:
    """A moment to come is a clock's that was wrong: what it left is not waited for."""
    if row.last_checked_at is None:
        return True
    interval = datetime.timedelta(seconds=_interval(row))
    return not now - interval < row.last_checked_at < now + interval


def _interval(row: Provider) -> int:
    """One that recovers is asked again when it may count as up, unless that costs something."""
    if row.is_healthy or row.answering_since is None or row.check_kind == CheckKind.CALL:
        return row.check_interval_seconds
    return min(row.check_interval_seconds, row.recovery_seconds)


def _claim(row: Provider, *, now: datetime.datetime) -> bool:
    """Of two workers with the same list one gets the row."""
    return Provider.objects.filter(pk=row.pk, last_checked_at=row.last_checked_at).update(last_checked_at=now) == 1


def _ask_all(providers: list[Provider], *, now: datetime.datetime | None) -> Iterable[tuple[Provider, Found]]:
    """Each as it ends, remembered. `now` None: whoever else is asking. One is claimed when its turn has come, so that
    a worker that dies leaves the others to the next run."""
    networks = AllowedNetwork.objects.cidrs()
    running: Running = {}
    started = timezone.now()
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="health") as threads:
        for provider in providers:
            if len(running) >= _AT_ONCE:
                yield from _ended(running)
            began = timezone.now()
            if now is None:
                Provider.objects.filter(pk=provider.pk).update(last_checked_at=began)
            elif began - started > _BEGINS_FOR or not _claim(provider, now=began):
                continue
            running[threads.submit(_answered, question(provider, networks=networks))] = (provider, began)
        while running:
            yield from _ended(running)


def _answered(asked: Question) -> Found:
    """A fault of ours in one check is no reason not to make the others."""
    try:
        return ask(asked)
    except Exception as error:
        log.exception("health.check_broken", provider=asked.provider.name)
        told = f"The check itself failed: {type(error).__name__}."
        return Found(asked.kind, ProbeResult(ok=False, status=0, milliseconds=0, message=told))


def _ended(running: Running) -> Iterable[tuple[Provider, Found]]:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        provider, began = running.pop(future)
        found = future.result()
        remember(provider, found=found, began=began)
        yield provider, found


def remember(provider: Provider, *, found: Found, began: datetime.datetime) -> None:
    """Write the outcome, and the change of health if it is one. Of two checks that overlapped the one that began later
    tells how things are; the other is history alone."""
    with transaction.atomic():
        row = Provider.objects.select_for_update().filter(pk=provider.pk).first()
        if row is None or row.origin != provider.origin:  # deleted, or moved, while we asked
            return
        now = timezone.now()
        later = HealthCheck.objects.filter(provider=row, slot__gte=history.slot_of(began), at__gt=began, at__lte=now)
        is_overtaken = later.exists()
        _keep(row, found, began=began)
        if is_overtaken:
            return
        was_healthy, failures = row.is_healthy, row.consecutive_failures
        judge(row, ok=found.result.ok, now=now)
        row.last_checked_at = now
        row.last_check_ms = found.result.milliseconds
        row.last_check_message = found.result.message[:300]
        row.save(update_fields=_WRITTEN)
        if row.is_healthy != was_healthy:
            audit.record(
                actor=None,
                action="provider.recovered" if row.is_healthy else "provider.failed",
                target=row,
                area=Area.CATALOG,
                before={"is_healthy": was_healthy, "consecutive_failures": failures},
                after={"is_healthy": row.is_healthy, "message": found.result.message},
            )
            _publish(row, found, now=now)
    for name in _WRITTEN:
        setattr(provider, name, getattr(row, name))


def _publish(row: Provider, found: Found, *, now: datetime.datetime) -> None:
    """What other systems are told: nothing of what the provider said itself."""
    data = {
        "provider": {"id": row.pk, "name": row.name, "vendor": row.vendor},
        "found_by": "check",
        "is_healthy": row.is_healthy,
        "consecutive_failures": row.consecutive_failures,
        "deployment": None,
        "breaker": None,
        "open_until": None,
        "check": str(found.kind),
        "status": found.result.status,
        "milliseconds": found.result.milliseconds,
        "message": found.result.message[:_MOST_MESSAGE],
        "checked_at": now.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z"),
    }
    outbox.emit("provider.health", tenant_id=None, subject=f"provider/{row.pk}", data=data)


def judge(row: Provider, *, ok: bool, now: datetime.datetime) -> None:
    """Down after `max_failures` failures in a row; up when it has answered every check for `recovery_seconds`.

    One that never answered is down at its first failure: nothing speaks for it yet. Nothing is written.
    """
    if not ok:
        row.consecutive_failures += 1
        row.answering_since = None
        row.is_healthy &= row.last_check_ms is not None and row.consecutive_failures < row.max_failures
        return
    row.consecutive_failures = 0
    if row.answering_since is None or row.answering_since > now:  # a moment to come is a clock's that was wrong
        row.answering_since = now
    row.is_healthy |= now - row.answering_since >= datetime.timedelta(seconds=row.recovery_seconds)


def _keep(row: Provider, found: Found, *, began: datetime.datetime) -> None:
    """One row, and, of a call, its part of the provider's sum, which outlives the row."""
    result = found.result
    HealthCheck.objects.create(
        provider=row,
        at=began,
        slot=history.slot_of(began),
        kind=found.kind,
        ok=result.ok,
        milliseconds=result.milliseconds,
        status=result.status,
        message=result.message[:_MOST_MESSAGE],
        tokens=found.usage.total if found.usage is not None else 0,
        cost_nano=found.cost,
    )
    if found.kind == CheckKind.CALL:
        sums = {"check_calls": F("check_calls") + 1, "check_cost_nano": F("check_cost_nano") + (found.cost or 0)}
        Provider.objects.filter(pk=row.pk).update(**sums)


def record_tested(provider: Provider, *, actor: Any, told: dict[str, Any]) -> None:
    """That somebody has made a call of it, which costs something."""
    with transaction.atomic():
        audit.record(actor=actor, action="provider.tested", target=provider, area=Area.CATALOG, after=told)


_WRITTEN: tuple[Any, ...] = (
    "is_healthy",
    "consecutive_failures",
    "answering_since",
    "last_checked_at",
    "last_check_ms",
    "last_check_message",
)
