"""Rules and destinations: made, changed, removed, each time recorded. Members act within their rights, operators
everywhere. Each function raises PermissionDenied for what is not theirs to do, ValidationError for what cannot be."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.alerts import sealed_urls
from apps.alerts.models import Alert, AlertRule, Delivery, Destination
from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import vault
from apps.catalog.models import Purpose
from apps.outbound import webhooks
from apps.tenants.models import Tenant
from apps.tenants.rights import Right, may_user

DESTINATION_KINDS = [(kind.value, str(kind.label)) for kind in Destination.Kind]
OVERLAP = datetime.timedelta(hours=24)
_RULE = frozenset({"name", "settings", "project", "is_enabled"})
_DESTINATION = frozenset({"name", "target", "masked_target", "sealed_target", "is_enabled"})


class Made(NamedTuple):
    """`secret` exists here only: show it once. None: this kind signs nothing."""

    destination: Destination
    secret: str | None

    def __repr__(self) -> str:
        return f"Made({self.destination})"


def create_destination(*, actor: Any, tenant: Tenant | None, name: str, kind: str, target: str) -> Made:
    _require(actor, tenant)
    destination = Destination(tenant=tenant, name=name, kind=kind, target=target.strip())
    url = destination.take_url() if destination.is_secret else ""
    with transaction.atomic():
        if url:
            sealed_urls.hold_key(destination.tenant_id)
        audit.add(destination, actor=actor, action="destination.created", area=Area.USAGE)
        if url:
            sealed_urls.seal(destination, url)
        secret = None
        if destination.kind == Destination.Kind.WEBHOOK:
            secret = _seal(destination)
    return Made(destination, secret)


def update_destination(destination: Destination, *, actor: Any, **changes: Any) -> Destination:
    """`name`, `target`, `is_enabled`."""
    _require(actor, destination.tenant)
    with transaction.atomic():
        if destination.is_secret and "target" in changes:
            changes |= sealed_urls.another(destination, changes.pop("target"))
        _amend(destination, actor=actor, noun="destination", changes=changes, allowed=_DESTINATION)
    return destination


def rotate_secret(destination: Destination, *, actor: Any) -> Made:
    """Another secret. For a day the one before signs beside it, so that receivers can be told in between."""
    _require(actor, destination.tenant)
    if destination.kind != Destination.Kind.WEBHOOK:
        raise ValidationError("Only webhooks that are signed have a secret.")
    with transaction.atomic():
        stored = Destination.objects.select_for_update().get(pk=destination.pk)
        stored.sealed_before, stored.before_until = stored.sealed, timezone.now() + OVERLAP
        secret = _seal(stored)
        audit.record(actor=actor, action="destination.rotated", target=stored, area=Area.USAGE)
    destination.refresh_from_db()
    return Made(destination, secret)


def set_secret(destination: Destination, *, actor: Any, secret: str) -> None:
    """One that is known to the receiver already. Raises ValidationError, which repeats nothing of it."""
    _require(actor, destination.tenant)
    if destination.kind != Destination.Kind.WEBHOOK:
        raise ValidationError({"secret": "Only webhooks that are signed have a secret."})
    try:
        webhooks.key_of(secret)
    except ValueError as error:
        raise ValidationError({"secret": str(error)}) from None
    with transaction.atomic():
        _seal(destination, secret)
        audit.record(actor=actor, action="destination.secret_set", target=destination, area=Area.USAGE)


def remove_destination(destination: Destination, *, actor: Any) -> None:
    """With what was sent there, and what is on its way."""
    _require(actor, destination.tenant)
    audit.remove(destination, actor=actor, action="destination.removed", area=Area.USAGE)


def create_rule(
    *, actor: Any, tenant: Tenant | None, kind: str, name: str, destinations: Iterable[Destination] = (), **fields: Any
) -> AlertRule:
    """`settings`, `project`, `is_enabled`."""
    _require(actor, tenant)
    rule = AlertRule(tenant=tenant, kind=kind, name=name, **fields)
    with transaction.atomic():
        audit.add(rule, actor=actor, action="alertrule.created", area=Area.USAGE)
        _lead(rule, destinations)
    return rule


def update_rule(
    rule: AlertRule, *, actor: Any, destinations: Iterable[Destination] | None = None, **changes: Any
) -> AlertRule:
    """`name`, `settings`, `project`, `is_enabled`, `destinations`."""
    _require(actor, rule.tenant)
    with transaction.atomic():
        _amend(rule, actor=actor, noun="alertrule", changes=changes, allowed=_RULE)
        if destinations is not None:
            _lead(rule, destinations)
    return rule


def remove_rule(rule: AlertRule, *, actor: Any) -> None:
    """With its history."""
    _require(actor, rule.tenant)
    audit.remove(rule, actor=actor, action="alertrule.removed", area=Area.USAGE)


def may_manage(member: Any, tenant: Tenant | None) -> bool:
    """`tenant` None: what is installation-wide. Staff may what an operator has allowed them in the admin."""
    if member.is_staff and member.has_perm("alerts.change_alertrule"):
        return True
    if member.is_superuser:
        return bool(member.is_active)
    return tenant is not None and may_user(member, tenant, Right.MANAGE_ALERTS)


def rules_of(tenant: Tenant) -> QuerySet[AlertRule]:
    return AlertRule.objects.filter(tenant=tenant).prefetch_related("destinations")


def destinations_of(tenant: Tenant) -> QuerySet[Destination]:
    return Destination.objects.filter(tenant=tenant)


def last_deliveries(destinations: Iterable[Destination]) -> dict[int, Delivery]:
    """The newest of each. One query a destination, along its index."""
    found = {}
    for destination in destinations:
        if (row := destination.deliveries.order_by("-created_at").first()) is not None:
            found[destination.pk] = row
    return found


def alerts_of(tenant: Tenant) -> QuerySet[Alert]:
    """By its own rules, newest first."""
    return Alert.objects.filter(rule__tenant=tenant).select_related("rule").order_by("-pk")


def deliveries_of(alerts: Iterable[Alert]) -> dict[int, list[Delivery]]:
    """By alert. One query."""
    found: dict[int, list[Delivery]] = {}
    rows = Delivery.objects.filter(alert__in=[alert.pk for alert in alerts]).select_related("destination")
    for row in rows.order_by("created_at"):
        found.setdefault(row.alert_id or 0, []).append(row)
    return found


def secrets_of(destination: Destination, *, now: datetime.datetime) -> list[bytes]:
    """What its messages are signed with, the newest first. Raises SecretUnreadable and KeyringUnavailable."""
    sealed = [destination.sealed]
    if destination.sealed_before and destination.before_until is not None and now < destination.before_until:
        sealed.append(destination.sealed_before)
    return [webhooks.key_of(vault.open_one(text, place=destination.place)) for text in sealed if text]


def _seal(destination: Destination, given: str = "") -> str:
    secret = given or webhooks.new_secret()
    destination.sealed = vault.seal(secret, place=destination.place, purpose=Purpose.ALERTS).text
    destination.save(update_fields=["sealed", "sealed_before", "before_until"])
    return secret


def _lead(rule: AlertRule, destinations: Iterable[Destination]) -> None:
    rows = list(destinations)
    if any(row.tenant_id != rule.tenant_id for row in rows):
        raise ValidationError({"destinations": "There is no such destination."})
    rule.destinations.set(rows)


def _amend(row: Any, *, actor: Any, noun: str, changes: dict[str, Any], allowed: frozenset[str]) -> None:
    audit.amend(row, actor=actor, action=f"{noun}.updated", area=Area.USAGE, changes=changes, allowed=allowed)


def _require(actor: Any, tenant: Tenant | None) -> None:
    """None: the system itself, as the commands and the first set-up are."""
    if actor is not None and not may_manage(actor, tenant):
        raise PermissionDenied(f"This takes the right to {Right.MANAGE_ALERTS}.")
