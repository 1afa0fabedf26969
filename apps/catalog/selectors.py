"""The catalog as the data plane sees it."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Collection
from typing import Any, get_args

import structlog
from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone
from msgspec import structs

from apps.catalog import resolution, vault
from apps.catalog.models import PRICES, AllowedNetwork, Credential, Deployment, Model, PinnedEndpoint, Price
from apps.catalog.models import Provider as ProviderRow
from apps.catalog.places import place_of
from apps.domain import snapshot
from apps.domain.providers import registry as vendors

log = structlog.get_logger(__name__)

_strategies: dict[str, snapshot.Strategy] = {name: name for name in get_args(snapshot.Strategy)}
NO_KEY = "no key"  # on the row of a call to who needs none


def private_networks() -> tuple[str, ...]:
    """CIDRs that providers' addresses may lie in, from the catalog and from the settings. One query."""
    return AllowedNetwork.objects.cidrs()


def snapshot_models(now: int, *, opens: bool = True) -> dict[str, snapshot.Model]:
    """Every enabled model under its name and its aliases, with secrets opened; eight queries whatever the size. Where
    `opens` is False secrets stay sealed, and nobody can be asked with what stands for them.

    `now` (unix seconds) decides which prices have passed. A credential that does not open is left out and logged.
    """
    deployments = _deployments(_providers(opens=opens), _price_cards(now))
    tenants = _tenants()
    rows = list(Model.objects.filter(is_enabled=True).order_by("pk"))
    models = {row.pk: _model(row, deployments.get(row.pk, []), tenants.get(row.pk)) for row in rows}
    fallbacks = resolution.fallbacks()
    served = set(Deployment.objects.filter(model__in=fallbacks).order_by().values_list("model_id", flat=True))
    found: dict[str, snapshot.Model] = {}
    for row in rows:
        model = resolution.resolved(models[row.pk], models, fallbacks, served=served)
        for name in (row.name, *row.aliases):
            found.setdefault(name, model)
    return found


def stand_ins(model: Model) -> list[Deployment]:
    """Its enabled deployments and then those of its fallbacks, in the order of their `tier`, which each is given. Two
    queries."""
    tiers = {model.pk: 0} | {target: tier for tier, target in resolution.tiers(model.pk, resolution.fallbacks())}
    rows = Deployment.objects.filter(model__in=tiers, is_enabled=True, provider__is_enabled=True)
    found = list(rows.select_related("model", "provider"))
    for row in found:
        row.tier = tiers[row.model_id]
    return sorted(found, key=lambda row: (row.tier, row.priority, row.pk))


def unpriced(model: Model) -> QuerySet[Deployment]:
    """Its enabled deployments that no price is in force for."""
    prices = Price.objects.filter(deployment=OuterRef("pk"), effective_from__lte=timezone.now())
    rows = model.deployments.filter(~Exists(prices), is_enabled=True)
    return rows.select_related("model", "provider").order_by("pk")


def snapshot_endpoints() -> snapshot.PinnedEndpoints:
    """The enabled pinned endpoints. One query."""
    rows = PinnedEndpoint.objects.filter(is_enabled=True).select_related("model").order_by("pk")
    found = [_endpoint(row) for row in rows]
    return snapshot.PinnedEndpoints(
        by_name={endpoint.name: endpoint for endpoint in found},
        by_host={host.encode(): endpoint for endpoint in found for host in endpoint.hosts},
        by_port={endpoint.port: endpoint for endpoint in found if endpoint.port is not None},
        addresses={endpoint.port: endpoint.address for endpoint in found if endpoint.port is not None},
    )


def _endpoint(row: PinnedEndpoint) -> snapshot.PinnedEndpoint:
    return snapshot.PinnedEndpoint(
        id=row.pk,
        name=row.name,
        former_names=tuple(row.former_names),
        model=row.model.name,
        hosts=tuple(row.hosts),
        port=row.port,
        address=row.address or "",
        networks=None if row.networks is None else tuple(row.networks),
        cors_origins=None if row.cors_origins is None else frozenset(row.cors_origins),
    )


