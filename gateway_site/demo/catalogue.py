"""Models that people know, on the simulated provider, at the prices that their vendors ask."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from django.utils import timezone

from apps.accounts.models import User
from apps.catalog import known, services
from apps.catalog.models import Deployment, Provider

LOOPBACK = "127.0.0.0/8"
PROVIDERS = {
    "anthropic": ("Simulated Anthropic", "anthropic_messages", ""),
    "openai": ("Simulated OpenAI", "openai_chat", "/v1"),
}


class Offer(NamedTuple):
    """`vendor` is both the key of PROVIDERS and the name in the price data."""

    vendor: str
    name: str
    display_name: str
    context_tokens: int
    max_output_tokens: int
    aliases: tuple[str, ...] = ()


OFFERS = (
    Offer("anthropic", "claude-opus-4-5", "Claude Opus 4.5", 200_000, 64_000),
    Offer("anthropic", "claude-sonnet-4-6", "Claude Sonnet 4.6", 200_000, 64_000),
    Offer("anthropic", "claude-haiku-4-5", "Claude Haiku 4.5", 200_000, 64_000, ("claude-haiku-4-5-20251001",)),
    Offer("openai", "gpt-5", "GPT-5", 400_000, 128_000),
    Offer("openai", "gpt-5-mini", "GPT-5 mini", 400_000, 128_000),
    Offer("openai", "gpt-4.1", "GPT-4.1", 1_000_000, 32_768),
)

PINNED, PINNED_MODEL = "sonnet", "claude-sonnet-4-6"


def build(*, actor: User, simulator: str, priced_from: datetime.datetime) -> dict[str, Deployment]:
    """Providers, models, deployments and price cards; the deployments by their model's name."""
    services.allow_network(actor=actor, cidr=LOOPBACK, note="The simulated provider of the demo")
    providers = {vendor: _provider(vendor, actor=actor, simulator=simulator) for vendor in PROVIDERS}
    found = {
        offer.name: _offer(offer, actor=actor, provider=providers[offer.vendor], priced_from=priced_from)
        for offer in OFFERS
    }
    services.create_endpoint(actor=actor, name=PINNED, model=found[PINNED_MODEL].model)
    return found


def move(*, simulator: str) -> None:
    """Point the demo's providers at the simulated provider's new address. Its key is any, so it is set again."""
    for vendor, (name, _, path) in PROVIDERS.items():
        provider = Provider.objects.filter(name=name, vendor="simulated").first()
        if provider is not None and provider.base_url != f"{simulator}{path}":
            services.update_provider(provider, actor=None, base_url=f"{simulator}{path}")
            for credential in provider.credentials.filter(ciphertext=""):
                services.set_secret(credential, actor=None, secret=_secret(vendor))


def _provider(vendor: str, *, actor: User, simulator: str) -> Provider:
    name, protocol, path = PROVIDERS[vendor]
    provider = services.create_provider(
        actor=actor, name=name, vendor="simulated", protocol=protocol, base_url=f"{simulator}{path}", tags=["demo"]
    )
    services.create_credential(provider, actor=actor, alias="demo", secret=_secret(vendor))
    return provider


def _secret(vendor: str) -> str:
    """The simulated provider takes any key."""
    return f"sim-{vendor}-any-key-will-do"


def _offer(offer: Offer, *, actor: User, provider: Provider, priced_from: datetime.datetime) -> Deployment:
    model = services.create_model(
        actor=actor,
        name=offer.name,
        display_name=offer.display_name,
        aliases=list(offer.aliases),
        context_tokens=offer.context_tokens,
        max_output_tokens=offer.max_output_tokens,
    )
    deployment = services.create_deployment(model, actor=actor, provider=provider, upstream_model=offer.name)
    services.set_price(deployment, actor=actor, effective_from=priced_from, **prices(offer))
    return deployment


def prices(offer: Offer) -> dict[str, int]:
    """Nano-USD per million tokens, as set_price takes them."""
    found = known.model(offer.name, at=offer.vendor, now=timezone.now())
    assert found is not None
    return found.prices
