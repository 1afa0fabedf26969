"""The canonical request for vectors, and the answer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from apps.domain.tokens import NOTHING, TokenUsage


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
