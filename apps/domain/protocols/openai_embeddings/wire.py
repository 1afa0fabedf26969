"""The body of `POST /v1/embeddings`, as far as anything here reads it. What is not named still arrives at an upstream
that speaks the same."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from apps.domain.protocols.openai_chat import validation
from apps.domain.protocols.splice import Members

Name = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Inputs = str | list[str | int | list[int]]


class Body(msgspec.Struct):
    model: Name
    input: Inputs
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Count | None = None
    user: str | None = None
    input_type: str | None = None  # Cohere's; callers send it to anybody


class Wire(msgspec.Struct, frozen=True):
    """One reading of a body, twice: where its members lie (to edit it), and what they mean."""

    members: Members
    body: Body


_decode = msgspec.json.Decoder(Body).decode
FIELDS = frozenset(Body.__struct_encode_fields__)


def body(raw: bytes) -> Body:
    """The typed reading of a body that is known to be a JSON object. Raises InvalidRequest, naming the field."""
    read = validation.typed(raw, _decode)
    given = read.input
    if not given:
        raise validation.wrong_type("input", expected="a string or an array that is not empty", got="an empty one")
    if isinstance(given, list):
        kind = type(given[0])
        for position, one in enumerate(given):
            _check(one, kind=kind, at=f"input[{position}]")
    return read


def _check(one: str | int | list[int], *, kind: type, at: str) -> None:
    """Texts, or tokens, or lists of tokens; not some of each."""
    if type(one) is not kind:
        raise validation.wrong_type(at, expected="the same type as the first of 'input'", got="another")
    if one == "" or one == []:
        raise validation.wrong_type(at, expected="a string or an array that is not empty", got="an empty one")
