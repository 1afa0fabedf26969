"""Testing a provider by hand: its list, and calls of one token. What costs something is recorded.

Calls made here are in no ledger: nobody's budget pays for them.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.catalog import health, known
from apps.catalog.models import AllowedNetwork, CheckKind, Credential, Provider
from apps.catalog.questions import REFUSED, Question, ask, asked_of, open_secret, protocol_for
from apps.domain.providers import registry
from apps.outbound import details
from apps.outbound.asking import Asked
from apps.outbound.listing import Listed
from apps.outbound.probe import ProbeResult
from apps.outbound.trial import TrialResult, trial

STEPS = ("list", "call", "stream")


def credentials_of(provider: Provider) -> list[Credential]:
    """Those that tests are made with: a tenant's own is for that tenant's calls only."""
    usable = provider.credentials.filter(is_enabled=True, tenant=None).exclude(ciphertext="")
    return list(usable.select_related("provider").order_by("pk"))


def ask_list(provider: Provider, *, credential: Credential | None) -> ProbeResult:
    """Costs nothing. Where this is what its checks ask, it is one of them. Raises SecretUnreadable.

    That one credential is refused says nothing of the provider.
    """
    began = timezone.now()
    asked = Question(
        provider,
        kind=CheckKind.MODELS,
        secrets=(open_secret(credential),) if credential is not None else (),
        networks=AllowedNetwork.objects.cidrs(),
    )
    found = ask(asked)
    is_refused = credential is not None and found.result.status in REFUSED
    if provider.check_kind == CheckKind.MODELS and not is_refused:
        health.remember(provider, found=found, began=began)
    return found.result


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
    told = {
        "model": model,
        "stream": stream,
        "credential": credential.alias if credential is not None else "",
        "works": result.ok,
        "milliseconds": result.milliseconds,
    }
    health.record_tested(provider, actor=actor, told=told)
    return result


def suggested(provider: Provider, *, listed: tuple[str, ...]) -> str:
    """The model to try: one that is deployed, or the cheapest of the list; empty: nobody knows one."""
    deployed = provider.deployments.filter(is_enabled=True).order_by("pk").values_list("upstream_model", flat=True)
    if first := deployed.first():
        return first
    return known.cheapest(list(listed), at=registry.vendor(provider.vendor).prices, now=timezone.now())


def _asked(provider: Provider, *, credential: Credential | None, protocol: str) -> Asked:
    networks = AllowedNetwork.objects.cidrs()
    return asked_of(provider, secret=open_secret(credential), protocol=protocol, networks=networks)
