"""A reading of Ollama's chat request: what its Go server cannot take is refused, in similar words; the rest is ignored.

Unlike OpenAI it lets fields that it does not know pass in silence, and streams unless it is told not to.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal, NoReturn

import msgspec

from apps.simulator import ollama_models as models
from apps.simulator import tokens
from apps.simulator.ask import Ask, Object, Refused, Tool

LEVELS = ("low", "medium", "high", "max")
_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_WHOLE = ("num_ctx", "num_predict", "num_keep", "seed", "top_k", "repeat_last_n", "num_batch", "num_gpu", "num_thread")
_REAL = ("temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty")


def whole_document(body: bytes) -> Object:
    if not body.strip():
        refuse("missing request body")
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(f"invalid character in JSON: {error}")
    if not isinstance(document, dict):
        refuse(f"json: cannot unmarshal {_GO_KINDS.get(type(document), 'null')} into Go value of type api.ChatRequest")
    return document


def refuse(message: str, *, status: int = 400) -> NoReturn:
    raise Refused(message, status=status)


def field(document: Object, name: str, kind: type, *, at: str = "ChatRequest.") -> Any:  # Any: as JSON has it
    """The field, or None where it is absent or null. Raises Refused in the words of Go's decoder."""
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        got, wanted = _GO_KINDS[type(value)], {"array": "[]", "object": "map[string]"}.get(_GO_KINDS[kind])
        wanted = wanted or _GO_KINDS[kind]
        refuse(f"json: cannot unmarshal {got} into Go struct field {at}{name} of type {wanted}")
    return value


def named_model(document: Object) -> str:
    model: str = field(document, "model", str) or ""
    if not model:
        refuse("model is required")
    return model


def options_of(document: Object) -> Object:
    options: Object = field(document, "options", dict) or {}
    for name, value in options.items():
        if value is None:
            continue
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name in _WHOLE and not (is_number and value == int(value)):
            refuse(f'option "{name}" must be of type integer')
        if name in _REAL and not is_number:
            refuse(f'option "{name}" must be of type float32')
        if name == "stop" and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
            refuse('option "stop" must be of type array')
    return options


def read(body: bytes) -> Ask:
    """Raises Refused."""
    document = whole_document(body)
    model = named_model(document)
    if models.is_embedder(model):
        refuse(f'"{model}" does not support chat')
    options = options_of(document)
    tools, definitions = _tools(document, model=model)
    turns = [_turn(turn) for turn in field(document, "messages", list) or []]
    turns = _within_window(turns, document=document, options=options, extra=definitions)
    said = [turn["content"] for turn in turns if turn["role"] == "user" and turn["content"]]
    return Ask(
        model=model,
        stream=field(document, "stream", bool) is not False,
        cap=_cap(options, is_silent=not turns),
        stops=tuple(stop for stop in options.get("stop") or [] if stop),
        texts=(*(text for turn in turns for text in _texts(turn)), *definitions),
        messages=len(turns),
        attachments=sum(len(turn["images"]) for turn in turns),
        said=said[-1] if said else "",
        results=_unanswered(turns),
        tools=tools,
        thinking=_thinking(document, model=model),
        schema=_schema(document),
        asked={"is_load": not turns},
    )


def _cap(options: Object, *, is_silent: bool) -> int | None:
    """Without messages the model is loaded and says nothing. -1 and -2 are "as much as it likes"."""
    if is_silent:
        return 0
    cap = options.get("num_predict")
    return None if cap is None or cap < 0 else int(cap)


def _turn(turn: Any) -> Object:  # Any: nothing is known of it yet
    """The message with everything in place."""
    if not isinstance(turn, dict):
        refuse("json: cannot unmarshal into Go struct field ChatRequest.messages of type api.Message")
    at = "ChatRequest.messages."
    whole: Object = {name: field(turn, name, str, at=at) or "" for name in ("role", "content", "thinking", "tool_name")}
    if not whole["role"]:
        refuse("invalid role: , role must be one of [system, user, assistant, tool]")
    whole["images"] = [_image(image) for image in field(turn, "images", list, at=at) or []]
    whole["calls"] = [_call(call) for call in field(turn, "tool_calls", list, at=at) or []]
    return whole


