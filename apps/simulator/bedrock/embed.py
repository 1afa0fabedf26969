"""InvokeModel for embeddings: Titan's and Cohere's bodies. Titan counts in the body, both in a header."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from apps.simulator import ids, vectors
from apps.simulator.answer import Answer
from apps.simulator.ask import Ask, Object
from apps.simulator.bedrock import invoke, service, signature
from apps.simulator.bedrock.service import refuse
from apps.simulator.dialect import Frame, Reported, Request

TITAN_FIELDS = {"inputText", "dimensions", "normalize", "embeddingTypes"}
TITAN_DIMENSIONS = (1024, 512, 256)
TITAN_1_DIMENSIONS = 1536
COHERE_FIELDS = {"texts", "input_type", "embedding_types", "truncate"}
COHERE_4_FIELDS = COHERE_FIELDS | {"output_dimension", "max_tokens"}
COHERE_4_DIMENSIONS = (1536, 1024, 512, 256)
COHERE_DIMENSIONS = 1024
COHERE_PURPOSES = ("search_document", "search_query", "classification", "clustering")
COHERE_KINDS = ("float", "int8", "uint8", "binary", "ubinary")
COHERE_TEXTS = 96


def read(request: Request, *, lenient: bool = False) -> Ask:
    """Raises Refused."""
    model = service.model(request)
    document = service.document(request.body)
    if model.family == "cohere":
        inputs, dimensions = _cohere(document, is_fourth="v4" in model.name, lenient=lenient)
    elif model.family in ("amazon", "simulated"):
        inputs, dimensions = _titan(document, is_first=model.id.endswith("text-v1"), lenient=lenient)
    else:
        refuse("The provided model identifier is invalid.")
    return Ask(model=model.id, inputs=inputs, dimensions=dimensions, asked=document)


def message(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    found = [vectors.embed(text, dimensions=ask.dimensions) for text in ask.inputs]
    if "inputText" in ask.asked:
        kinds = ask.asked.get("embeddingTypes") or ["float"]
        counted = {} if reported is None else {"inputTextTokenCount": reported.fresh}
        return {
            **({"embedding": found[0]} if "float" in kinds else {}),
            "embeddingsByType": {kind: _as(found[0], kind=kind) for kind in kinds},
            **counted,
        }
    document: Object = {"id": ids.new(""), "texts": list(ask.inputs)}
    if kinds := ask.asked.get("embedding_types"):
        by_kind = {kind: [_as(vector, kind=kind) for vector in found] for kind in kinds}
        return {**document, "embeddings": by_kind, "response_type": "embeddings_by_type"}
    return {**document, "embeddings": found, "response_type": "embeddings_floats"}


def frames(answer: Answer, *, ask: Ask, reported: Reported) -> list[Frame]:
    """An embedding is never streamed: no path leads here but that of prebuilt answers, which come in both forms."""
    return []


def _titan(document: Object, *, is_first: bool, lenient: bool) -> tuple[tuple[str, ...], int]:
    _check_fields(document, fields={"inputText"} if is_first else TITAN_FIELDS, required="inputText", lenient=lenient)
    text = document["inputText"]
    if not isinstance(text, str):
        _malformed(f"#/inputText: expected type: String, found: {_kind(text)}")
    if not text:
        _malformed("expected minLength: 1, actual: 0")
    if is_first:
        return (text,), TITAN_1_DIMENSIONS
    if not isinstance(document.get("normalize", True), bool):
        _malformed(f"#/normalize: expected type: Boolean, found: {_kind(document['normalize'])}")
    _check_kinds(document.get("embeddingTypes"), at="#/embeddingTypes", known=("float", "binary"))
    return (text,), _dimensions(document, name="dimensions", known=TITAN_DIMENSIONS)


def _cohere(document: Object, *, is_fourth: bool, lenient: bool) -> tuple[tuple[str, ...], int]:
    fields = COHERE_4_FIELDS if is_fourth else COHERE_FIELDS
    _check_fields(document, fields=fields, required="texts", lenient=lenient)
    texts = document["texts"]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        _malformed(f"#/texts: expected type: JSONArray of String, found: {_kind(texts)}")
    if not 1 <= len(texts) <= COHERE_TEXTS:
        _malformed(f"#/texts: expected minimum item count: 1, maximum item count: {COHERE_TEXTS}, found: {len(texts)}")
    purpose = document.get("input_type")
    if purpose not in COHERE_PURPOSES:
        told = "required key [input_type] not found" if purpose is None else f"#/input_type: {purpose} is not valid"
        _malformed(told)
    if document.get("truncate", "NONE") not in ("NONE", "START", "END", "LEFT", "RIGHT"):
        _malformed(f"#/truncate: {document['truncate']} is not a valid enum value")
    _check_kinds(document.get("embedding_types"), at="#/embedding_types", known=COHERE_KINDS)
    if not is_fourth:
        return tuple(texts), COHERE_DIMENSIONS
    return tuple(texts), _dimensions(document, name="output_dimension", known=COHERE_4_DIMENSIONS)


def _check_fields(document: Object, *, fields: set[str], required: str, lenient: bool) -> None:
    unknown = sorted(document.keys() - fields)
    if unknown and not lenient:
        _malformed(f"#: extraneous key [{unknown[0]}] is not permitted")
    if required not in document:
        _malformed(f"#: required key [{required}] not found")


def _check_kinds(kinds: Any, *, at: str, known: tuple[str, ...]) -> None:
    if kinds is not None and (not isinstance(kinds, list) or not kinds or not set(kinds) <= set(known)):
        _malformed(f"{at}: {kinds} is not a valid enum value")


def _dimensions(document: Object, *, name: str, known: tuple[int, ...]) -> int:
    """The first known is what comes without asking."""
    wish: int = document.get(name, known[0])
    if isinstance(wish, bool) or wish not in known:
        _malformed(f"#/{name}: {wish} is not a valid enum value")
    return wish


def _malformed(what: str) -> None:
    refuse(f"Malformed input request: {what}, please reformat your input and try again.")


def _kind(value: Any) -> str:
    names = {bool: "Boolean", int: "Integer", float: "Number", str: "String", list: "JSONArray", dict: "JSONObject"}
    return names.get(type(value), "Null")


def _as(vector: list[float], *, kind: str) -> list[float] | list[int]:
    """`int8` and `uint8` are a byte a number; `binary` and `ubinary` are a bit a number, eight to a byte."""
    if kind == "float":
        return vector
    if kind in ("int8", "uint8"):
        bytes_ = [max(-128, min(127, round(number * 127))) for number in vector]
        return bytes_ if kind == "int8" else [number + 128 for number in bytes_]
    bits = "".join("1" if number > 0 else "0" for number in vector)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return list(struct.unpack(f"{len(packed)}{'b' if kind == 'binary' else 'B'}", packed))


DIALECT = msgspec.structs.replace(
    invoke.DIALECT, name="bedrock_embed", authenticate=signature.authenticate, read=read, message=message, frames=frames
)
