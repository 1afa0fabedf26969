"""What is wrong with a request, named the way OpenAI names it: a sentence, the parameter, a code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, get_args

import msgspec

from apps.domain import floats
from apps.domain.errors import InvalidRequest
from apps.domain.protocols import attachments
from apps.domain.protocols.attachments import Reason
from apps.domain.protocols.contract import ClientCall
from apps.domain.protocols.openai_chat import wire

_T = TypeVar("_T")

_decode = msgspec.json.Decoder(wire.Body, float_hook=floats.read).decode
_decode_narrow = msgspec.json.Decoder(wire.Narrow, float_hook=floats.read).decode
_NARROW = wire.Narrow.__struct_fields__
_MISSING = re.compile(r"Object missing required field `(.+?)`")
_TYPE = re.compile(r"Expected `(.+?)`, got `(.+?)`")
_LEAST = re.compile(r"Expected `(int|float|str|array)` (?:of length )?>= (\d+)")
_MOST = re.compile(r"Expected `(?:int|float)` <= (\d+)")
_CHOICE = re.compile(r"Invalid enum value '(.*)'", re.DOTALL)
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_INDEX = re.compile(r"\[\d+\]")
_PLACE = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)
_RANGES = {"temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2)}
_NOT_DOWNLOADED: dict[Reason, tuple[str, str]] = {
    "unreachable": ("Error while downloading {url}.", "invalid_image_url"),
    "late": ("Timeout while downloading {url}.", "invalid_image_url"),
    "large": ("Failed to download image from {url}. Image size exceeds the limit.", "invalid_image"),
    "many": ("Error while downloading {url}: the request has too many URLs.", "invalid_image_url"),
    "image": (
        "You uploaded an unsupported image. Please make sure your image has of one the following formats: "
        "['png', 'jpeg', 'gif', 'webp'].",
        "invalid_image_format",
    ),
    "document": ("The file at {url} is of an unsupported type. Expected a PDF file, or text.", "invalid_value"),
}
_LONGEST_URL = 200
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a decimal",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def listed(words: Iterable[str]) -> str:
    """As OpenAI lists what it supports: `'a', 'b', and 'c'`."""
    *others, last = (f"'{word}'" for word in words)
    return f"{', '.join(others)}{',' if len(others) > 1 else ''} and {last}" if others else last


SUPPORTED = {
    "role": listed(get_args(wire.Role)),
    "verbosity": listed(get_args(wire.Verbosity)),
    "service_tier": listed(get_args(wire.Tier)),
}


def body(raw: bytes) -> wire.Body:
    """The typed reading of a body that is known to be a JSON object. Raises InvalidRequest."""
    read = typed(raw, _decode)
    for position, message in enumerate(read.messages):
        _check(message, at=f"messages[{position}]")
    _check_caps(read)
    return read


def typed(raw: bytes, decode: Callable[[bytes], _T], *, supported: Mapping[str, str] = SUPPORTED) -> _T:
    """What `decode` makes of a body that is known to be a JSON object. Raises InvalidRequest, naming the field.
    `supported`: by a field's name, the words that it takes."""
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        raise explained(error, given=raw, supported=supported) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"We could not parse the JSON body of your request: {error}") from error
    except RecursionError as error:
        raise InvalidRequest("The request body is nested too deeply.") from error


def wrong_type(param: str | None, *, expected: str, got: str) -> InvalidRequest:
    subject = f"'{param}'" if param else "the request body"
    message = f"Invalid type for {subject}: expected {expected}, but got {got} instead."
    return InvalidRequest(message, param=param, code="invalid_type")


def missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def wrong_value(param: str, *, value: str, supported: str) -> InvalidRequest:
    message = f"Invalid value: '{value}'. Supported values are: {supported}."
    return InvalidRequest(message, param=param, code="invalid_value")


def unsupported(param: str, *, reason: str) -> InvalidRequest:
    return InvalidRequest(f"Unsupported parameter: '{param}': {reason}", param=param, code="unsupported_parameter")


