"""What the fields of a request are called in a dialect, so that what became of one can be told in another's words.

`Words` give by the name of the canonical request's field (a `ChatRequest`'s, or one of its `rest`) the paths that it
has in the dialect: several where the dialect has several names for it, none where it is said without a field of its
own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from apps.domain import errors

Words = Mapping[str, tuple[str, ...]]
_PLACE = re.compile(r"\[\d+\]|\.\d+(?=\.|$)")  # in a list, as OpenAI tells it and as Anthropic does
_HEAD = re.compile(r"([a-z_]+(?:\.[A-Za-z0-9_]+)*): ")  # how Anthropic's messages begin
_LONGEST = 200  # characters of a place: what is deeper lies within a field that these tell
_QUOTED = r"(?<=['\"`])%s(?=['\"`])|^%s(?=: )"


def is_in(body: Mapping[str, Any], path: str) -> bool:
    """Whether a body that is to be sent has something there."""
    name, _, rest = path.partition(".")
    if name not in body:
        return False
    within = body[name]
    return not rest or (isinstance(within, dict) and is_in(within, rest))


def paths_of(field: str, words: Words) -> tuple[str, ...] | None:
    """None: there is no word for it. A wish that is harder to say than others ("tool_choice.any") may have its own."""
    return words[field] if field in words else words.get(field.partition(".")[0])


def named(field: str, words: Words, *, given: Collection[str]) -> str | None:
    """What the caller called a canonical field, whose body has the names `given`. None: nothing."""
    return next((path for path in paths_of(field, words) or () if path.partition(".")[0] in given), None)


def told(field: str, words: Words, *, given: Collection[str]) -> str | None:
    """How a caller is told of a canonical field, which the body need not have. None: the dialect has no word for it."""
    return named(field, words, given=given) or next(iter(paths_of(field, words) or ()), None)


def retell(error: errors.GatewayError, *, of: Words, to: Words, given: Collection[str]) -> None:
    """Names in a provider's error the field as the caller calls it, or none: not one that only the provider knows."""
    found = _HEAD.match(error.message)
    place = error.param or (found.group(1) if found else None)
    if place is None:
        return
    field = _field_at(place[:_LONGEST], of)
    name = told(field, to, given=given) if field else None
    if name is not None and len(place) <= _LONGEST:
        quoted = re.escape(place)
        error.message = re.sub(_QUOTED % (quoted, quoted), name, error.message)
        error.args = (error.message,)
    error.param = name


def _field_at(place: str, words: Words) -> str | None:
    """The canonical field that a provider means by `place` ("input[0].content"). None: it is not known."""
    path = _PLACE.sub("", place)
    while path:
        for field, paths in words.items():
            if path in paths:
                return field
        path = path.rpartition(".")[0]
    return None
