"""Testing a provider by hand: its list, and calls of one token. What costs something is recorded.

Calls made here are in no ledger: nobody's budget pays for them.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import health, known, vault
from apps.catalog.models import AllowedNetwork, Credential, Provider
from apps.catalog.places import place_of
from apps.domain.providers import registry, speech
from apps.outbound import details
from apps.outbound.asking import Asked, asked
from apps.outbound.listing import Listed
from apps.outbound.probe import ProbeResult
from apps.outbound.trial import TrialResult, trial

STEPS = ("list", "call", "stream")


def credentials_of(provider: Provider) -> list[Credential]:
    """Those that tests are made with: a tenant's own is for that tenant's calls only."""
    usable = provider.credentials.filter(is_enabled=True, tenant=None).exclude(ciphertext="")
    return list(usable.select_related("provider").order_by("pk"))


def ask_list(provider: Provider, *, credential: Credential | None) -> ProbeResult:
    """Costs nothing. Raises SecretUnreadable."""
    return health.check_provider(provider, secret=_secret(credential) if credential is not None else None)


def listed_models(provider: Provider, *, credential: Credential | None, names: set[str]) -> list[Listed]:
    """Those of `names` that are on the list, with all that the provider says of them. Raises SecretUnreadable."""
    models = [listed for listed in ask_list(provider, credential=credential).listed if listed.name in names]
    return details.detailed(_asked(provider, credential=credential, protocol=provider.protocol), models)


def try_model(
    provider: Provider, *, actor: Any, credential: Credential | None, model: str, stream: bool
) -> TrialResult:
    """Costs a token, and is recorded. Raises SecretUnreadable."""
    result = trial(
        _asked(provider, credential=credential, protocol=protocol_for(provider, model=model)),
        model=model,
        stream=stream,
        seconds=min(provider.total_timeout, 60.0),
    )
    with transaction.atomic():
        audit.record(
            actor=actor,
            action="provider.tested",
            target=provider,
            area=Area.CATALOG,
            after={
                "model": model,
                "stream": stream,
                "credential": credential.alias if credential is not None else "",
                "works": result.ok,
                "milliseconds": result.milliseconds,
            },
        )
    return result


def protocol_for(provider: Provider, *, model: str) -> str:
    """In which a model is called there: the deployment's, the model's own, or the provider's."""
    vendor = registry.vendor(provider.vendor)
    if gives_embeddings(provider, model=model) and (embeds := speech.embeds_in(vendor, provider.protocol)):
        return embeds
    own = provider.deployments.filter(upstream_model=model).exclude(protocol="").values_list("protocol", flat=True)
    return own.first() or vendor.protocol_of(model) or provider.protocol


def gives_embeddings(provider: Provider, *, model: str) -> bool:
    """Whether it cannot be chatted with: as the catalog says of what is deployed, else by its name."""
    deployed = provider.deployments.filter(upstream_model=model).values_list("model__capabilities", flat=True).first()
    return known.gives_embeddings(model) if deployed is None else "embeddings" in deployed


def suggested(provider: Provider, *, listed: tuple[str, ...]) -> str:
    """The model to try: one that is deployed, or the cheapest of the list; empty: nobody knows one."""
    deployed = provider.deployments.filter(is_enabled=True).order_by("pk").values_list("upstream_model", flat=True)
    if first := deployed.first():
        return first
    return known.cheapest(list(listed), at=registry.vendor(provider.vendor).prices, now=timezone.now())


def _asked(provider: Provider, *, credential: Credential | None, protocol: str) -> Asked:
    return asked(
        vendor=provider.vendor,
        protocol=protocol,
        base_url=provider.base_url,
        secret=_secret(credential),
        private_networks=AllowedNetwork.objects.cidrs(),
        options=provider.options,
        quirks=None if provider.quirks is None else frozenset(provider.quirks),
    )


def _secret(credential: Credential | None) -> str:
    return "" if credential is None else vault.open_one(credential.ciphertext, place=place_of(credential))