def check_ranges(body: Any) -> None:
    """What OpenAI's dialects sample with. Raises InvalidRequest for what no model of theirs would take."""
    for name, (low, high) in _RANGES.items():
        given = getattr(body, name, None)
        if given is not None and not low <= given <= high:
            side, bound = ("below minimum", f">= {low}") if given < low else ("above maximum", f"<= {high}")
            code = "decimal_below_min_value" if given < low else "decimal_above_max_value"
            message = f"Invalid '{name}': decimal {side} value. Expected a value {bound}, but got {given} instead."
            raise InvalidRequest(message, param=name, code=code)


def check_narrow(fields: Mapping[str, msgspec.Raw]) -> None:
    """Raises InvalidRequest for what no model of OpenAI's would take."""
    check_fields(fields, _NARROW, _decode_narrow, supported=SUPPORTED)


def check_fields(
    fields: Mapping[str, msgspec.Raw],
    names: Iterable[str],
    decode: Callable[[bytes], Any],
    *,
    supported: Mapping[str, str],
) -> None:
    """Has `decode` judge those of a body's fields that are called so. Raises InvalidRequest, naming the field."""
    given = {name: fields[name] for name in names if name in fields}
    if given:
        typed(msgspec.json.encode(given), decode, supported=supported)


def check_logprobs(*, logprobs: Any, top_logprobs: Any) -> None:
    """Raises InvalidRequest for what no model of OpenAI's would take."""
    if top_logprobs is None and (logprobs is None or isinstance(logprobs, bool)):
        return
    given = {"logprobs": logprobs, "top_logprobs": top_logprobs}
    try:
        likely = msgspec.convert(given, wire.Likely)
    except msgspec.ValidationError as error:
        raise explained(error, given=given) from error
    if likely.top_logprobs is not None and not likely.logprobs:
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise InvalidRequest(message, param="top_logprobs")


def check_choice(name: str | None, offered: Iterable[str], *, param: str) -> None:
    """Raises InvalidRequest for the choice of a tool that is not offered."""
    if name is not None and name not in offered:
        message = f"Tool choice '{name}' not found in 'tools' parameter."
        raise InvalidRequest(message, param=param, code="invalid_value")


def no_result(at: str, id_: str) -> InvalidRequest:
    message = f"No result was found for the tool call '{id_[:200]}'; each call must be followed by its result."
    return InvalidRequest(message, param=at, code="invalid_value")


def no_call(at: str, id_: str) -> InvalidRequest:
    message = f"No tool call was found for the result with the id '{id_[:200]}'; it must follow its call."
    return InvalidRequest(message, param=at, code="invalid_value")


def unfit(field: str, reason: str) -> InvalidRequest:
    """For what this model's provider has no words for."""
    return InvalidRequest(f"Unsupported value in '{field}': {reason}.", param=field, code="unsupported_value")


def undownloaded(call: ClientCall, *, url: str, reason: Reason) -> InvalidRequest:
    """For what lies at a URL of the request's, or does not; in the words of OpenAI, who would have fetched it."""
    message, code = _NOT_DOWNLOADED[reason]
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in attachments.place(call.body, url))
    message = message.replace("{url}", url[:_LONGEST_URL])
    return InvalidRequest(message, param="".join(steps).removeprefix(".") or "messages", code=code)


def above_cap(call: ClientCall, *, cap: int) -> InvalidRequest:
    """For a call that asks for more tokens than the model gives."""
    param = "max_tokens" if call.wire.body.max_completion_tokens is None else "max_completion_tokens"
    return too_large(param, asked=call.max_tokens, cap=cap)


def too_large(param: str, *, asked: int | None, cap: int) -> InvalidRequest:
    message = (
        f"{param} is too large: {asked}. This model supports at most {cap} completion tokens, "
        f"whereas you provided {asked}."
    )
    return InvalidRequest(message, param=param, code="invalid_value")


