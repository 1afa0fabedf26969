"""What is wrong with a request, named the way Anthropic names it: `messages.0.content: Field required`."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from apps.domain import floats
from apps.domain.errors import InvalidRequest
from apps.domain.protocols import attachments
from apps.domain.protocols.attachments import Reason
from apps.domain.protocols.contract import ClientCall

T = TypeVar("T")

_MISSING = re.compile(r"Object missing required field `(.+?)`")
_TYPE = re.compile(r"Expected `(.+?)`, got `.+?`")
_BOUND = re.compile(r"Expected `(?:int|float)` ([<>]=) (-?\d+)")
_EMPTY = re.compile(r"Expected `(str|array)` of length >= 1")
_CHOICE = re.compile(r"Invalid enum value")
_PLACE = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_ROLES = "'user', 'assistant' or 'system'"
_WORDS = {
    "str": "a valid string",
    "int": "a valid integer",
    "float": "a valid number",
    "bool": "a valid boolean",
    "array": "a valid list",
    "object": "an object",
}
_NOT_DOWNLOADED: dict[Reason, str] = {
    "unreachable": "Unable to download the file. Please verify the URL and try again.",
    "late": "The request timed out while trying to download the file. Please try again later.",
    "large": "Unable to download the file: the files of this request are too large.",
    "many": "Unable to download the file: the request has too many URLs.",
    "image": "Unsupported file type: an image must be PNG, JPEG, GIF or WebP.",
    "document": "Unsupported file type: a document must be a PDF file or plain text.",
}
_BOUNDS = {">=": "greater than or equal to", "<=": "less than or equal to"}


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Reads a body that is known to be a JSON object. Raises InvalidRequest that names the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise explain(error, at="") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("The request body is not valid JSON, or is nested too deeply.") from error


def value(raw: bytes, *, at: str) -> Any:
    """Reads whatever lies at `at`. Raises InvalidRequest for a number that no reader can hold."""
    try:
        return floats.decode(raw)
    except msgspec.ValidationError as error:
        raise explain(error, at=at) from error


def convert(raw: Any, type_: type[T], *, at: str) -> T:
    """Reads a part of a body that lies at `at` ("messages.0.content.1"). Raises InvalidRequest."""
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        raise explain(error, at=at) from error


def explain(error: msgspec.ValidationError, *, at: str) -> InvalidRequest:
    reason = str(error)
    place = _PLACE.search(reason)
    param = _dotted(at, place.group(1) if place else "")
    if found := _MISSING.search(reason):
        return invalid(_dotted(param, f".{found.group(1)}"), "Field required")
    if _CHOICE.search(reason):
        return invalid(param, f"Input should be {_ROLES}")
    if found := _BOUND.search(reason):
        return invalid(param, f"must be {_BOUNDS[found.group(1)]} {found.group(2)}")
    if found := _EMPTY.search(reason):
        empty = "at least one message is required" if param == "messages" else "must not be empty"
        return invalid(param, empty)
    if found := _TYPE.search(reason):
        return invalid(param, f"Input should be {_in_words(found.group(1))}")
    return invalid(param, _PLACE.sub("", reason))


def invalid(param: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: {reason}" if param else reason, param=param or None)


def unfit(field: str, reason: str) -> InvalidRequest:
    """For what this model's provider has no words for."""
    return invalid(field, reason)


def undownloaded(call: ClientCall, *, url: str, reason: Reason) -> InvalidRequest:
    """For what lies at a URL of the request's, or does not; in the words of Anthropic, who would have fetched it."""
    at = ".".join(map(str, attachments.place(call.body, url)))
    told = invalid(at or "messages", _NOT_DOWNLOADED[reason])
    told.code = f"url_{reason}"  # for the log; callers get none
    return told


def above_cap(call: ClientCall, *, cap: int) -> InvalidRequest:
    """For a call that asks for more tokens than the model gives."""
    reason = f"{call.max_tokens} > {cap}, which is the maximum allowed number of output tokens for {call.model}"
    return invalid("max_tokens", reason)


def _dotted(at: str, path: str) -> str:
    """`messages` and `[0].content` make `messages.0.content`."""
    dotted = at + re.sub(r"\[(\d+)\]", r".\1", path)
    return dotted.removeprefix(".")


def _in_words(types: str) -> str:
    names = [name for name in types.split(" | ") if name != "null"]
    return " or ".join(_WORDS.get(name, name) for name in names)
