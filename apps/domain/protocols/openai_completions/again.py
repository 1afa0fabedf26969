"""An answer of ours, read again: its text, without the prompt that it may begin with, and how it ended."""

from __future__ import annotations

import msgspec

from apps.domain import sse
from apps.domain.chat import ChatResponse, Text
from apps.domain.errors import UpstreamBroken
from apps.domain.protocols.contract import ClientCall, Rereader
from apps.domain.protocols.openai_chat.answer import stop_reason
from apps.domain.protocols.openai_completions.answer import echo


class _Choice(msgspec.Struct):
    text: str
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


_decode = msgspec.json.Decoder(_Chunk).decode
_DONE = b"[DONE]"


def read_whole(body: bytes, *, call: ClientCall) -> ChatResponse:
    return _read([body], call=call)


def read_stream(stream: bytes, *, call: ClientCall) -> ChatResponse:
    return _read([frame.data for frame in sse.Decoder().feed(stream) if frame.data != _DONE], call=call)


def _read(told: list[bytes], *, call: ClientCall) -> ChatResponse:
    try:
        choices = [choice for data in told for choice in _decode(data).choices]
    except msgspec.DecodeError as error:
        raise UpstreamBroken("a kept completion cannot be read") from error
    label = next((choice.finish_reason for choice in reversed(choices)), None)
    if label is None:
        raise UpstreamBroken("a kept completion has no end")
    said = "".join(choice.text for choice in choices).removeprefix(echo(call))
    reason = stop_reason(label, called=False, cut=False, refused=False, said=True)
    return ChatResponse(id="", model=call.model, content=(Text(said),), stop_reason=reason)


REREADER = Rereader(whole=read_whole, stream=read_stream)
