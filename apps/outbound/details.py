"""What a provider says of a model when it is asked for that one, and not in its list: Ollama's `POST /api/show`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from apps.domain import errors
from apps.outbound import asking, listing
from apps.outbound.asking import Asked
from apps.outbound.client import Outbound
from apps.outbound.listing import Listed

_AT_ONCE = 8
_LIMIT = 4 * 1024 * 1024  # licences and templates are in it
# Ollama's words for what the catalog has a word for.
_ABILITIES = {"completion": "text", "vision": "vision", "thinking": "adaptive_thinking", "embedding": "embeddings"}


class _Shown(msgspec.Struct):
    capabilities: list[str] = []
    model_info: dict[str, Any] = {}


def detailed(asked: Asked, models: Iterable[Listed], *, seconds: float = 10.0) -> list[Listed]:
    """The same models, and what is said of each by itself, as far as the provider says it within `seconds`."""
    url = asked.vendor.show_url(asked.base_url, asked.protocol, options=asked.options)
    if url is None:
        return list(models)
    return asking.run(_all(asked, url, list(models), seconds))


async def _all(asked: Asked, url: str, models: list[Listed], seconds: float) -> list[Listed]:
    outbound = Outbound(private_networks=asked.private_networks)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(place: int) -> None:
        async with turns:
            models[place] = read(await _ask(outbound, asked, url, models[place].name, seconds), models[place])

    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*map(ask, range(len(models))))
    except TimeoutError:
        pass  # of the others nothing is known
    finally:
        await outbound.close()
    return models


async def _ask(outbound: Outbound, asked: Asked, url: str, model: str, seconds: float) -> bytes:
    """Empty: it does not say."""
    body = msgspec.json.encode({"model": model})
    headers = asked.headers(("content-type", "application/json"), ("accept", "application/json"))
    try:
        answer = await outbound.open("POST", url, headers=headers, body=body, timeouts=asking.patience(seconds))
        try:
            return await answer.read(_LIMIT) if answer.status == 200 else b""
        finally:
            await answer.close()
    except errors.UpstreamError:
        return b""


def read(body: bytes, listed: Listed) -> Listed:
    """`listed` with what `body` says; what cannot be read says nothing."""
    try:
        shown = msgspec.json.decode(body, type=_Shown)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return listed
    abilities = tuple(_ABILITIES[word] for word in shown.capabilities if word in _ABILITIES)
    if "text" in abilities:  # the catalog's embedding models give nothing else
        abilities = tuple(word for word in abilities if word != "embeddings")
    window = shown.model_info.get(f"{shown.model_info.get('general.architecture')}.context_length")
    return replace(listed, abilities=abilities, context_tokens=listing.count(window) or listed.context_tokens)
