"""What a provider is asked to see whether it is up, put together with the database and asked without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.utils import timezone
from msgspec import structs

from apps.catalog import known, selectors, vault
from apps.catalog.models import AllowedNetwork, CheckKind, Credential, Deployment, Provider
from apps.catalog.places import place_of
from apps.domain import pricing
from apps.domain.providers import registry, speech
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.outbound.asking import asked
from apps.outbound.probe import ProbeResult, probe
from apps.outbound.reach import reach
from apps.outbound.trial import trial

REFUSED = (401, 403)
_SECONDS = 10.0
_CALL_SECONDS = 30.0  # a model may have to be loaded first
_CREDENTIALS_TRIED = 3
_LIMITED = "The provider answers, and limits our rate."
_NOTHING_DEPLOYED = "Nothing is deployed here to be called. "
# Of a call that the provider began and whose count it never told: what it is asked, and the most that may be answered.
_UNTOLD = TokenUsage(in_fresh=16, out_total=16)


class Question(NamedTuple):
    """All that asking needs, so that the threads that ask need no database. `model` empty: nothing is called."""

    provider: Provider
    kind: str
    secrets: tuple[str, ...]
    networks: tuple[str, ...]
    model: str = ""
    protocol: str = ""
    price: PriceCard | None = None


class Found(NamedTuple):
    """`usage`: of a call; `cost` in nano-USD, None: none, or it has no price."""

    kind: str
    result: ProbeResult
    usage: TokenUsage | None = None
    cost: int | None = None


def question(provider: Provider, *, networks: tuple[str, ...] | None = None) -> Question:
    """Of the provider's own kind, with the platform's credentials: a tenant's own is for that tenant's calls only."""
    networks = AllowedNetwork.objects.cidrs() if networks is None else networks
    if provider.check_kind == CheckKind.TCP:
        return Question(provider, CheckKind.TCP, (), networks)
    rows = provider.credentials.filter(is_enabled=True, tenant=None).exclude(ciphertext="")
    texts = [(row.ciphertext, place_of(row)) for row in rows.select_related("provider")[:_CREDENTIALS_TRIED]]
    secrets = tuple(text for text in vault.open_all(texts) if text is not None)
    if provider.check_kind == CheckKind.CALL and (called := _called(provider)) is not None:
        deployment, price = called
        model = deployment.upstream_model
        protocol = protocol_for(provider, model=model)
        return Question(provider, CheckKind.CALL, secrets, networks, model, protocol, price)
    return Question(provider, CheckKind.MODELS, secrets, networks)


def ask(question: Question) -> Found:
    """One refused credential does not make a provider ill if another is accepted. Takes seconds; no database."""
    if question.kind == CheckKind.TCP:
        address = question.provider.base_url
        return Found(CheckKind.TCP, reach(address, private_networks=question.networks, seconds=_SECONDS))
    put: Callable[[Question, str], Found] = _call if question.kind == CheckKind.CALL else _list
    for secret in question.secrets or ("",):
        found = put(question, secret)
        if found.result.status not in REFUSED:
            return found
    if not question.secrets:
        told = "The provider answers, and wants a credential."
        return found._replace(result=structs.replace(found.result, ok=True, message=told, words=""))
    return found


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


def _called(provider: Provider) -> tuple[Deployment, PriceCard | None] | None:
    """The chosen deployment while it is enabled, else the cheapest that is; those without a price come last."""
    enabled = provider.deployments.filter(is_enabled=True, model__is_enabled=True)
    rows = list(enabled.select_related("model").order_by("pk"))
    cards = selectors.price_history([row.pk for row in rows])
    now = int(timezone.now().timestamp())
    priced = [(row, pricing.card_at(tuple(cards.get(row.pk, ())), now)) for row in rows]

    def rank(one: tuple[Deployment, PriceCard | None]) -> Any:
        row, card = one
        is_chosen = row.upstream_model == provider.check_model
        return (not is_chosen, card is None, card.input + card.output if card is not None else 0, row.pk)

    return min(priced, key=rank, default=None)


def _list(question: Question, secret: str) -> Found:
    provider = question.provider
    result = probe(
        vendor=provider.vendor,
        protocol=provider.protocol,
        base_url=provider.base_url,
        secret=secret,
        private_networks=question.networks,
        options=provider.options,
        seconds=_SECONDS,
    )
    if provider.check_kind == CheckKind.CALL:
        result = structs.replace(result, message=_NOTHING_DEPLOYED + result.message)
    return Found(CheckKind.MODELS, result)


def _call(question: Question, secret: str) -> Found:
    """A rate limit is an answer. What was called and not counted is put down with more than it can have been."""
    made = trial(
        asked_of(question.provider, secret=secret, protocol=question.protocol, networks=question.networks),
        model=question.model,
        stream=False,
        seconds=min(question.provider.total_timeout, _CALL_SECONDS),
    )
    limited = made.status == 429
    result = ProbeResult(
        ok=made.ok or limited,
        status=made.status,
        milliseconds=made.milliseconds,
        message=_LIMITED if limited else made.message,
        words=made.words,
    )
    usage = made.usage or (_UNTOLD if made.status == 200 or made.is_in_doubt else TokenUsage())
    cost = pricing.cost(usage, question.price) if question.price is not None else None
    return Found(CheckKind.CALL, result, usage, cost)


def asked_of(provider: Provider, *, secret: str, protocol: str, networks: tuple[str, ...]) -> Any:
    return asked(
        vendor=provider.vendor,
        protocol=protocol,
        base_url=provider.base_url,
        secret=secret,
        private_networks=networks,
        options=provider.options,
        quirks=None if provider.quirks is None else frozenset(provider.quirks),
    )


def open_secret(credential: Credential | None) -> str:
    """Raises SecretUnreadable."""
    return "" if credential is None else vault.open_one(credential.ciphertext, place=place_of(credential))
