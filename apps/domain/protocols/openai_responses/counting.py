"""`POST /v1/responses/input_tokens`: how a provider is asked what a prompt is worth, and what it answers.

The callers' own way to ask is another dialect's, so the question is what would be sent, without what only answers have.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from apps.domain.errors import UpstreamBroken
from apps.domain.protocols.anthropic_messages.request import to_chat
from apps.domain.protocols.contract import ClientCall, Counter, Target
from apps.domain.protocols.openai_responses import request

_MOST = 1_000_000_000
# What OpenAI takes of a request when it counts.
_ASKED = ("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text")


class _Counted(msgspec.Struct):
    input_tokens: Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
    object: Literal["response.input_tokens"] = "response.input_tokens"


_counted = msgspec.json.Decoder(_Counted)


def _write(call: ClientCall, target: Target) -> bytes:
    asked = request.write(msgspec.structs.replace(to_chat(call), stop=()), target)
    return msgspec.json.encode({name: asked[name] for name in _ASKED if name in asked})


def _read(body: bytes) -> int:
    try:
        return _counted.decode(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as garbled:
        raise UpstreamBroken("the provider's answer is no count of tokens") from garbled


COUNTER = Counter(write=_write, read=_read)