def pinned_names() -> dict[str, str]:
    """What pinned endpoints are called, disabled ones too, by all that they are or have been called; in order."""
    rows = PinnedEndpoint.objects.order_by("name").values_list("name", "former_names")
    return {known: name for name, former in rows for known in (name, *former)}


def models_of_tenant(tenant_id: int) -> QuerySet[Model]:
    """The models that are a tenant's to use, disabled ones among them."""
    return Model.objects.filter(Q(tenants=None) | Q(tenants=tenant_id)).distinct()


def names_for(tenant_id: int) -> list[str]:
    """Of the enabled models that are a tenant's to use, in order. One query."""
    return sorted(models_of_tenant(tenant_id).filter(is_enabled=True).values_list("name", flat=True))


def choices_for(tenant_id: int) -> list[tuple[int, str]]:
    """The models that are a tenant's to use, disabled ones too, by name. One query."""
    return sorted(models_of_tenant(tenant_id).values_list("pk", "name"), key=lambda row: row[1])


def providers_for(tenant_id: int) -> list[tuple[int, str]]:
    """The providers of those models, by name. One query."""
    found = Deployment.objects.filter(model__in=models_of_tenant(tenant_id).order_by().values("pk"))
    return sorted(set(found.order_by().values_list("provider", "provider__name")), key=lambda row: row[1])


def aliases_of(tenant_id: int) -> frozenset[str]:
    """What the tenant's own credentials are called. One query."""
    return frozenset(Credential.objects.filter(tenant=tenant_id).values_list("alias", flat=True))


def providers_overview() -> list[dict[str, Any]]:
    """Every provider with its health and how many usable credentials and deployments it has, by name. One query."""
    usable = Q(credentials__is_enabled=True) & ~Q(credentials__ciphertext="")
    now = timezone.now()
    rows = ProviderRow.objects.order_by("name").annotate(
        usable_credentials=Count("credentials", filter=usable, distinct=True),
        enabled_deployments=Count("deployments", filter=Q(deployments__is_enabled=True), distinct=True),
    )
    return [
        {
            "name": row.name,
            "vendor": row.vendor,
            "protocol": row.protocol,
            "base_url": row.base_url,
            "enabled": row.is_enabled,
            "health": row.health.value if row.is_enabled else "disabled",
            "last_checked_at": row.last_checked_at,
            "last_check_ms": row.last_check_ms,
            "last_check_message": row.last_check_message,
            "consecutive_failures": row.consecutive_failures,
            "check_kind": row.check_kind,
            "answering_since": row.answering_since,
            "overdue": row.is_overdue(now),
            "credentials": row.usable_credentials,
            "deployments": row.enabled_deployments,
        }
        for row in rows
    ]


def routing_overview() -> list[dict[str, Any]]:
    """Every enabled model with its deployments in the order in which they are tried. Two queries."""
    deployments = Deployment.objects.select_related("provider").order_by("priority", "pk")
    models = Model.objects.filter(is_enabled=True).order_by("name")
    return [
        {
            "name": model.name,
            "aliases": model.aliases,
            "capabilities": model.capabilities,
            "deployments": [
                {
                    "provider": row.provider.name,
                    "upstream_model": row.upstream_model,
                    "priority": row.priority,
                    "weight": row.weight,
                    "enabled": row.is_enabled and row.provider.is_enabled,
                }
                for row in model.deployments.all()
            ],
        }
        for model in models.prefetch_related(Prefetch("deployments", deployments))
    ]


def endpoints_overview() -> list[dict[str, Any]]:
    """Every enabled pinned endpoint with the ways that lead to it, by name. One query."""
    return [
        {
            "name": row.name,
            "model": row.model.name,
            "hosts": row.hosts,
            "port": row.port,
            "address": row.address,
            "networks": row.networks,
        }
        for row in PinnedEndpoint.objects.filter(is_enabled=True).select_related("model")
    ]


