"""Where all calls of one model, tenant and dialect may go under one snapshot: found out once, so that a call's own
decision is short."""

from __future__ import annotations

import math
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from apps.domain.routing import abilities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apps.domain.snapshot import Credential, Deployment, Model, Strategy

    Speaks = Callable[[Deployment], str | None]
    """In which protocol a deployment is asked by the callers in question; None: it cannot serve them."""


class Option(NamedTuple):
    """`key` orders by health, tier and priority; `window` and `most` are tokens of a prompt and of an answer, inf:
    nobody knows, or it is lowered on the way."""

    deployment: Deployment
    credentials: tuple[Credential, ...]
    offers: frozenset[str]
    may_think: bool
    window: float
    most: float
    cap: int
    key: int


class Options(NamedTuple):
    """`groups` are equals, best first; `refused` with why. `is_choosy`: what a call needs can make a difference;
    `weighs`: so can how long its answer is. `least_window` and `least_most` suit all. `is_closed`: all is for
    others. `memo`: what calls alike have found out."""

    model: str
    strategy: Strategy
    ways: tuple[Option, ...]
    groups: tuple[tuple[Option, ...], ...]
    refused: tuple[tuple[Deployment, str], ...]
    is_choosy: bool
    weighs: bool
    has_defaults: bool
    least_window: float
    least_most: float
    is_closed: bool
    memo: dict[Any, Any]


_NOBODY: Mapping[str, str] = MappingProxyType({})
_ASKED = abilities.MUSTS - {"embeddings"}  # who gives none is not among the ways of who wants them
TIER, THOUGHTLESS, FAILING = 17, 16, 40  # the bits of a key: 16 of priority below, 16 of tier above


def options(
    model: Model, *, tenant_id: int, client: str, speaks: Speaks, barred: Mapping[str, str] = _NOBODY
) -> Options:
    """`client`: the callers' protocol; `barred`: the fallbacks that may not answer them, by name, and why."""
    refused: list[tuple[Deployment, str]] = []
    closed = 0
    ways: list[Option] = []
    places = _places(model)
    for deployment in model.deployments:
        protocol = speaks(deployment)
        credentials = _credentials(deployment, tenant_id)
        others = _for_others(deployment, barred, tenant_id=tenant_id)
        closed += bool(others)
        why = others or _unusable(deployment, model, protocol, client=client)
        if why := why or ("" if credentials else "no credential"):
            refused.append((deployment, why))
            continue
        cap = deployment.max_output_tokens or model.max_output_tokens
        ways.append(
            Option(
                deployment=deployment,
                credentials=credentials,
                offers=abilities.offered(deployment, model),
                may_think=abilities.may_think(deployment, model),
                window=(deployment.context_tokens or model.context_tokens) or math.inf,
                most=cap if protocol == client else math.inf,
                cap=cap,
                key=places[deployment.tier, deployment.priority] | (not deployment.provider.healthy) << FAILING,
            )
        )
    ways.sort(key=_key)
    return Options(
        model=model.name,
        strategy=model.strategy,
        ways=tuple(ways),
        groups=tuple(tuple(group) for _, group in groupby(ways, _key)),
        refused=tuple(refused),
        is_choosy=_is_choosy(ways, model.strategy),
        weighs=_weighs(ways, model.strategy),
        has_defaults=any(way.deployment.defaults for way in ways),
        least_window=min((way.window for way in ways), default=math.inf),
        least_most=min((way.most for way in ways), default=math.inf),
        is_closed=0 < closed == len(model.deployments),
        memo={},
    )


def _is_choosy(ways: list[Option], strategy: Strategy) -> bool:
    if any(not way.offers >= _ASKED for way in ways):
        return True
    alike = {(way.may_think, way.window, way.most, way.deployment.defaults) for way in ways}
    return len(alike) > 1 or _weighs(ways, strategy)


def _weighs(ways: list[Option], strategy: Strategy) -> bool:
    return len(ways) > 1 and strategy not in ("priority", "weighted")


def _key(option: Option) -> int:
    return option.key


def _places(model: Model) -> dict[tuple[int, int], int]:
    """By tier and priority, which does not matter where weight alone decides."""
    tiers = sorted({deployment.tier for deployment in model.deployments})
    priorities = sorted({deployment.priority for deployment in model.deployments})
    is_ranked = model.strategy != "weighted"
    return {
        (tier, priority): above << TIER | (below if is_ranked else 0)
        for above, tier in enumerate(tiers)
        for below, priority in enumerate(priorities)
    }


def _for_others(deployment: Deployment, barred: Mapping[str, str], *, tenant_id: int) -> str:
    """Why it is for others only; empty: it is not."""
    if deployment.tenant_ids is not None and tenant_id not in deployment.tenant_ids:
        return "not for this tenant"
    return barred.get(deployment.model_name, "")


def _unusable(deployment: Deployment, model: Model, protocol: str | None, *, client: str) -> str:
    """Why it is; empty: it is not."""
    gives_vectors = "embeddings" in abilities.of(deployment, model)
    if protocol is None or (gives_vectors and client != "openai_embeddings"):
        return "cannot be asked that"
    return ""


def _credentials(deployment: Deployment, tenant_id: int) -> tuple[Credential, ...]:
    """The tenant's own where it brought one, else the shared ones."""
    credentials = deployment.provider.credentials
    own = tuple(credential for credential in credentials if credential.tenant_id == tenant_id)
    return own or tuple(credential for credential in credentials if credential.tenant_id is None)
