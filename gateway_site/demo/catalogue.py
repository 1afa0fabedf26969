"""Models that people know, on the simulated provider, at the prices that their vendors ask."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import NamedTuple

from django.utils import timezone

from apps.accounts.models import User
from apps.catalog import known, services
from apps.catalog.models import Deployment, Provider

LOOPBACK = "127.0.0.0/8"


class House(NamedTuple):
    """A simulated provider; `path` is of its base URL."""

    name: str
    protocol: str
    path: str = ""
    tags: tuple[str, ...] = ("demo",)
    region: str = ""


PROVIDERS = {
    "anthropic": House("Simulated Anthropic", "anthropic_messages", region="us"),
    "openai": House("Simulated OpenAI", "openai_chat", "/v1", region="us"),
    "own": House("Simulated in-house", "anthropic_messages", tags=("demo", "private"), region="eu"),
}


class Offer(NamedTuple):
    """`vendor` is both the key of PROVIDERS and the name in the price data. `is_own`: our own machine has it, too."""

    vendor: str
    name: str
    display_name: str
    context_tokens: int
    max_output_tokens: int
    aliases: tuple[str, ...] = ()
    is_own: bool = False


OFFERS = (
    Offer("anthropic", "claude-opus-4-5", "Claude Opus 4.5", 200_000, 64_000),
    Offer("anthropic", "claude-sonnet-4-6", "Claude Sonnet 4.6", 200_000, 64_000, is_own=True),
    Offer("anthropic", "claude-haiku-4-5", "Claude Haiku 4.5", 200_000, 64_000, ("claude-haiku-4-5-20251001",), True),
    Offer("openai", "gpt-5", "GPT-5", 400_000, 128_000),
    Offer("openai", "gpt-5-mini", "GPT-5 mini", 400_000, 128_000),
    Offer("openai", "gpt-4.1", "GPT-4.1", 1_000_000, 32_768),
)

# Models that come to nothing but these, the first that can answer.
VIRTUAL = {"fast": ("claude-haiku-4-5", "gpt-5-mini"), "best": ("claude-opus-4-5", "gpt-5")}
PINNED, PINNED_MODEL = "sonnet", "claude-sonnet-4-6"


def build(*, actor: User, simulator: str, priced_from: datetime.datetime) -> dict[str, Deployment]:
    """Providers, models, deployments and price cards; the deployments by their model's name."""
    services.allow_network(actor=actor, cidr=LOOPBACK, note="The simulated provider of the demo")
    providers = {vendor: _provider(vendor, actor=actor, simulator=simulator) for vendor in PROVIDERS}
    found = {offer.name: _offer(offer, actor=actor, providers=providers, priced_from=priced_from) for offer in OFFERS}
    for name, targets in VIRTUAL.items():
        virtual = services.create_model(actor=actor, name=name, display_name=name.title())
        for position, target in enumerate(targets, 1):
            services.add_fallback(virtual, actor=actor, target=found[target].model, position=position)
    services.create_endpoint(actor=actor, name=PINNED, model=found[PINNED_MODEL].model)
    return found


def move(*, simulator: str) -> None:
    """Point the demo's providers at the simulated provider's new address. Its key is any, so it is set again."""
    for vendor, house in PROVIDERS.items():
        provider = Provider.objects.filter(name=house.name, vendor="simulated").first()
        base_url = f"{simulator}{house.path}"
        if provider is not None and provider.base_url != base_url:
            services.update_provider(provider, actor=None, base_url=base_url)
            for credential in provider.credentials.filter(ciphertext=""):
                services.set_secret(credential, actor=None, secret=_secret(vendor))


def _provider(vendor: str, *, actor: User, simulator: str) -> Provider:
    house = PROVIDERS[vendor]
    provider = services.create_provider(
        actor=actor,
        name=house.name,
        vendor="simulated",
        protocol=house.protocol,
        base_url=f"{simulator}{house.path}",
        tags=[*house.tags],
        region=house.region,
    )
    services.create_credential(provider, actor=actor, alias="demo", secret=_secret(vendor))
    return provider


def _secret(vendor: str) -> str:
    """The simulated provider takes any key."""
    return f"sim-{vendor}-any-key-will-do"


def _offer(
    offer: Offer, *, actor: User, providers: Mapping[str, Provider], priced_from: datetime.datetime
) -> Deployment:
    """The deployment at its vendor's; our own machine is asked when that cannot answer, or may not."""
    model = services.create_model(
        actor=actor,
        name=offer.name,
        display_name=offer.display_name,
        aliases=list(offer.aliases),
        context_tokens=offer.context_tokens,
        max_output_tokens=offer.max_output_tokens,
    )
    deployments = [
        services.create_deployment(
            model, actor=actor, provider=providers[house], upstream_model=offer.name, priority=priority
        )
        for priority, house in enumerate((offer.vendor, "own") if offer.is_own else (offer.vendor,))
    ]
    for deployment in deployments:
        services.set_price(deployment, actor=actor, effective_from=priced_from, **prices(offer))
    return deployments[0]


def prices(offer: Offer) -> dict[str, int]:
    """Nano-USD per million tokens, as set_price takes them."""
    found = known.model(offer.name, at=offer.vendor, now=timezone.now())
    assert found is not None
    return found.prices
