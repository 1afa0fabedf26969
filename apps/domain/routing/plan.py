"""The deployments that may serve a call, in the order to try them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from apps.domain import pricing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apps.domain.routing.turns import Rests, Turns
    from apps.domain.snapshot import Credential, Deployment, Model, PriceCard

    Usable = tuple[Deployment, list[Credential]]

MAX_TRIES = 4
_T = TypeVar("_T")


class Try(NamedTuple):
    """One way to serve the call. `card` None: the deployment has no price in force."""

    deployment: Deployment
    credential: Credential
    card: PriceCard | None


def usable(model: Model, *, tenant_id: int) -> list[Usable]:
    """The deployments that a tenant may use, each with its credentials: the tenant's own where it brought one, else
    the shared ones. The same for every call under one snapshot."""
    return [
        (deployment, credentials)
        for deployment in model.deployments
        if (credentials := _credentials(deployment, tenant_id))
    ]


def tries(
    usable: Sequence[Usable],
    *,
    now: int,
    dice: Callable[[], float],
    turns: Turns,
    rests: Rests | None = None,
    prefers: Callable[[Deployment], bool] | None = None,
    priced_only: bool,
) -> list[Try]:
    """At most MAX_TRIES, best first.

    Healthy providers before failing ones, then those that the call `prefers`, then by `priority`; within one, a
    weighted shuffle. A deployment's credentials take turns. What `rests` comes behind all that does not, the soonest
    ready first. `priced_only` leaves out what cannot be charged to a budget. `dice` yields floats in [0, 1); it is not
    thrown where there is no choice.
    """
    if len(usable) > 1:
        usable = shuffled(usable, [deployment.weight for deployment, _ in usable], dice)
        usable.sort(key=lambda found: (not found[0].provider.healthy, found[0].priority))
        if prefers is not None:
            usable.sort(key=lambda found: (not found[0].provider.healthy, not prefers(found[0])))
    chosen: list[Try] = []
    for deployment, credentials in usable:
        card = pricing.card_at(deployment.prices, now)
        if card is None and priced_only:
            continue
        if len(credentials) > 1:
            credentials = turns.order(deployment, credentials, rests)
        chosen += [Try(deployment, credential, card) for credential in credentials]
    if rests is not None:
        chosen.sort(key=lambda one: rests(one.deployment, one.credential))
    return chosen[:MAX_TRIES]


def shuffled(items: Sequence[_T], weights: Sequence[int], dice: Callable[[], float]) -> list[_T]:
    """A random order in which a heavier item tends to come first (Efraimidis and Spirakis, 2006)."""
    keyed = [(-(dice() ** (1 / weight)) if weight > 0 else 1.0, index) for index, weight in enumerate(weights)]
    return [items[index] for _, index in sorted(keyed)]


def _credentials(deployment: Deployment, tenant_id: int) -> list[Credential]:
    own = [credential for credential in deployment.provider.credentials if credential.tenant_id == tenant_id]
    return own or [credential for credential in deployment.provider.credentials if credential.tenant_id is None]
