"""What a tenant, or one of its keys, may call: the models of `GET /v1/models`, for pages about them.

Addresses are not looked at: where a model may be called from is said beside it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from apps.catalog import selectors as catalog
from apps.domain import pricing
from apps.domain.policies import applying
from apps.policies import reach, selectors

if TYPE_CHECKING:
    from apps.domain.snapshot import DataPolicy, Deployment, Model, PriceCard
    from apps.keys.models import Key


class Place(NamedTuple):
    """Where it may be served. `price` None: it has none."""

    deployment: Deployment
    price: PriceCard | None


class Offer(NamedTuple):
    """`places` in the order of their priority; none: nobody serves it now."""

    model: Model
    places: list[Place]


def offered(tenant_id: int, *, key: Key | None = None) -> list[Offer]:
    """By name. A dozen queries, however many there are."""
    now = int(time.time())
    models = catalog.snapshot_models(now, opens=False)
    held = applying(
        selectors.snapshot_policies(),
        tenant_id=tenant_id,
        project_id=key.project_id if key is not None else 0,
        key_id=key.pk if key is not None else 0,
    )
    names = None if key is None or key.models is None else frozenset(key.models)
    mine = [
        model
        for name, model in sorted(models.items())
        if name == model.name and _is_for(model.tenant_ids, tenant_id) and _is_listed(model.name, model.aliases, names)
    ]
    found = []
    for model in mine:
        barred = {one.name for one in model.stand_ins if not _is_listed(one.name, one.aliases, names)}
        places = [
            Place(one, pricing.card_at(one.prices, now))
            for one in model.deployments
            if _is_for(one.tenant_ids, tenant_id)
            and (model.is_virtual or one.model_name not in barred)
            and _is_allowed(one, held)
        ]
        if places or not model.deployments:
            found.append(Offer(model, places))
    return found


def _is_for(tenants: frozenset[int] | None, tenant_id: int) -> bool:
    return tenants is None or tenant_id in tenants


def _is_listed(name: str, aliases: frozenset[str], names: frozenset[str] | None) -> bool:
    """Any of the names that callers may use stands for it."""
    return names is None or name in names or not aliases.isdisjoint(names)


def _is_allowed(one: Deployment, held: tuple[DataPolicy, ...]) -> bool:
    return not reach.refusal(held, tags=one.provider.tags, region=one.provider.region)
