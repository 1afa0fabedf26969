"""Ollama's embeddings (`POST /api/embed`), as its servers speak them."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain.embeddings import EmbeddingRequest, EmbeddingResponse, check_is_text, decoded
from apps.domain.errors import UpstreamBroken
from apps.domain.protocols.contract import EmbeddingUpstream, Target
from apps.domain.protocols.ollama_chat import error
from apps.domain.protocols.openai_embeddings.response import usage
from apps.domain.tokens import NOTHING

NAME = "ollama_embed"


class _Answer(msgspec.Struct):
    embeddings: list[list[float]] | None = None
    model: str | None = None
    prompt_eval_count: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


def write_request(asked: EmbeddingRequest, target: Target) -> bytes:
    """Raises InvalidRequest for tokens: Ollama makes its own. What does not fit is refused, not cut in silence."""
    check_is_text(asked)
    body: dict[str, Any] = {"model": target.model, "input": asked.texts, "truncate": False}
    if asked.dimensions is not None:
        body["dimensions"] = asked.dimensions
    if target.context_tokens:
        body["options"] = {"num_ctx": target.context_tokens}
    return msgspec.json.encode(body)


def read_response(body: bytes) -> EmbeddingResponse:
    """Raises UpstreamBroken for a garbled body, another UpstreamError for an error under status 200."""
    read = decoded(_decode, body)
    if read.error:
        raise error.read_stream_error(read.error)
    if read.embeddings is None:
        raise UpstreamBroken("the provider's answer holds no embeddings")
    counted = usage({"prompt_tokens": read.prompt_eval_count}) or NOTHING
    return EmbeddingResponse(vectors=read.embeddings, model=read.model or "", usage=counted)


UPSTREAM = EmbeddingUpstream(
    name=NAME, write_request=write_request, read_response=read_response, read_error=error.read_error
)