def _model(row: Model, deployments: list[snapshot.Deployment], tenants: frozenset[int] | None) -> snapshot.Model:
    return snapshot.Model(
        id=row.pk,
        name=row.name,
        aliases=frozenset(row.aliases),
        display_name=row.display_name or row.name,
        deployments=tuple(deployments),
        max_output_tokens=row.max_output_tokens,
        context_tokens=row.context_tokens,
        capabilities=frozenset(row.capabilities),
        created=int(row.created_at.timestamp()),
        tenant_ids=tenants,
        networks=None if row.networks is None else tuple(row.networks),
        strategy=_strategies.get(row.strategy, "priority"),
        sticky=row.is_sticky,
    )


def _deployments(
    providers: dict[int, snapshot.Provider], cards: dict[int, list[snapshot.PriceCard]]
) -> dict[int, list[snapshot.Deployment]]:
    """By model, in the order of priority."""
    found: dict[int, list[snapshot.Deployment]] = defaultdict(list)
    rows = Deployment.objects.filter(is_enabled=True, model__is_enabled=True, provider__is_enabled=True)
    for row in rows.order_by("priority", "pk"):
        if row.provider_id in providers:  # one that was enabled between the queries comes with the next snapshot
            found[row.model_id].append(_deployment(row, providers[row.provider_id], tuple(cards.get(row.pk, ()))))
    return found


def _deployment(
    row: Deployment, provider: snapshot.Provider, prices: tuple[snapshot.PriceCard, ...]
) -> snapshot.Deployment:
    return snapshot.Deployment(
        id=row.pk,
        provider=provider,
        upstream_model=row.upstream_model,
        protocol=row.protocol,
        prices=prices,
        priority=row.priority,
        weight=row.weight,
        capabilities=None if row.capabilities is None else frozenset(row.capabilities),
        defaults=frozenset(row.defaults),
        context_tokens=row.context_tokens,
        max_concurrency=row.max_concurrency,
        queue=snapshot.Queue(places=row.queue_places, seconds=row.queue_seconds),
        breaker=_breaker(row),
        timeouts=_timeouts(row, provider.timeouts),
        hedge_after=row.hedge_after,
        version=row.breaker_reset_at.timestamp() if row.breaker_reset_at is not None else 0.0,
    )


def _breaker(row: Deployment) -> snapshot.Breaker:
    return snapshot.Breaker(
        window="count" if row.breaker_window == "count" else "time",
        size=row.breaker_size,
        minimum_calls=row.breaker_minimum_calls,
        failure_rate=row.breaker_failure_rate,
        slow_rate=row.breaker_slow_rate,
        slow_seconds=row.breaker_slow_seconds,
        open_seconds=row.breaker_open_seconds,
        half_open_calls=row.breaker_half_open_calls,
    )


def _timeouts(row: Deployment, provider: snapshot.Timeouts) -> snapshot.Timeouts | None:
    """Its own where it has one, else its provider's; None: it has none of its own."""
    own = {
        phase: seconds
        for phase in ("connect", "first_byte", "idle", "total")
        if (seconds := getattr(row, f"{phase}_timeout")) is not None
    }
    return structs.replace(provider, **own) if own else None


def _providers(*, opens: bool) -> dict[int, snapshot.Provider]:
    credentials = _credentials() if opens else _sealed()
    everybodys = Credential.objects.filter(provider=OuterRef("pk"), tenant=None)
    rows = ProviderRow.objects.filter(is_enabled=True).annotate(is_keyed=Exists(everybodys))
    return {
        row.pk: snapshot.Provider(
            id=row.pk,
            name=row.name,
            vendor=row.vendor,
            protocol=row.protocol,
            base_url=row.base_url,
            host=row.host,
            credentials=(*credentials.get(row.pk, ()), *(() if row.is_keyed else _keyless(row))),
            timeouts=timeouts_of(row),
            on_disconnect="drain" if row.on_disconnect == "drain" else "cancel",
            options=row.options,
            quirks=None if row.quirks is None else frozenset(row.quirks),
            tags=frozenset(row.tags),
            region=row.region,
            healthy=row.is_healthy,
        )
        for row in rows
    }


def timeouts_of(row: ProviderRow) -> snapshot.Timeouts:
    return snapshot.Timeouts(
        connect=row.connect_timeout,
        first_byte=row.first_byte_timeout,
        idle=row.idle_timeout,
        total=row.total_timeout,
    )


