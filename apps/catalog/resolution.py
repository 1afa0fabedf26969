"""What a model comes to with its fallbacks: their deployments behind its own, in tiers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

from msgspec import structs

from apps.catalog.fallback import Fallback
from apps.domain import snapshot

Fallbacks = dict[int, list[tuple[int, int]]]
"""By model: positions and targets, in order."""


def fallbacks() -> Fallbacks:
    """One query."""
    found: Fallbacks = defaultdict(list)
    rows = Fallback.objects.filter(target__is_enabled=True).order_by("position", "pk")
    for model, position, target in rows.values_list("model_id", "position", "target_id"):
        found[model].append((position, target))
    return found


def resolved(
    model: snapshot.Model, models: dict[int, snapshot.Model], fallbacks: Fallbacks, *, served: Collection[int]
) -> snapshot.Model:
    """`models` are those with their own deployments only, by id; of a disabled one there is none. `served`: the ids of
    those that have any, disabled ones too."""
    if not fallbacks.get(model.id):
        return model
    behind = [(tier, models[target]) for tier, target in tiers(model.id, fallbacks) if target in models]
    return structs.replace(
        model,
        deployments=(
            *model.deployments,
            *(_in_tier(tier, deployment, model, own) for tier, own in behind for deployment in own.deployments),
        ),
        stand_ins=tuple(
            snapshot.StandIn(name=own.name, aliases=own.aliases, networks=own.networks)
            for _, own in behind
            if own.deployments
        ),
        is_virtual=model.id not in served,
    )


def tiers(model_id: int, fallbacks: Fallbacks) -> Iterator[tuple[int, int]]:
    """Tiers and models: its fallbacks by their positions, then the fallbacks of these, none twice, however they go in
    circles."""
    met, level, last = {model_id}, [(0, model_id)], 0
    while level:
        following: list[tuple[int, int]] = []
        base = 0
        for _, parent in level:
            for position, target in fallbacks.get(parent, ()):
                if target not in met:
                    met.add(target)
                    following.append((last + base + position, target))
            base = max((tier for tier, _ in following), default=last) - last
        yield from following
        last = max((tier for tier, _ in following), default=last)
        level = following


def _in_tier(
    tier: int, deployment: snapshot.Deployment, model: snapshot.Model, own: snapshot.Model
) -> snapshot.Deployment:
    """With what its own model says of it. It gives no longer answers than `model` allows: so much is reserved."""
    return structs.replace(
        deployment,
        tier=tier,
        model_name=own.name,
        capabilities=own.capabilities if deployment.capabilities is None else deployment.capabilities,
        context_tokens=deployment.context_tokens or own.context_tokens,
        max_output_tokens=min(model.max_output_tokens, own.max_output_tokens),
        tenant_ids=own.tenant_ids,
    )
