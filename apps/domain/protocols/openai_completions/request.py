"""The request: a client's body to the canonical form. Its prompt is one turn of a conversation."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apps.domain import floats
from apps.domain.chat import ChatRequest, Message, Text
from apps.domain.errors import InvalidRequest
from apps.domain.protocols import splice
from apps.domain.protocols.contract import ClientCall
from apps.domain.protocols.openai_chat import validation
from apps.domain.protocols.openai_chat.request import read_rest, read_stop
from apps.domain.protocols.openai_chat.wire import Count, Name, StreamOptions

NAME = "openai_completions"
MAX_TOKENS = 16  # the dialect's own default; its callers rely on it

_Choices = Annotated[int, msgspec.Meta(ge=1, le=128)]


class Body(msgspec.Struct):
    model: Name
    prompt: str | list[str | int | list[int]]
    suffix: str | None = None
    max_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: _Choices | None = None
    best_of: _Choices | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: int | None = None
    echo: bool | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    user: str | None = None


class Wire(msgspec.Struct, frozen=True):
    body: Body
    prompt: str


_decode = msgspec.json.Decoder(Body, float_hook=floats.read).decode
FIELDS = frozenset(Body.__struct_encode_fields__)
_PLAIN_FIELDS = ("seed", "frequency_penalty", "presence_penalty", "logit_bias")
WORDS = {
    "model": ("model",),
    "messages": ("prompt",),
    "max_tokens": ("max_tokens",),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "stop": ("stop",),
    "stream": ("stream",),
    "user": ("user",),
    **{name: (name,) for name in _PLAIN_FIELDS},
}
READ = FIELDS | {"logit_bias"}


def read_request(body: bytes) -> ClientCall:
    """Raises InvalidRequest, naming the field: also for what no chat model does."""
    members = splice.read(body)
    splice.refuse_other_case(members, FIELDS)
    request = validation.typed(body, _decode)
    _refuse(request)
    options = request.stream_options
    return ClientCall(
        protocol=NAME,
        body=body,
        wire=Wire(request, _prompt(request.prompt)),
        model=request.model,
        stream=request.stream is True,
        max_tokens=request.max_tokens or MAX_TOKENS,
        wants_usage=options is not None and options.include_usage is True,
        user=request.user,
        fields=members.values,
    )


def to_chat(call: ClientCall) -> ChatRequest:
    body: Body = call.wire.body
    validation.check_ranges(body)
    return ChatRequest(
        model=call.model,
        messages=(Message("user", (Text(call.wire.prompt),)),),
        max_tokens=call.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        stop=read_stop(body.stop),
        stream=call.stream,
        user=body.user,
        rest=read_rest(call.fields, _PLAIN_FIELDS),
    )


def above_cap(call: ClientCall, *, cap: int) -> InvalidRequest:
    return validation.too_large("max_tokens", asked=call.max_tokens, cap=cap)


def _refuse(request: Body) -> None:
    if request.suffix:
        raise validation.unsupported("suffix", reason="this model does not insert text.")
    if request.logprobs is not None:
        raise validation.unsupported("logprobs", reason="this model does not tell them.")
    for name in ("n", "best_of"):
        if (getattr(request, name) or 1) > 1:
            raise validation.unsupported(name, reason="this model gives one choice per request.")


def _prompt(given: str | list[str | int | list[int]]) -> str:
    """The one text. Raises InvalidRequest for several, for none, and for tokens."""
    if isinstance(given, str):
        given = [given]
    if len(given) > 1 and all(isinstance(one, str) for one in given):
        raise validation.unsupported("prompt", reason="this model takes one prompt per request.")
    if len(given) != 1 or not isinstance(given[0], str):
        raise validation.wrong_type("prompt", expected="a string", got="tokens" if given else "an empty array")
    if not given[0].strip():
        raise validation.wrong_type("prompt", expected="a string that is not blank", got="a blank one")
    return given[0]
