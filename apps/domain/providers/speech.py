"""In which protocol a deployment is spoken to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.domain.providers import registry

if TYPE_CHECKING:
    from apps.domain.providers.vendor import Vendor
    from apps.domain.snapshot import Deployment

_EMBEDDINGS = "openai_embeddings"  # the callers' one protocol of embeddings
# By the protocol that a provider was set up with; Anthropic has none.
_EMBEDS = {
    "openai_chat": "openai_embeddings",
    "openai_responses": "openai_embeddings",
    "bedrock_invoke": "bedrock_embed",
    "bedrock_converse": "bedrock_embed",
    "ollama_chat": "ollama_embed",
}


def embeds_in(vendor: Vendor, protocol: str) -> str | None:
    """In which protocol a provider of that vendor is asked for embeddings that was set up with `protocol`. None: in
    none."""
    embeds = _EMBEDS.get(protocol)
    return embeds if embeds in vendor.paths else None


def protocol_of(deployment: Deployment, *, client: str) -> str | None:
    """The upstream's for a caller of `client`: the caller's own where the vendor speaks it too, so that bytes can be
    relayed. None: it cannot serve such a call."""
    provider = deployment.provider
    vendor = registry.vendor(provider.vendor)
    if client == _EMBEDDINGS:
        return embeds_in(vendor, provider.protocol)
    if deployment.protocol:
        return deployment.protocol
    if client in vendor.beside:
        return client
    return vendor.protocol_of(deployment.upstream_model) or provider.protocol