def _credentials() -> dict[int, list[snapshot.Credential]]:
    """By provider."""
    usable = Credential.objects.filter(is_enabled=True, provider__is_enabled=True).exclude(ciphertext="")
    opened = _opened(usable)
    if any(plaintext is None for _, plaintext in opened):  # perhaps sealed anew since its row was read: read again
        opened = _opened(usable)
    found: dict[int, list[snapshot.Credential]] = defaultdict(list)
    for row, plaintext in opened:
        if plaintext is None:
            log.error("catalog.credential_unreadable", credential=row.pk, provider=row.provider.name)
            continue
        found[row.provider_id].append(_credential(row, snapshot.Secret(plaintext, host=row.provider.host)))
    return found


def _sealed() -> dict[int, list[snapshot.Credential]]:
    """By provider, whether they would open or not."""
    found: dict[int, list[snapshot.Credential]] = defaultdict(list)
    usable = Credential.objects.filter(is_enabled=True, provider__is_enabled=True).exclude(ciphertext="")
    for row in usable.order_by("pk"):
        found[row.provider_id].append(_credential(row, snapshot.Secret("", host="")))
    return found


def _credential(row: Credential, secret: snapshot.Secret) -> snapshot.Credential:
    return snapshot.Credential(
        id=row.pk,
        alias=row.alias,
        secret=secret,
        weight=row.weight,
        tenant_id=row.tenant_id,
        version=row.rotated_at.timestamp() if row.rotated_at is not None else 0.0,
    )


def _keyless(row: ProviderRow) -> tuple[snapshot.Credential, ...]:
    """What stands for the credential of a provider that was given none, not even a disabled one, and needs none. No
    row has its id."""
    vendor = vendors.VENDORS.get(row.vendor)
    if vendor is None or vendor.needs_key:
        return ()
    return (snapshot.Credential(id=-row.pk, alias=NO_KEY, secret=snapshot.Secret("", host=row.host)),)


def _opened(rows: QuerySet[Credential]) -> list[tuple[Credential, str | None]]:
    read = list(rows.select_related("provider").order_by("pk"))
    return list(zip(read, vault.open_all([(row.ciphertext, place_of(row)) for row in read]), strict=True))


def _price_cards(now: int) -> dict[int, list[snapshot.PriceCard]]:
    """By deployment: the card in force and those to come. History stays in the database."""
    moment = datetime.datetime.fromtimestamp(now, tz=datetime.UTC)
    later = Price.objects.filter(
        Q(effective_from__gt=OuterRef("effective_from"), effective_from__lte=moment)
        | Q(effective_from=OuterRef("effective_from"), pk__gt=OuterRef("pk")),
        deployment=OuterRef("deployment"),
    )
    return _cards(Price.objects.filter(~Exists(later), deployment__is_enabled=True))


def price_history(deployments: Collection[int]) -> dict[int, list[snapshot.PriceCard]]:
    """By deployment, all its cards in the order in which the later one holds; see `pricing.card_at`."""
    return _cards(Price.objects.filter(deployment__in=deployments))


def price_card(version: int) -> snapshot.PriceCard | None:
    found = _cards(Price.objects.filter(pk=version))
    return next((card for cards in found.values() for card in cards), None)


def _cards(rows: QuerySet[Price]) -> dict[int, list[snapshot.PriceCard]]:
    found: dict[int, list[snapshot.PriceCard]] = defaultdict(list)
    ordered = rows.order_by("deployment", "effective_from", "pk")
    for pk, deployment, effective_from, *amounts in ordered.values_list("pk", "deployment", "effective_from", *PRICES):
        terms: dict[str, Any] = dict(zip(PRICES, amounts, strict=True))
        card = snapshot.PriceCard(version=pk, effective_from=int(effective_from.timestamp()), **terms)
        found[deployment].append(card)
    return found


def _tenants() -> dict[int, frozenset[int]]:
    """By model; a model that is everyone's has no entry."""
    found: dict[int, set[int]] = defaultdict(set)
    for model, tenant in Model.tenants.through.objects.values_list("model_id", "tenant_id"):
        found[model].add(tenant)
    return {model: frozenset(tenants) for model, tenants in found.items()}
