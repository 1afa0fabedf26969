"""Whether providers answer. A change of health is a change of the catalog; a single check is not."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone
from msgspec import structs

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import vault
from apps.catalog.models import AllowedNetwork, Provider
from apps.catalog.places import place_of
from apps.outbound.probe import ProbeResult, probe

_AT_ONCE = 8
_SECONDS = 10.0
_CREDENTIALS_TRIED = 3
_REFUSED = (401, 403)


class _Question(NamedTuple):
    """All that asking needs, so that the threads that ask need no database."""

    provider: Provider
    secrets: tuple[str, ...]
    networks: tuple[str, ...]


def check_provider(provider: Provider, *, secret: str | None = None) -> ProbeResult:
    """Ask for the provider's list of models, now, and remember the outcome.

    `secret`: ask with this one alone. That it is refused says nothing of the provider.
    """
    networks = AllowedNetwork.objects.cidrs()
    question = _question(provider, networks=networks) if secret is None else _Question(provider, (secret,), networks)
    result = _ask(question)
    if secret is None or result.status not in _REFUSED:
        remember(provider, result=result)
    return result


def check_due(now: datetime.datetime) -> int:
    """Check every enabled provider whose last check is older than its interval; return how many were."""
    networks = AllowedNetwork.objects.cidrs()
    claimed = [_question(row, networks=networks) for row in due(now) if _claim(row, now=now)]
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="health") as threads:
        for question, result in zip(claimed, threads.map(_ask, claimed), strict=True):
            remember(question.provider, result=result)
    return len(claimed)


def due(now: datetime.datetime) -> list[Provider]:
    return [row for row in Provider.objects.filter(is_enabled=True) if _is_due(row, now=now)]


def _is_due(row: Provider, *, now: datetime.datetime) -> bool:
    if row.last_checked_at is None:
        return True
    return row.last_checked_at + datetime.timedelta(seconds=row.check_interval_seconds) <= now


def _claim(row: Provider, *, now: datetime.datetime) -> bool:
    """Of two workers with the same list one gets the row."""
    return Provider.objects.filter(pk=row.pk, last_checked_at=row.last_checked_at).update(last_checked_at=now) == 1


def _question(provider: Provider, *, networks: tuple[str, ...]) -> _Question:
    """With the platform's credentials: a tenant's own is for that tenant's calls only."""
    rows = provider.credentials.filter(is_enabled=True, tenant=None).exclude(ciphertext="")
    texts = [(row.ciphertext, place_of(row)) for row in rows.select_related("provider")[:_CREDENTIALS_TRIED]]
    return _Question(provider, tuple(text for text in vault.open_all(texts) if text is not None), networks)


def _ask(question: _Question) -> ProbeResult:
    """One refused credential does not make a provider ill if another is accepted."""
    provider = question.provider
    for secret in question.secrets or ("",):
        result = probe(
            vendor=provider.vendor,
            protocol=provider.protocol,
            base_url=provider.base_url,
            secret=secret,
            private_networks=question.networks,
            options=provider.options,
            seconds=_SECONDS,
        )
        if result.status not in _REFUSED:
            return result
    if not question.secrets:
        return structs.replace(result, ok=True, message="The provider answers, and wants a credential.", words="")
    return result


def remember(provider: Provider, *, result: ProbeResult) -> None:
    """Write the outcome. Ill after `max_failures` failures in a row, well after one success; both are recorded.

    One that never answered is ill at its first failure: nothing speaks for it yet.
    """
    with transaction.atomic():
        row = Provider.objects.select_for_update().filter(pk=provider.pk).first()
        if row is None or row.origin != provider.origin:  # deleted, or moved, while we asked
            return
        was_healthy, failures = row.is_healthy, row.consecutive_failures
        row.consecutive_failures = 0 if result.ok else failures + 1
        spared = row.last_check_ms is not None and row.consecutive_failures < row.max_failures
        row.is_healthy = result.ok or (was_healthy and spared)
        row.last_checked_at = timezone.now()
        row.last_check_ms = result.milliseconds
        row.last_check_message = result.message[:300]
        row.save(update_fields=_WRITTEN)
        if row.is_healthy != was_healthy:
            audit.record(
                actor=None,
                action="provider.recovered" if row.is_healthy else "provider.failed",
                target=row,
                area=Area.CATALOG,
                before={"is_healthy": was_healthy, "consecutive_failures": failures},
                after={"is_healthy": row.is_healthy, "message": result.message},
            )
    for name in _WRITTEN:
        setattr(provider, name, getattr(row, name))


_WRITTEN: tuple[Any, ...] = (
    "is_healthy",
    "consecutive_failures",
    "last_checked_at",
    "last_check_ms",
    "last_check_message",
)
