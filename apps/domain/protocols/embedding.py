"""Vectors, for a caller and an upstream of different dialects."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from apps.domain import embeddings, errors
from apps.domain.protocols import refusal
from apps.domain.protocols.contract import (
    NO_HEADERS,
    ClientCall,
    Cut,
    EmbeddingClient,
    EmbeddingUpstream,
    Headers,
    Seen,
    Target,
)
from apps.domain.protocols.passthrough import Whole
from apps.domain.tokens import NOTHING, TokenUsage

_MOST_DIGITS = 9


class Translated(Whole):
    """An `Exchange` through the canonical form."""

    notes: tuple[str, ...] = ()
    headers: Headers = ()

    def __init__(
        self, call: ClientCall, target: Target, *, client: EmbeddingClient, upstream: EmbeddingUpstream, cut: Cut
    ) -> None:
        self.seen = Seen()
        self._asked = client.to_embedding(call)
        self.body = upstream.write_request(self._asked, target)
        self._call = call
        self._client = client
        self._upstream = upstream
        self._cut = cut

    def refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.UpstreamError:
        error = refusal.cleaned(self._upstream.read_error(status, headers, body), self._cut)
        error.body = None  # written in the other dialect
        return error

    def answer(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
        try:
            response = self._upstream.read_response(body)
            self._check(response)
        except errors.UpstreamError as error:
            refusal.cleaned(error, self._cut)
            raise
        if response.usage == NOTHING and (counted := _counted(headers.get(self._upstream.counted_by, ""))):
            response = msgspec.structs.replace(response, usage=TokenUsage(in_fresh=counted))
        seen = self.seen
        seen.usage = response.usage if response.usage != NOTHING else None
        seen.model = response.model
        answer = self._client.write_response(response, call=self._call)
        seen.started = seen.finished = True
        return answer

    def _check(self, response: embeddings.EmbeddingResponse) -> None:
        """Nobody could tell which vector is missing."""
        wanted = len(self._asked.texts) + len(self._asked.tokens)
        if len(response.vectors) != wanted:
            raise errors.UpstreamBroken(f"the provider gave {len(response.vectors)} embeddings for {wanted} inputs")


def _counted(said: str) -> int:
    """What a header tells; 0: nothing that can be believed."""
    return int(said) if said.isascii() and said.isdecimal() and len(said) <= _MOST_DIGITS else 0
