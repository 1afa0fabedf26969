"""The request: a client's body to the canonical form, and the canonical form to an upstream's body."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain.embeddings import EmbeddingRequest
from apps.domain.protocols import splice
from apps.domain.protocols.contract import ClientCall, Target
from apps.domain.protocols.openai_embeddings import wire

NAME = "openai_embeddings"


def read_request(body: bytes) -> ClientCall:
    """Raises InvalidRequest, naming the field."""
    members = splice.read(body)
    splice.refuse_other_case(members, wire.FIELDS)
    request = wire.body(body)
    return ClientCall(
        protocol=NAME,
        body=body,
        wire=wire.Wire(members, request),
        model=request.model,
        stream=False,
        max_tokens=0,
        user=request.user,
    )


def to_embedding(call: ClientCall) -> EmbeddingRequest:
    body: wire.Body = call.wire.body
    texts, tokens = _inputs(body.input)
    return EmbeddingRequest(
        model=call.model,
        texts=texts,
        tokens=tokens,
        dimensions=body.dimensions,
        purpose=body.input_type,
        user=body.user,
    )


def write_request(asked: EmbeddingRequest, target: Target) -> bytes:
    body: dict[str, Any] = {"model": target.model, "input": asked.texts or asked.tokens, "encoding_format": "float"}
    if asked.dimensions is not None:
        body["dimensions"] = asked.dimensions
    if asked.user is not None:
        body["user"] = asked.user
    return msgspec.json.encode(body)


def _inputs(given: wire.Inputs) -> tuple[tuple[str, ...], tuple[list[int], ...]]:
    """Texts, tokens of texts. A list of numbers is the tokens of one text."""
    if isinstance(given, str):
        return (given,), ()
    texts = tuple(one for one in given if isinstance(one, str))
    lists = tuple(one for one in given if isinstance(one, list))
    numbers = [one for one in given if isinstance(one, int)]
    return texts, lists or ((numbers,) if numbers else ())
