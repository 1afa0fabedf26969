"""`POST /v1/messages/count_tokens`: what callers ask, and how Anthropic is asked. The answer: `{"input_tokens": N}`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apps.domain import floats
from apps.domain.errors import UpstreamBroken
from apps.domain.protocols import splice
from apps.domain.protocols.anthropic_messages import blocks, passthrough, validation, wire
from apps.domain.protocols.contract import ClientCall, Counter, Target

_MOST = 1_000_000_000
_decoder = msgspec.json.Decoder(wire.Prompt, float_hook=floats.read)


class _Counted(msgspec.Struct):
    input_tokens: Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


_counted = msgspec.json.Decoder(_Counted)


def read_request(body: bytes) -> ClientCall:
    """As a call that will not stream. Raises InvalidRequest that names the field."""
    members = splice.read(body)
    read = validation.decode(_decoder, body)
    return ClientCall(
        protocol=blocks.NAME,
        body=body,
        wire=wire.Wire(read, members),
        model=read.model,
        stream=False,
        max_tokens=None,
        fields=members.values,
    )


def write(tokens: int) -> bytes:
    """The caller's answer."""
    return msgspec.json.encode(_Counted(tokens))


def _write(call: ClientCall, target: Target) -> bytes:
    return passthrough.DIALECT.rewrite(call, target).body


def _read(body: bytes) -> int:
    try:
        return _counted.decode(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as garbled:
        raise UpstreamBroken("the provider's answer is no count of tokens") from garbled


COUNTER = Counter(write=_write, read=_read)