def _image(image: Any) -> str:  # Any: nothing is known of it yet
    """Go reads bytes from bare base64; the prefix of a data URL is none."""
    if not isinstance(image, str):
        refuse("json: cannot unmarshal into Go struct field ChatRequest.messages.images of type []uint8")
    try:
        base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        place = next((at for at, letter in enumerate(image) if not (letter.isalnum() or letter in "+/=")), len(image))
        refuse(f"illegal base64 data at input byte {place}")
    return image


def _call(call: Any) -> tuple[str, str]:  # Any: nothing is known of it yet
    """Name and arguments, as text."""
    at = "ChatRequest.messages.tool_calls."
    function = field(call if isinstance(call, dict) else {}, "function", dict, at=at) or {}
    name = field(function, "name", str, at=f"{at}function.") or ""
    arguments = field(function, "arguments", dict, at=f"{at}function.") or {}
    return name, msgspec.json.encode(arguments).decode()


def _tools(document: Object, *, model: str) -> tuple[tuple[Tool, ...], list[str]]:
    definitions = field(document, "tools", list) or []
    if definitions and not models.has_tools(model):
        refuse(f"registry.ollama.ai/library/{models.tagged(model)} does not support tools")
    tools = []
    for definition in definitions:
        at = "ChatRequest.tools."
        function = field(definition if isinstance(definition, dict) else {}, "function", dict, at=at) or {}
        name = field(function, "name", str, at=f"{at}function.") or ""
        schema = field(function, "parameters", dict, at=f"{at}function.") or {"type": "object", "properties": {}}
        tools.append(Tool(name, schema))
    return tuple(tools), [msgspec.json.encode(definition).decode() for definition in definitions]


def _within_window(turns: list[Object], *, document: Object, options: Object, extra: list[str]) -> list[Object]:
    """What the model is shown: whatever does not fit is left out, oldest first, unless that was forbidden."""
    window = options.get("num_ctx") or models.DEFAULT_WINDOW

    def size(kept: list[Object]) -> int:
        texts = sum(tokens.count(text) for turn in kept for text in _texts(turn))
        pictures = sum(len(turn["images"]) for turn in kept)
        rest = sum(map(tokens.count, extra))
        return texts + rest + len(kept) * tokens.PER_MESSAGE + pictures * tokens.ATTACHMENT

    excess = size(turns) - window
    if excess <= 0:
        return turns
    if field(document, "truncate", bool) is False:
        raise overflow(excess)
    kept = list(turns)
    while size(kept) > window:
        oldest = next((at for at, turn in enumerate(kept[:-1]) if turn["role"] != "system"), None)
        if oldest is None:
            break
        del kept[oldest]
    return kept


def overflow(excess: int) -> Refused:
    return Refused(f"prompt too long; exceeded max context length by {excess} tokens")


def _thinking(document: Object, *, model: str) -> Literal["off", "shown", "omitted"]:
    think = document.get("think")
    if think is not None and not isinstance(think, bool) and think not in LEVELS:
        refuse(f'invalid think value: "{think}" (must be "high", "medium", "low", "max", true, or false)')
    if think and not models.may_think(model):
        refuse(f'"{model}" does not support thinking')
    if think is None or models.always_thinks(model):
        return "shown" if models.thinks_unasked(model) else "off"
    return "shown" if think else "off"


def _schema(document: Object) -> Object | None:
    form = document.get("format")
    if form is None or form == "":
        return None
    if form == "json":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if not isinstance(form, dict):
        refuse(f'invalid format: "{form}"; expected "json" or a valid JSON Schema object')
    return form


def _unanswered(turns: list[Object]) -> tuple[str, ...]:
    since = max((at for at, turn in enumerate(turns) if turn["role"] == "assistant"), default=0)
    return tuple(turn["content"] for turn in turns[since:] if turn["role"] == "tool")


def _texts(turn: Object) -> list[str]:
    thought = [turn["thinking"]] if turn["thinking"] else []
    return [turn["content"], *thought, *(text for call in turn["calls"] for text in call)]
