"""The canonical request for vectors, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from apps.domain.errors import InvalidRequest, UpstreamBroken
from apps.domain.tokens import NOTHING, TokenUsage

Answer = TypeVar("Answer")


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Either `texts` or `tokens` of texts, one vector for each. `purpose` is what some models want to know of a text,
    in their vendor's words ("search_query")."""

    model: str
    texts: tuple[str, ...] = ()
    tokens: tuple[Sequence[int], ...] = ()
    dimensions: int | None = None
    purpose: str | None = None
    user: str | None = None


class EmbeddingResponse(msgspec.Struct, frozen=True, kw_only=True):
    vectors: Sequence[Sequence[float]]
    model: str = ""
    usage: TokenUsage = NOTHING


def check_is_text(asked: EmbeddingRequest) -> None:
    """For models whose tokens only their provider knows. Raises InvalidRequest."""
    if asked.tokens:
        raise InvalidRequest("Invalid 'input': this model takes text, not tokens.", param="input", code="invalid_type")


def decoded(decode: Callable[[bytes], Answer], body: bytes) -> Answer:
    """A provider's answer. Raises UpstreamBroken."""
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UpstreamBroken("the provider's embeddings cannot be read") from fault
