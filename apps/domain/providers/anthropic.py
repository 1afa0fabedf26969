"""Anthropic. Its `anthropic-*` request headers are an open list: betas come in pairs with body fields."""

from __future__ import annotations

from apps.domain.providers.vendor import HeaderList, Vendor, api_key, bearer

FORWARDS = ("anthropic-",)
DEFAULTS: HeaderList = (("anthropic-version", "2023-06-01"),)


def authorize(secret: str) -> HeaderList:
    """OAuth access tokens go as bearer tokens, API keys do not."""
    return bearer(secret) if secret.startswith("sk-ant-oat") else api_key(secret)


VENDOR = Vendor(
    slug="anthropic",
    label="Anthropic",
    protocols=("anthropic_messages",),
    base_url="https://api.anthropic.com",
    authorize=authorize,
    forwards=FORWARDS,
    defaults=DEFAULTS,
    list_paths={"anthropic_messages": "/v1/models?limit=1000"},
    summary="The Claude models, from their maker.",
    key_page="https://platform.claude.com/settings/keys",
    tags=("cloud",),
    prices="anthropic",
)
