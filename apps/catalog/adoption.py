"""Taking up models that a provider lists: a model each, its deployment there, and its price where that is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from apps.catalog import addresses, known, services
from apps.catalog.models import Deployment, Model, Provider
from apps.domain.providers import registry
from apps.outbound.listing import Listed

_NOTHING = {"input": 0, "output": 0}


def may_be_free(provider: Provider) -> bool:
    """A server of one's own: of a vendor who wants no key and whose prices nobody knows, in a private network."""
    vendor = registry.vendor(provider.vendor)
    return not (vendor.needs_key or vendor.prices) and addresses.is_private(provider.base_url)


def adopt(
    provider: Provider, *, actor: Any, models: Iterable[Listed], with_prices: bool, is_free: bool = False
) -> list[Deployment]:
    """Those that are deployed there already are passed over. All or none; raises ValidationError, naming the model.

    A model of that name or alias that there is gets a deployment more; another one is made, for every tenant.
    `with_prices`: those that are known, or with `is_free` 0.
    """
    with transaction.atomic():
        deployed = set(provider.deployments.values_list("upstream_model", flat=True))
        return [
            _adopt(provider, actor=actor, listed=listed, with_prices=with_prices, is_free=is_free)
            for listed in models
            if listed.name not in deployed
        ]


def _adopt(provider: Provider, *, actor: Any, listed: Listed, with_prices: bool, is_free: bool) -> Deployment:
    facts = known.model(listed.kind or listed.name, at=registry.vendor(provider.vendor).prices, now=timezone.now())
    try:
        model = named(listed.name) or _create(listed, facts, actor=actor)
        deployment = services.create_deployment(model, actor=actor, provider=provider, upstream_model=listed.name)
    except ValidationError as error:
        raise ValidationError([f"{listed.name}: {message}" for message in error.messages]) from None
    prices = _NOTHING if is_free else facts.prices if facts is not None else None
    if with_prices and prices:
        services.set_price(deployment, actor=actor, **prices)
    return deployment


def named(name: str) -> Model | None:
    """The model that callers get when they ask for `name`."""
    for model in Model.objects.order_by("pk"):
        if name == model.name or name in model.aliases:
            return model
    return None


def _create(listed: Listed, facts: known.Known | None, *, actor: Any) -> Model:
    fields: dict[str, Any] = {"display_name": (listed.label or (facts.label if facts else ""))[:120]}
    context = listed.context_tokens or (facts.context_tokens if facts else None)
    if context:
        fields["context_tokens"] = context
    if listed.max_output_tokens:
        fields["max_output_tokens"] = min(listed.max_output_tokens, context or listed.max_output_tokens)
    abilities = listed.abilities or (("embeddings",) if known.gives_embeddings(listed.kind or listed.name) else ())
    if abilities:
        fields["capabilities"] = list(abilities)
    return services.create_model(actor=actor, name=listed.name, **fields)
