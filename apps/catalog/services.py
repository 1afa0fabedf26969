"""Changing what can be called and what it costs. Every change is validated and recorded.

Each function raises ValidationError for what cannot be. Who may call them is the caller's to decide.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import vault
from apps.catalog.models import (
    AllowedNetwork,
    Credential,
    Deployment,
    Fallback,
    HealthCheck,
    Model,
    PinnedEndpoint,
    Price,
    Provider,
)
from apps.catalog.places import place_of
from apps.tenants.models import Tenant

_PROVIDER_FIELDS = frozenset(
    {
        "name",
        "vendor",
        "protocol",
        "base_url",
        "is_enabled",
        "on_disconnect",
        "tags",
        "region",
        "max_failures",
        "options",
        "quirks",
    }
    | {"connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout", "check_interval_seconds"}
    | {"recovery_seconds", "check_kind", "check_model"}
)
_CREDENTIAL_FIELDS = frozenset({"alias", "weight", "is_enabled"})
_MODEL_FIELDS = frozenset(
    {"name", "display_name", "aliases", "is_enabled", "max_output_tokens", "context_tokens", "capabilities"}
    | {"strategy", "is_sticky", "networks"}
)
_DEPLOYMENT_FIELDS = frozenset(
    {"upstream_model", "protocol", "priority", "weight", "is_enabled", "capabilities", "defaults", "context_tokens"}
    | {"max_concurrency", "queue_places", "queue_seconds", "hedge_after"}
    | {"connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout"}
    | {"breaker_window", "breaker_size", "breaker_minimum_calls", "breaker_failure_rate", "breaker_slow_rate"}
    | {"breaker_slow_seconds", "breaker_open_seconds", "breaker_half_open_calls"}
)
_ENDPOINT_FIELDS = frozenset({"name", "model", "is_enabled", "hosts", "port", "address", "networks", "cors_origins"})
_CLOCK_GRACE = datetime.timedelta(minutes=1)  # forms know whole minutes
_ERASED = {"ciphertext": "", "last_four": "", "fingerprint": "", "host": ""}
_UNCHECKED = {
    "is_healthy": True,
    "consecutive_failures": 0,
    "last_checked_at": None,
    "last_check_ms": None,
    "last_check_message": "",
    "answering_since": None,
}
_SHOWN_FROM_LENGTH = 12  # of a shorter secret four characters would give too much away


# --- providers and their credentials ---------------------------------------------------------------------------


def create_provider(*, actor: Any, name: str, vendor: str, protocol: str, base_url: str, **fields: Any) -> Provider:
    """`base_url` is public, or lies in a network that was allowed before."""
    provider = Provider(name=name, vendor=vendor, protocol=protocol, base_url=base_url, **fields)
    audit.add(provider, actor=actor, action="provider.created", area=Area.CATALOG)
    return provider


def update_provider(provider: Provider, *, actor: Any, **changes: Any) -> Provider:
    """Another vendor, scheme, host or port erases the credentials: no secret is sent where it was not meant to go.

    It also forgets the health, which was another place's.
    """
    with transaction.atomic():
        before = Provider.objects.select_for_update().get(pk=provider.pk).origin
        audit.amend(
            provider,
            actor=actor,
            action="provider.updated",
            area=Area.CATALOG,
            changes=changes,
            allowed=_PROVIDER_FIELDS,
        )
        if provider.origin != before:
            for name, value in _UNCHECKED.items():
                setattr(provider, name, value)
            provider.save(update_fields=_UNCHECKED)
            HealthCheck.objects.filter(provider=provider).delete()
            for credential in provider.credentials.exclude(ciphertext="").select_for_update():
                _amend_credential(credential, actor=actor, action="credential.erased", changes=_ERASED)
    return provider


def create_credential(
    provider: Provider,
    *,
    actor: Any,
    alias: str,
    secret: str | None = None,
    tenant: Tenant | None = None,
    weight: int = 1,
) -> Credential:
    """`tenant`: whose own it is, for good. `secret` may follow later by `set_secret`."""
    with transaction.atomic():
        credential = Credential(provider=provider, alias=alias, tenant=tenant, weight=weight)
        audit.add(credential, actor=actor, action="credential.created", area=Area.CATALOG)
        if secret is not None:
            set_secret(credential, actor=actor, secret=secret)
    return credential


def set_secret(credential: Credential, *, actor: Any, secret: str) -> None:
    """Seal a new secret for the provider's present address. It can never be read back."""
    secret = secret.strip()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ValidationError({"secret": "A secret is one line of ASCII characters."})
    with transaction.atomic():
        provider = Provider.objects.select_for_update().get(pk=credential.provider_id)
        credential.provider = provider
        sealed = vault.seal(secret, place=place_of(credential))
        changes = {
            "ciphertext": sealed.text,
            "last_four": secret[-4:] if len(secret) >= _SHOWN_FROM_LENGTH else "",
            "fingerprint": sealed.fingerprint,
            "host": provider.host,
            "rotated_at": timezone.now(),
        }
        _amend_credential(credential, actor=actor, action="credential.secret_set", changes=changes)


