"""Embeddings by Bedrock's InvokeModel, as its models speak them: Cohere's take several texts a call, Titan's one.

Titan counts in its answer, Cohere in a header alone.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain.embeddings import EmbeddingRequest, EmbeddingResponse, check_is_text, decoded
from apps.domain.errors import InvalidRequest, UpstreamBroken
from apps.domain.protocols import bedrock_errors
from apps.domain.protocols.contract import EmbeddingUpstream, Target
from apps.domain.protocols.openai_embeddings.response import usage
from apps.domain.tokens import NOTHING

NAME = "bedrock_embed"
_USUAL_PURPOSE = "search_document"  # Cohere's models must be told one
_FIRST_TITAN = "titan-embed-text-v1"  # has one size of vectors, and does not know the field


class _ByType(msgspec.Struct):
    floats: list[list[float]] | None = msgspec.field(default=None, name="float")


class _Answer(msgspec.Struct):
    embedding: list[float] | None = None  # Titan's
    tokens: Any = msgspec.field(default=None, name="inputTextTokenCount")
    embeddings: list[list[float]] | _ByType | None = None  # Cohere's


_decode = msgspec.json.Decoder(_Answer).decode


def write_request(asked: EmbeddingRequest, target: Target) -> bytes:
    """Raises InvalidRequest for what the model cannot be given. What does not fit is refused, not cut in silence."""
    if "embed" not in target.model and not target.model.startswith("arn:"):  # which does not tell its model
        raise InvalidRequest("This model gives no embeddings.", param="model")
    check_is_text(asked)
    body = _cohere(asked) if "cohere" in target.model else _titan(asked, target)
    return msgspec.json.encode(body)


def read_response(body: bytes) -> EmbeddingResponse:
    """Raises UpstreamBroken."""
    read = decoded(_decode, body)
    counted = usage({"prompt_tokens": read.tokens}) or NOTHING
    vectors = read.embeddings.floats if isinstance(read.embeddings, _ByType) else read.embeddings
    if vectors is None and read.embedding is not None:
        vectors = [read.embedding]
    if vectors is None:
        raise UpstreamBroken("the provider's answer holds no embeddings")
    return EmbeddingResponse(vectors=vectors, usage=counted)


def _cohere(asked: EmbeddingRequest) -> dict[str, Any]:
    body = {"texts": asked.texts, "input_type": asked.purpose or _USUAL_PURPOSE, "truncate": "NONE"}
    return body if asked.dimensions is None else {**body, "output_dimension": asked.dimensions}


def _titan(asked: EmbeddingRequest, target: Target) -> dict[str, Any]:
    if len(asked.texts) > 1:
        message = "Invalid 'input': this model takes one text a call; send each text in a call of its own."
        raise InvalidRequest(message, param="input", code="array_above_max_length")
    body: dict[str, Any] = {"inputText": asked.texts[0]}
    if asked.dimensions is None:
        return body
    if _FIRST_TITAN in target.model:
        message = "Unsupported parameter: 'dimensions': this model has one size of vectors."
        raise InvalidRequest(message, param="dimensions", code="unsupported_parameter")
    return {**body, "dimensions": asked.dimensions}


UPSTREAM = EmbeddingUpstream(
    name=NAME,
    write_request=write_request,
    read_response=read_response,
    read_error=bedrock_errors.read_error,
    counted_by="x-amzn-bedrock-input-token-count",
)
