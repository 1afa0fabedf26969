"""What is wrong with a request, in the words of OpenAI's other dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

import msgspec

from apps.domain import floats
from apps.domain.errors import InvalidRequest
from apps.domain.protocols.contract import ClientCall
from apps.domain.protocols.openai_chat.validation import (
    SUPPORTED,
    check_fields,
    check_logprobs,
    check_ranges,
    explained,
    listed,
    missing,
    no_call,
    no_result,
    undownloaded,
    unfit,
    unsupported,
    wrong_type,
    wrong_value,
)
from apps.domain.protocols.openai_responses import wire

__all__ = [
    "above_cap",
    "body",
    "check_logprobs",
    "check_narrow",
    "check_ranges",
    "convert",
    "missing",
    "no_call",
    "no_result",
    "text",
    "undownloaded",
    "unfit",
    "unsupported",
    "wrong_type",
    "wrong_value",
]

T = TypeVar("T")

_decode = msgspec.json.Decoder(wire.Body, float_hook=floats.read).decode
_decode_narrow = msgspec.json.Decoder(wire.Narrow, float_hook=floats.read).decode
_NARROW = wire.Narrow.__struct_fields__
_SUPPORTED = {
    **SUPPORTED,
    "truncation": listed(get_args(wire.Truncation)),
    "include": listed(get_args(wire.Includable)),
}
_NOTHING_GIVEN = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided."
_STATELESS = "nothing is kept between calls here; send the whole conversation as 'input'."


def body(raw: bytes) -> wire.Body:
    """The typed reading of a body that is known to be a JSON object. Raises InvalidRequest."""
    try:
        read = _decode(raw)
    except msgspec.ValidationError as error:
        raise explained(error, given=raw) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"We could not parse the JSON body of your request: {error}") from error
    except RecursionError as error:
        raise InvalidRequest("The request body is nested too deeply.") from error
    if read.input is None and read.prompt is None:
        raise missing("input")
    _check_state(read)
    return read


def check_narrow(body: wire.Body, fields: Mapping[str, msgspec.Raw]) -> None:
    """Raises InvalidRequest for what no model of OpenAI's would take, in its own words."""
    if not body.input:
        raise InvalidRequest(_NOTHING_GIVEN, code="missing_required_parameter")
    check_fields(fields, _NARROW, _decode_narrow, supported=_SUPPORTED)


def convert(raw: Any, type_: type[T], *, at: str) -> T:
    """Reads a part of a body that lies at `at` ("input[0].content"). Raises InvalidRequest."""
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        raise explained(error, given=raw, at=at) from error


def text(raw: Any, *, at: str) -> str:
    """A string that must be there and not be empty."""
    if raw is None or raw == "":
        raise missing(at)
    return convert(raw, str, at=at)


def above_cap(call: ClientCall, *, cap: int) -> InvalidRequest:
    """For a call that asks for more tokens than the model gives."""
    message = (
        f"max_output_tokens is too large: {call.max_tokens}. This model supports at most {cap} completion tokens, "
        f"whereas you provided {call.max_tokens}."
    )
    return InvalidRequest(message, param="max_output_tokens", code="invalid_value")


def _check_state(read: wire.Body) -> None:
    """What only who keeps state can do: a call may go to any of several accounts, of several providers."""
    if read.previous_response_id is not None:
        raise unsupported("previous_response_id", reason=_STATELESS)
    if read.conversation is not None:
        raise unsupported("conversation", reason=_STATELESS)
    if read.background:
        raise unsupported("background", reason="answers are not kept here to be fetched later.")
    for position, item in enumerate(read.input if isinstance(read.input, list) else ()):
        if item.type == "item_reference":
            raise unsupported(f"input[{position}].type", reason=f"an 'item_reference' cannot be resolved: {_STATELESS}")