def update_credential(credential: Credential, *, actor: Any, **changes: Any) -> Credential:
    """`alias`, `weight`, `is_enabled`."""
    audit.amend(
        credential,
        actor=actor,
        action="credential.updated",
        area=Area.CATALOG,
        changes=changes,
        allowed=_CREDENTIAL_FIELDS,
    )
    return credential


def disable_credential(credential: Credential, *, actor: Any) -> None:
    _amend_credential(credential, actor=actor, action="credential.disabled", changes={"is_enabled": False})


def enable_credential(credential: Credential, *, actor: Any) -> None:
    _amend_credential(credential, actor=actor, action="credential.enabled", changes={"is_enabled": True})


def delete_credential(credential: Credential, *, actor: Any) -> None:
    audit.remove(credential, actor=actor, action="credential.deleted", area=Area.CATALOG)


def _amend_credential(credential: Credential, *, actor: Any, action: str, changes: dict[str, Any]) -> None:
    audit.amend(credential, actor=actor, action=action, area=Area.CATALOG, changes=changes)


# --- models and where they are served --------------------------------------------------------------------------


def create_model(*, actor: Any, name: str, tenants: Iterable[Tenant] = (), **fields: Any) -> Model:
    """`tenants` empty: every tenant may use it. Names and aliases are one namespace."""
    with transaction.atomic():
        audit.serialise(Area.CATALOG)
        model = Model(name=name, **fields)
        audit.add(model, actor=actor, action="model.created", area=Area.CATALOG)
        if chosen := list(tenants):
            set_tenants(model, actor=actor, tenants=chosen)
    return model


def update_model(model: Model, *, actor: Any, **changes: Any) -> Model:
    with transaction.atomic():
        audit.serialise(Area.CATALOG)
        audit.amend(
            model, actor=actor, action="model.updated", area=Area.CATALOG, changes=changes, allowed=_MODEL_FIELDS
        )
    return model


def set_tenants(model: Model, *, actor: Any, tenants: Iterable[Tenant]) -> None:
    """Who may use the model; nobody named: everyone."""
    with transaction.atomic():
        before = sorted(model.tenants.order_by("pk").values_list("pk", flat=True))
        after = sorted({tenant.pk for tenant in tenants})
        if before != after:
            model.tenants.set(after)
            audit.record(
                actor=actor,
                action="model.tenants_set",
                target=model,
                area=Area.CATALOG,
                before={"tenants": before},
                after={"tenants": after},
            )


def create_deployment(
    model: Model,
    *,
    actor: Any,
    provider: Provider,
    upstream_model: str,
    **fields: Any,
) -> Deployment:
    deployment = Deployment(model=model, provider=provider, upstream_model=upstream_model, **fields)
    audit.add(deployment, actor=actor, action="deployment.created", area=Area.CATALOG)
    return deployment


def update_deployment(deployment: Deployment, *, actor: Any, **changes: Any) -> Deployment:
    """Its own fields; another model or provider is another deployment."""
    audit.amend(
        deployment,
        actor=actor,
        action="deployment.updated",
        area=Area.CATALOG,
        changes=changes,
        allowed=_DEPLOYMENT_FIELDS,
    )
    return deployment


def reset_breaker(deployment: Deployment, *, actor: Any) -> None:
    """Every gateway process forgets within a second what it has learned of the deployment, and asks it again."""
    audit.amend(
        deployment,
        actor=actor,
        action="deployment.breaker_reset",
        area=Area.CATALOG,
        changes={"breaker_reset_at": timezone.now()},
        allowed=frozenset({"breaker_reset_at"}),
    )


def delete_deployment(deployment: Deployment, *, actor: Any) -> None:
    """Only one that never had a price. Raises ProtectedError for others: disable them."""
    audit.remove(deployment, actor=actor, action="deployment.deleted", area=Area.CATALOG)


def add_fallback(model: Model, *, actor: Any, target: Model, position: int = 1) -> Fallback:
    """Of several with one position the model's strategy chooses."""
    fallback = Fallback(model=model, target=target, position=position)
    audit.add(fallback, actor=actor, action="fallback.created", area=Area.CATALOG)
    return fallback


def move_fallback(fallback: Fallback, *, actor: Any, position: int) -> Fallback:
    audit.amend(fallback, actor=actor, action="fallback.updated", area=Area.CATALOG, changes={"position": position})
    return fallback


def remove_fallback(fallback: Fallback, *, actor: Any) -> None:
    audit.remove(fallback, actor=actor, action="fallback.deleted", area=Area.CATALOG)