def _check_caps(read: wire.Body) -> None:
    """Which of two caps counts differs from vendor to vendor."""
    caps = {read.max_tokens, read.max_completion_tokens} - {None}
    if len(caps) > 1:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise InvalidRequest(message, param="max_tokens", code="invalid_parameter_combination")


def _check(message: wire.Message, *, at: str) -> None:
    """What the types alone do not say."""
    if message.role == "tool" and message.tool_call_id is None:
        raise missing(f"{at}.tool_call_id")
    if message.role == "function" and not message.name:
        raise missing(f"{at}.name")
    content = message.content
    if content is None and message.role not in ("assistant", "function"):
        raise wrong_type(f"{at}.content", expected="a string or an array of objects", got="null")
    if isinstance(content, list):
        for position, part in enumerate(content):
            _check_part(part, at=f"{at}.content[{position}]")
    for position, call in enumerate(message.tool_calls or ()):
        if call.type == "function" and call.function is None:
            raise missing(f"{at}.tool_calls[{position}].function")


def _check_part(part: wire.Part, *, at: str) -> None:
    if part.type == "text" and part.text is None:
        raise missing(f"{at}.text")
    if part.type == "image_url" and part.image_url is None:
        raise missing(f"{at}.image_url")
    if part.type == "file" and part.file is None:
        raise missing(f"{at}.file")


def explained(
    error: msgspec.ValidationError, *, given: Any, at: str = "", supported: Mapping[str, str] = SUPPORTED
) -> InvalidRequest:
    """msgspec's sentence in OpenAI's words, on what was `given` (or its JSON) `at` this place in the request."""
    reason = str(error)
    place = _PLACE.search(reason)
    within = place.group(1) if place else ""
    within = within.removesuffix("[...]")  # the value of a key that is the caller's own
    param = (f"{at}.{within}" if at and within and within[0] != "[" else at + within) or None
    if found := _MISSING.search(reason):
        return missing(f"{param}.{found.group(1)}" if param else found.group(1))
    if found := _CHOICE.search(reason):
        words = supported.get(_INDEX.sub("", param or "").rpartition(".")[2], "see the API reference")
        return wrong_value(param or "body", value=found.group(1), supported=words)
    if found := _TYPE.search(reason):
        expected, got = found.groups()
        return wrong_type(param, expected=_in_words(expected), got=_in_words(got))
    if found := _LEAST.search(reason):
        return _too_small(param, kind=found.group(1), least=found.group(2), got=_got(given, within))
    if found := _MOST.search(reason):
        bound = f"<= {found.group(1)}{_got(given, within)}"
        message = f"Invalid '{param}': integer above maximum value. Expected a value {bound}."
        return InvalidRequest(message, param=param, code="integer_above_max_value")
    return InvalidRequest(f"Invalid value for '{param}': {reason}", param=param, code="invalid_value")


def _got(given: Any, within: str) -> str:
    """The end of a sentence on a number: nothing where it cannot be read again."""
    try:
        found = floats.decode(given) if isinstance(given, bytes) else given
        for index, name in _STEP.findall(within):
            found = found[int(index)] if index else found[name]
    except (msgspec.MsgspecError, LookupError, TypeError):
        return ""
    return f", but got {found} instead" if isinstance(found, int) else ""


def _too_small(param: str | None, *, kind: str, least: str, got: str) -> InvalidRequest:
    if kind == "array":
        expected = f"an array with minimum length {least}, but got an empty array instead"
        message = f"Invalid '{param}': empty array. Expected {expected}."
        return InvalidRequest(message, param=param, code="empty_array")
    if kind == "str":
        return InvalidRequest(f"Invalid '{param}': empty string.", param=param, code="empty_string")
    message = f"Invalid '{param}': integer below minimum value. Expected a value >= {least}{got}."
    return InvalidRequest(message, param=param, code="integer_below_min_value")


def _in_words(types: str) -> str:
    words = [_WORDS.get(name, name) for name in types.split(" | ")]
    if len(words) > 1 and "null" in words:
        words.remove("null")
    return " or ".join(words)
