"""OpenAI's Embeddings dialect."""

from __future__ import annotations

import array
import base64
import sys

import msgspec

from apps.simulator import openai, prebuilt, tokens, vectors
from apps.simulator.answer import Answer
from apps.simulator.ask import Ask, Object, Refused
from apps.simulator.completions import texts_of, too_long
from apps.simulator.dialect import Head, Reported, Request
from apps.simulator.openai_messages import expect, refuse
from apps.simulator.openai_request import check_range, refuse_length, whole_document

FIELDS = {"model", "input", "encoding_format", "dimensions", "user"}
WINDOW_TOKENS = 8192
MOST_INPUTS = 2048
DIMENSIONS = {"text-embedding-3-large": 3072}
DEFAULT_DIMENSIONS = 1536


def head(request: Request) -> Head | None:
    found = prebuilt.head(request)
    return found and Head(found.model)


def read(request: Request, *, lenient: bool) -> Ask:
    """Raises Refused."""
    document = whole_document(request.body)
    if not isinstance(document.get("model"), str):
        refuse("you must provide a model parameter")
    unknown = sorted(document.keys() - FIELDS)
    if unknown and not lenient:
        refuse(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0], code="unknown_parameter")
    form = expect(document, "encoding_format", str) or "float"
    if form not in ("float", "base64"):
        message = f"Invalid value: '{form}'. Supported values are: 'float' and 'base64'."
        refuse(message, param="encoding_format", code="invalid_value")
    return Ask(
        model=document["model"],
        inputs=tuple(_inputs(document)),
        dimensions=_dimensions(document),
        asked={"is_base64": form == "base64"},
    )


def embedded(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(text, ask=ask)}
        for index, text in enumerate(ask.inputs or ask.texts)
    ]
    document: Object = {"object": "list", "data": data, "model": ask.model}
    counted = {} if reported is None else {"prompt_tokens": reported.prompt, "total_tokens": reported.prompt}
    return {**document, "usage": counted} if counted else document


def overflow(size: int, model: str) -> Refused:
    return too_long(size, window=WINDOW_TOKENS)


def _inputs(document: Object) -> list[str]:
    if document.get("input") is None:
        refuse("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    inputs = texts_of(document["input"], name="input")
    if len(inputs) > MOST_INPUTS:
        refuse_length("input", high=MOST_INPUTS, length=len(inputs), what="array")
    for index, text in enumerate(inputs):
        if not text:
            refuse(f"Invalid 'input[{index}]': input cannot be an empty string.", param=f"input[{index}]")
        if tokens.count(text) > WINDOW_TOKENS:
            raise too_long(tokens.count(text), window=WINDOW_TOKENS)
    return inputs


def _dimensions(document: Object) -> int:
    model = document["model"]
    most = DIMENSIONS.get(model, DEFAULT_DIMENSIONS)
    wanted = expect(document, "dimensions", int)
    if wanted is None:
        return most
    if model == "text-embedding-ada-002":
        refuse("This model does not support specifying dimensions.", param="dimensions")
    check_range("dimensions", wanted, low=1, high=most)
    return int(wanted)


def _vector(text: str, *, ask: Ask) -> list[float] | str:
    vector = vectors.embed(text, dimensions=ask.dimensions or DEFAULT_DIMENSIONS)
    if not ask.asked.get("is_base64"):
        return vector
    numbers = array.array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


DIALECT = msgspec.structs.replace(
    openai.DIALECT, name="embeddings", head=head, read=read, message=embedded, overflow=overflow
)