# --- endpoints that force a model ------------------------------------------------------------------------------


def create_endpoint(*, actor: Any, name: str, model: Model, **fields: Any) -> PinnedEndpoint:
    """Host names are one namespace across all endpoints."""
    with transaction.atomic():
        audit.serialise(Area.CATALOG)
        endpoint = PinnedEndpoint(name=name, model=model, **fields)
        audit.add(endpoint, actor=actor, action="endpoint.created", area=Area.CATALOG)
    return endpoint


def update_endpoint(endpoint: PinnedEndpoint, *, actor: Any, **changes: Any) -> PinnedEndpoint:
    """What it was called stays its own."""
    if others := set(changes) - _ENDPOINT_FIELDS:
        raise TypeError(f"not changed here: {', '.join(sorted(others))}")
    with transaction.atomic():
        audit.serialise(Area.CATALOG)
        if "name" in changes:
            changes["former_names"] = _former_names(endpoint.pk, now=changes["name"])
        audit.amend(endpoint, actor=actor, action="endpoint.updated", area=Area.CATALOG, changes=changes)
    return endpoint


def _former_names(endpoint_id: int, *, now: str) -> list[str]:
    stored = PinnedEndpoint.objects.get(pk=endpoint_id)
    return sorted({*stored.former_names, stored.name} - {now})


# --- prices ----------------------------------------------------------------------------------------------------


def set_price(
    deployment: Deployment,
    *,
    actor: Any,
    effective_from: datetime.datetime | None = None,
    input: int,
    output: int,
    cache_read: int | None = None,
    cache_write_5m: int | None = None,
    cache_write_1h: int | None = None,
    is_correction: bool = False,
) -> Price:
    """A price from a moment on, now by default; nano-USD per million tokens. What is left out costs as `input`.

    Prices in force are never edited. One that begins in the past is the deployment's first, or a correction, entered
    late or in the place of one that was wrong: it is in force from its moment to the next price's, and `manage.py
    reprice` books what that changes of calls that have been billed.
    """
    now = timezone.now()
    moment = effective_from or now
    with transaction.atomic():
        Deployment.objects.select_for_update().get(pk=deployment.pk)
        others = deployment.prices.all()
        if is_correction:
            moment = _last_within_second(others, moment)
        if not is_correction and moment < now - _CLOCK_GRACE and others.exists():
            raise ValidationError({"effective_from": "A new price begins now or later, unless it is a correction."})
        if not is_correction and others.filter(effective_from=moment).exists():
            raise ValidationError({"effective_from": "A price of this moment exists; another one is a correction."})
        price = Price(
            deployment=deployment,
            effective_from=moment,
            input=input,
            output=output,
            cache_read=input if cache_read is None else cache_read,
            cache_write_5m=input if cache_write_5m is None else cache_write_5m,
            cache_write_1h=input if cache_write_1h is None else cache_write_1h,
        )
        action = "price.corrected" if is_correction else "price.set"
        audit.add(price, actor=actor, action=action, area=Area.CATALOG)
    return price


def _last_within_second(prices: QuerySet[Price], moment: datetime.datetime) -> datetime.datetime:
    """Forms and cards know whole seconds: what takes a price's place begins no sooner than it, or would not have it."""
    second = moment.replace(microsecond=0)
    within = prices.filter(effective_from__gte=second, effective_from__lt=second + datetime.timedelta(seconds=1))
    last: datetime.datetime | None = within.aggregate(last=Max("effective_from"))["last"]
    return moment if last is None else max(moment, last)


def withdraw_price(price: Price, *, actor: Any) -> None:
    """Take back a price that is not in force yet."""
    with transaction.atomic():
        stored = Price.objects.select_for_update().get(pk=price.pk)
        if stored.effective_from <= timezone.now():
            raise ValidationError("A price that has been in force stays; set a new one.")
        audit.remove(stored, actor=actor, action="price.withdrawn", area=Area.CATALOG)


# --- networks --------------------------------------------------------------------------------------------------


def allow_network(*, actor: Any, cidr: str, note: str = "") -> AllowedNetwork:
    """Open a private range to providers' addresses."""
    network = AllowedNetwork(cidr=cidr, note=note)
    audit.add(network, actor=actor, action="network.allowed", area=Area.CATALOG)
    return network


def annotate_network(network: AllowedNetwork, *, actor: Any, note: str) -> None:
    """Another range is another row."""
    audit.amend(network, actor=actor, action="network.updated", area=Area.CATALOG, changes={"note": note})


def forbid_network(network: AllowedNetwork, *, actor: Any) -> None:
    """Providers in the range can no longer be called; they stay configured."""
    audit.remove(network, actor=actor, action="network.forbidden", area=Area.CATALOG)
