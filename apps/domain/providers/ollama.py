"""Ollama. A local server wants no credential, and its network must be opened; the cloud (https://ollama.com) does."""

from __future__ import annotations

from apps.domain.providers.vendor import Vendor, bearer

VENDOR = Vendor(
    slug="ollama",
    label="Ollama",
    protocols=("ollama_chat",),
    base_url="http://localhost:11434",
    authorize=bearer,
    summary="Open models on a server of your own, or in Ollama's cloud.",
    key_page="https://ollama.com/settings/keys",
    needs_key=False,
    tags=("own", "cloud"),
)
