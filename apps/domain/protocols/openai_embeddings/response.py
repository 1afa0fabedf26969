"""The answer: an upstream's to the canonical form, and the canonical form to a client's."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from apps.domain import estimate
from apps.domain.embeddings import EmbeddingResponse
from apps.domain.errors import UpstreamBroken
from apps.domain.protocols.contract import ClientCall
from apps.domain.protocols.openai_chat import error
from apps.domain.protocols.openai_chat.usage import ABSURD
from apps.domain.tokens import NOTHING, TokenUsage


class _Entry(msgspec.Struct):
    embedding: list[float] | str
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Entry] | None = None
    model: Any = None
    usage: Any = None
    error: Any = None


class Outline(msgspec.Struct):
    """An answer without its vectors."""

    data: msgspec.Raw = msgspec.Raw()
    model: Any = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Answer).decode
_outline = msgspec.json.Decoder(Outline).decode


def read_outline(body: bytes) -> Outline:
    """Raises UpstreamBroken for a garbled body, another UpstreamError for an error under status 200."""
    try:
        read = _outline(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UpstreamBroken("the provider's answer is no list of embeddings") from fault
    if read.error:
        raise error.read_stream_error(read.error)
    if not bytes(read.data).startswith(b"["):
        raise UpstreamBroken("the provider's answer is no list of embeddings")
    return read


def read_response(body: bytes) -> EmbeddingResponse:
    """Raises as `read_outline`."""
    outline = read_outline(body)
    try:
        entries = _decode(body).data or []
        order = sorted(range(len(entries)), key=lambda place: _index(entries[place], place))
        vectors = [_floats(entries[place].embedding) for place in order]
    except (msgspec.DecodeError, binascii.Error, struct.error, ValueError) as fault:
        raise UpstreamBroken("the provider's embeddings cannot be read") from fault
    model = outline.model if isinstance(outline.model, str) else ""
    return EmbeddingResponse(vectors=vectors, model=model, usage=usage(outline.usage) or NOTHING)


def write_response(response: EmbeddingResponse, *, call: ClientCall) -> bytes:
    encoded = call.wire.body.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if encoded else vector}
        for index, vector in enumerate(response.vectors)
    ]
    tokens = response.usage.in_total or estimate.input_tokens(len(call.wire.members.raw("input") or b""))
    counts = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": call.model, "usage": counts})


def usage(raw: Any) -> TokenUsage | None:
    """None where there is none that can be believed."""
    count = raw.get("prompt_tokens", raw.get("total_tokens")) if isinstance(raw, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= ABSURD:
        return None
    return TokenUsage(in_fresh=count)


def _index(entry: _Entry, place: int) -> int:
    return place if entry.index is None else entry.index


def _floats(embedding: list[float] | str) -> Sequence[float]:
    if not isinstance(embedding, str):
        return embedding
    raw = base64.b64decode(embedding, validate=True)
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def _packed(vector: Sequence[float]) -> str:
    """Base64 of 32-bit floats, the low byte first: what OpenAI's SDKs ask for. Raises UpstreamBroken."""
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError as fault:
        raise UpstreamBroken("the provider's embeddings cannot be read") from fault
