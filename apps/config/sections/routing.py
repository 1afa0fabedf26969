"""Networks, providers with their credentials, models with their deployments and prices, pinned endpoints."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone

from apps.catalog import services
from apps.catalog.models import (
    PRICES,
    AllowedNetwork,
    Credential,
    Deployment,
    Fallback,
    Model,
    PinnedEndpoint,
    Price,
    Provider,
)
from apps.config.fields import Dollars, Moment, Named, Number, SeveralNamed, Texts, Words, count, flag, text
from apps.config.kinds import Kind, Values
from apps.config.secrets import Secret, Source
from apps.config.sections.people import tenant

TIMEOUTS = ("connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout")


def provider() -> Named:
    return Named("provider", lambda name: Provider.objects.filter(name=name).first(), lambda row: row.name)


def model(*, optional: bool = False) -> Named:
    return Named("model", lambda name: Model.objects.filter(name=name).first(), lambda row: row.name, optional=optional)


def endpoint(*, optional: bool = False) -> Named:
    def found(name: str) -> PinnedEndpoint | None:
        return PinnedEndpoint.objects.filter(name=name).first()

    return Named("pinned endpoint", found, lambda row: row.name, optional=optional)


class Networks(Kind):
    """Ranges that providers may lie in."""

    title, noun, key = "networks", "network", ("cidr",)
    fields = {"cidr": text(), "note": text()}

    def rows(self, parent: Any) -> Iterable[AllowedNetwork]:
        return AllowedNetwork.objects.order_by("cidr")

    def create(self, parent: Any, values: Values, *, actor: Any) -> AllowedNetwork:
        return services.allow_network(actor=actor, **values)

    def update(self, row: AllowedNetwork, changes: Values, *, actor: Any) -> None:
        services.annotate_network(row, actor=actor, **changes)

    def prune(self, row: AllowedNetwork, *, actor: Any) -> str:
        services.forbid_network(row, actor=actor)
        return "removed"


class Credentials(Kind):
    title, noun, key, above = "credentials", "credential", ("alias",), "provider"

    def __init__(self, source: Source) -> None:
        self.fields = {
            **{"alias": text(), "tenant": tenant(optional=True), "weight": count(), "is_enabled": flag()},
            "secret": Secret(source),
        }
        super().__init__()

    def all_rows(self) -> QuerySet[Credential]:
        return Credential.objects.select_related("provider", "tenant").order_by("alias")

    def create(self, parent: Provider, values: Values, *, actor: Any) -> Credential:
        is_enabled = values.pop("is_enabled", True)
        made = services.create_credential(parent, actor=actor, **values)
        if not is_enabled:
            services.disable_credential(made, actor=actor)
        return made

    def update(self, row: Credential, changes: Values, *, actor: Any) -> None:
        secret = changes.pop("secret", None)
        if "tenant" in changes:
            raise ValidationError({"tenant": "Whose own it is stays: name another credential."})
        if changes:
            services.update_credential(row, actor=actor, **changes)
        if secret is not None:
            services.set_secret(row, actor=actor, secret=secret)

    def prune(self, row: Credential, *, actor: Any) -> str:
        services.delete_credential(row, actor=actor)
        return "removed"


class Providers(Kind):
    title, noun, key = "providers", "provider", ("name",)
    fields = {
        **{"name": text(), "vendor": text(), "protocol": text(), "base_url": text(), "is_enabled": flag()},
        **{"on_disconnect": text(), **{name: Number() for name in TIMEOUTS}},
        **{"tags": Words(), "region": text(), "options": Texts(), "quirks": Words(optional=True)},
        **{"check_interval_seconds": count(), "max_failures": count(), "recovery_seconds": count()},
        **{"check_kind": text(), "check_model": text()},
    }

    def __init__(self, source: Source) -> None:
        self.children = (Credentials(source),)
        super().__init__()

    def late(self, name: str) -> bool:
        """The model by which it is checked must be deployed."""
        return name in ("check_kind", "check_model")

    def rows(self, parent: Any) -> Iterable[Provider]:
        return Provider.objects.order_by("name")

    def create(self, parent: Any, values: Values, *, actor: Any) -> Provider:
        needed = {"vendor": "", "protocol": "", "base_url": ""}
        return services.create_provider(actor=actor, **(needed | values))

    def update(self, row: Provider, changes: Values, *, actor: Any) -> None:
        services.update_provider(row, actor=actor, **changes)

    def prune(self, row: Provider, *, actor: Any) -> str:
        if not row.is_enabled:
            return ""
        services.update_provider(row, actor=actor, is_enabled=False)
        return "disabled"


class Prices(Kind):
    """Of each moment the price in force. None is ever changed: other amounts of a moment are a correction of it."""

    title, noun, key, above = "prices", "price", ("from",), "deployment"
    fields = {"from": Moment(), **{name: Dollars() for name in PRICES}}

    def __init__(self) -> None:
        self.fields["from"].name = "effective_from"
        super().__init__()

    def all_rows(self) -> QuerySet[Price]:
        found = Price.objects.select_related("deployment__model", "deployment__provider")
        return found.order_by("effective_from", "pk")

    def in_order(self, rows: QuerySet[Price]) -> Iterable[Price]:
        """Of those that begin at one moment the last."""
        latest = {(row.deployment_id, row.effective_from): row for row in rows}
        return latest.values()

    def create(self, parent: Deployment, values: Values, *, actor: Any) -> Price:
        return _set(parent, values, actor=actor)

    def update(self, row: Price, changes: Values, *, actor: Any) -> None:
        amounts = {name: getattr(row, name) for name in PRICES} | changes
        if row.effective_from > timezone.now():
            services.withdraw_price(row, actor=actor)
        _set(row.deployment, {"from": row.effective_from, **amounts}, actor=actor)

    def prune(self, row: Price, *, actor: Any) -> str:
        if row.effective_from <= timezone.now():
            return ""
        services.withdraw_price(row, actor=actor)
        return "withdrawn"


def _set(deployment: Deployment, values: Values, *, actor: Any) -> Price:
    """The first may begin whenever it did; others that begin in the past correct it."""
    moment: datetime.datetime = values.pop("from")
    missing = [name for name in ("input", "output") if name not in values]
    if missing:
        raise ValidationError({missing[0]: "A price needs it."})
    is_past = moment <= timezone.now() and deployment.prices.exists()
    return services.set_price(deployment, actor=actor, effective_from=moment, is_correction=is_past, **values)


class Deployments(Kind):
    title, noun, key, above = "deployments", "deployment", ("provider", "upstream_model"), "model"
    fields = {
        **{"provider": provider(), "upstream_model": text(), "protocol": text(), "is_enabled": flag()},
        **{"priority": count(), "weight": count(), "capabilities": Words(optional=True), "defaults": Words()},
        **{"context_tokens": count(optional=True), "max_concurrency": count(optional=True)},
        **{"queue_places": count(), "queue_seconds": Number()},
        **{name: Number(optional=True) for name in (*TIMEOUTS, "hedge_after")},
        **{"breaker_window": text(), "breaker_size": count(), "breaker_minimum_calls": count()},
        **{"breaker_failure_rate": count(), "breaker_slow_rate": count(), "breaker_slow_seconds": Number()},
        **{"breaker_open_seconds": Number(), "breaker_half_open_calls": count()},
    }
    children = (Prices(),)

    def all_rows(self) -> QuerySet[Deployment]:
        found = Deployment.objects.select_related("model", "provider")
        return found.order_by("provider__name", "upstream_model")

    def create(self, parent: Model, values: Values, *, actor: Any) -> Deployment:
        return services.create_deployment(parent, actor=actor, **values)

    def update(self, row: Deployment, changes: Values, *, actor: Any) -> None:
        services.update_deployment(row, actor=actor, **changes)

    def prune(self, row: Deployment, *, actor: Any) -> str:
        if not row.is_enabled:
            return ""
        services.update_deployment(row, actor=actor, is_enabled=False)
        return "disabled"


class Fallbacks(Kind):
    title, noun, key, above, is_late = "fallbacks", "fallback", ("target",), "model", True
    fields = {"target": model(), "position": count()}

    def all_rows(self) -> QuerySet[Fallback]:
        return Fallback.objects.select_related("model", "target").order_by("position", "target__name")

    def create(self, parent: Model, values: Values, *, actor: Any) -> Fallback:
        return services.add_fallback(parent, actor=actor, **values)

    def update(self, row: Fallback, changes: Values, *, actor: Any) -> None:
        services.move_fallback(row, actor=actor, **changes)

    def prune(self, row: Fallback, *, actor: Any) -> str:
        services.remove_fallback(row, actor=actor)
        return "removed"


class Models(Kind):
    title, noun, key = "models", "model", ("name",)
    fields = {
        **{"name": text(), "display_name": text(), "aliases": Words(), "is_enabled": flag()},
        **{"context_tokens": count(), "max_output_tokens": count(), "capabilities": Words()},
        **{"tenants": SeveralNamed(tenant()), "networks": Words(optional=True), "strategy": text()},
        "is_sticky": flag(),
    }
    children = (Deployments(), Fallbacks())

    def late(self, name: str) -> bool:
        """An alias may move from one model to another: whoever gives it up does so first."""
        return name == "aliases"

    def early(self, row: Model, values: Values) -> Values:
        kept = [alias for alias in row.aliases if alias in values.get("aliases", row.aliases)]
        return {"aliases": kept} if kept != row.aliases else {}

    def rows(self, parent: Any) -> Iterable[Model]:
        return Model.objects.prefetch_related("tenants").order_by("name")

    def create(self, parent: Any, values: Values, *, actor: Any) -> Model:
        return services.create_model(actor=actor, **values)

    def update(self, row: Model, changes: Values, *, actor: Any) -> None:
        tenants = changes.pop("tenants", None)
        if changes:
            services.update_model(row, actor=actor, **changes)
        if tenants is not None:
            services.set_tenants(row, actor=actor, tenants=tenants)
            row._prefetched_objects_cache = {}  # type: ignore[attr-defined]  # they are other ones now

    def prune(self, row: Model, *, actor: Any) -> str:
        if not row.is_enabled:
            return ""
        services.update_model(row, actor=actor, is_enabled=False)
        return "disabled"


class Endpoints(Kind):
    title, noun, key = "endpoints", "pinned endpoint", ("name",)
    fields = {
        **{"name": text(), "model": model(), "is_enabled": flag(), "hosts": Words(), "port": count(optional=True)},
        **{"address": text(), "networks": Words(optional=True), "cors_origins": Words(optional=True)},
    }

    def __init__(self) -> None:
        self.fields["address"].optional = True
        super().__init__()

    def rows(self, parent: Any) -> Iterable[PinnedEndpoint]:
        return PinnedEndpoint.objects.select_related("model").order_by("name")

    def create(self, parent: Any, values: Values, *, actor: Any) -> PinnedEndpoint:
        if "model" not in values:
            raise ValidationError({"model": "Say which model it is pinned to."})
        return services.create_endpoint(actor=actor, **values)

    def update(self, row: PinnedEndpoint, changes: Values, *, actor: Any) -> None:
        services.update_endpoint(row, actor=actor, **changes)

    def prune(self, row: PinnedEndpoint, *, actor: Any) -> str:
        if not row.is_enabled:
            return ""
        services.update_endpoint(row, actor=actor, is_enabled=False)
        return "disabled"
