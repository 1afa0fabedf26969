"""Weir's own shortest way to ask, `POST /chat`: made to be written by hand, in one line.

    {"prompt": "…"}  ->  {"text": "…", "model": "…", "stop_reason": "…", "usage": {"input_tokens": 9, …}}

Also `model`, `system`, `max_tokens`, `temperature` and `stream`. Streamed, frames of `{"text": "…"}` are followed by
one of all but the text. Errors look as OpenAI's.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import floats, sse
from apps.domain.chat import ChatRequest, ChatResponse, Message, StopReason, Text
from apps.domain.errors import GatewayError, InvalidRequest, UpstreamBroken
from apps.domain.events import BlockStarted, Event, Failed, Finished, Ping, Started, TextDelta
from apps.domain.protocols import splice
from apps.domain.protocols.contract import ClientCall, ClientFormat, Rereader
from apps.domain.protocols.openai_chat import error, validation
from apps.domain.protocols.openai_chat.stream import KEEPALIVE
from apps.domain.protocols.openai_chat.wire import Count, Name
from apps.domain.tokens import NOTHING, TokenUsage

NAME = "prompt"
_json = msgspec.json.encode


class Body(msgspec.Struct):
    """Without `model`: the only one that the caller may use."""

    prompt: Name
    model: Name | None = None
    system: str | None = None
    max_tokens: Count | None = None
    temperature: float | None = None
    stream: bool | None = None


_decode = msgspec.json.Decoder(Body, float_hook=floats.read).decode
_FIELDS = frozenset(Body.__struct_encode_fields__)
_WORDS = {"messages": ("prompt",)} | {name: (name,) for name in _FIELDS - {"prompt"}}


def read_request(body: bytes) -> ClientCall:
    """Raises InvalidRequest, naming the field."""
    members = splice.read(body)
    splice.refuse_other_case(members, _FIELDS)
    request = validation.typed(body, _decode)
    if not request.prompt.strip():
        raise validation.wrong_type("prompt", expected="a string that is not blank", got="a blank one")
    return ClientCall(
        protocol=NAME,
        body=body,
        wire=request,
        model=request.model or "",
        stream=request.stream is True,
        max_tokens=request.max_tokens,
        fields=members.values,
    )


def to_chat(call: ClientCall) -> ChatRequest:
    body: Body = call.wire
    validation.check_ranges(body)
    return ChatRequest(
        model=call.model,
        system=(Text(body.system),) if body.system else (),
        messages=(Message("user", (Text(body.prompt),)),),
        max_tokens=call.max_tokens,
        temperature=body.temperature,
        stream=call.stream,
    )


def above_cap(call: ClientCall, *, cap: int) -> InvalidRequest:
    return validation.too_large("max_tokens", asked=call.max_tokens, cap=cap)


def write_response(response: ChatResponse, *, call: ClientCall, created: int) -> bytes:
    said = "".join(block.text for block in response.content if isinstance(block, Text))
    return _json({"text": said, **_end(call, response.stop_reason or "end_turn", response.usage)})


class Encoder:
    def __init__(self, *, call: ClientCall, created: int) -> None:
        self._call = call

    def encode(self, event: Event) -> bytes:
        match event:
            case TextDelta(text=text) | BlockStarted(block=Text(text=text)):
                return _frame({"text": text}) if text else b""
            case Started():
                return _frame({"text": ""})  # at once, so that the caller sees an answer coming
            case Finished(stop_reason=reason, usage=usage):
                return _frame(_end(self._call, reason, usage or NOTHING))
            case Ping():
                return KEEPALIVE
            case Failed(error=fault):
                return stream_error(fault, request_id=self._call.request_id)
        return b""


def stream_error(fault: GatewayError, *, request_id: str) -> bytes:
    return error.stream_error(fault, request_id=request_id).removesuffix(error.DONE)


class _Told(msgspec.Struct):
    """A frame, or a whole answer. The last one has a reason."""

    text: str = ""
    stop_reason: StopReason | None = None


_read_told = msgspec.json.Decoder(_Told).decode


def read_whole(body: bytes, *, call: ClientCall) -> ChatResponse:
    return _read_again([body], call=call)


def read_stream(stream: bytes, *, call: ClientCall) -> ChatResponse:
    return _read_again([frame.data for frame in sse.Decoder().feed(stream)], call=call)


def _read_again(parts: list[bytes], *, call: ClientCall) -> ChatResponse:
    try:
        told = [_read_told(part) for part in parts]
    except msgspec.DecodeError as error:
        raise UpstreamBroken("a kept answer cannot be read") from error
    if not told or told[-1].stop_reason is None:
        raise UpstreamBroken("a kept answer has no end")
    said = "".join(one.text for one in told)
    return ChatResponse(id="", model=call.model, content=(Text(said),), stop_reason=told[-1].stop_reason)


def _frame(data: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _json(data)


def _end(call: ClientCall, reason: StopReason, usage: TokenUsage) -> dict[str, Any]:
    counts = {"input_tokens": usage.in_total, "output_tokens": usage.out_total}
    return {"model": call.model, "stop_reason": reason, "usage": counts}


CLIENT = ClientFormat(
    name=NAME,
    request_id_header="x-request-id",
    read_request=read_request,
    above_cap=above_cap,
    unfit=validation.unfit,
    undownloaded=validation.undownloaded,
    words=_WORDS,
    reads=_FIELDS,
    to_chat=to_chat,
    write_response=write_response,
    encoder=Encoder,
    rereader=Rereader(whole=read_whole, stream=read_stream),
    write_error=error.write_error,
    stream_error=stream_error,
    keepalive=KEEPALIVE,
)
