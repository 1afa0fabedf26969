"""How Bedrock is asked how many tokens a prompt has: with the request itself, in base64."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apps.domain.errors import UpstreamBroken
from apps.domain.protocols import splice
from apps.domain.protocols.bedrock_invoke import passthrough
from apps.domain.protocols.contract import ClientCall, Counter, Target

_MOST = 1_000_000_000


class _Body(msgspec.Struct):
    body: bytes  # base64 on the wire


class _Input(msgspec.Struct):
    invokeModel: _Body


class _Question(msgspec.Struct):
    input: _Input


class _Counted(msgspec.Struct):
    inputTokens: Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


_counted = msgspec.json.Decoder(_Counted)


def _write(call: ClientCall, target: Target) -> bytes:
    """InvokeModel demands a cap that a question for a count does not have."""
    body = passthrough.DIALECT.rewrite(call, target).body
    if call.wire.members.raw("max_tokens") is None:
        body = splice.edit(body, {"max_tokens": msgspec.json.encode(target.max_output_tokens)})
    return msgspec.json.encode(_Question(_Input(_Body(body))))


def _read(body: bytes) -> int:
    try:
        return _counted.decode(body).inputTokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as garbled:
        raise UpstreamBroken("the provider's answer is no count of tokens") from garbled


COUNTER = Counter(write=_write, read=_read)
