"""Exact edits of a JSON object's top level: values change, are added or leave, every other byte stays.

Prompt caches and signatures hang on the exact bytes of a request, so a body is never decoded and written anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

import msgspec

from apps.domain import errors
from apps.domain.protocols import nesting

_KEY = re.compile(
    rb'[ \t\n\r]*"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\n\r]*:[ \t\n\r]*'
)  # it never goes back: a key may be long
_NEXT = re.compile(rb"[ \t\n\r]*([,}])")
_PAIR = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]")  # UTF-16's two halves of one character, each an escape
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode

Style = tuple[bytes, bytes]  # what lies before a key but the first, and between a key and its value
# How nearly every client writes: with no blank, or as Python does.
_COMPACT = (b',"', b'":')
_SPACED = (b', "', b'": ')
_FIRST_KEYS = 300  # bytes in which the first key ends


class Members(msgspec.Struct, frozen=True, gc=False):
    """The values of a JSON object. One that is written in one `style` throughout is that and no more; of any other,
    `spans` tells in their order where the values lie."""

    body: bytes
    values: dict[str, msgspec.Raw]
    style: Style | None = None
    spans: dict[str, tuple[int, int]] = {}

    def raw(self, name: str) -> bytes | None:
        value = self.values.get(name)
        return None if value is None else bytes(value)

    def edit(self, changes: Mapping[str, bytes], *, without: Collection[str] = ()) -> bytes:
        """The body with each named value replaced in its place, or added behind the last one, and without others."""
        if self.style is not None:
            kept = (
                {name: value for name, value in self.values.items() if name not in without} if without else self.values
            )
            escaped = {name if name in kept else _escaped(name): value for name, value in changes.items()}
            return _written({**kept, **escaped}, self.style)
        behind = self.body.index(b"{") + 1
        pieces = [self.body[:behind]]
        is_first = True
        for name, (start, stop) in self.spans.items():
            lead, behind = self.body[behind:start], stop
            if name in without:
                continue
            if is_first and lead.lstrip().startswith(b","):
                lead = lead.partition(b",")[2]  # the one before it is gone
            is_first = False
            pieces += (lead, changes.get(name) or self.body[start:stop])
        added = b",".join(
            msgspec.json.encode(name) + b":" + value
            for name, value in changes.items()
            if name not in self.spans or name in without
        )
        if added:
            pieces.append(added if is_first else b"," + added)
        return b"".join(pieces) + self.body[behind:]


def read(body: bytes, *, at: str = "") -> Members:
    """The members of the object that `body` is, or that lies `at` this place in the request.

    Raises InvalidRequest: not UTF-8, not JSON, not an object, nested too deeply, or a key that comes twice, be it in
    other letters' case (two readers of such a body could disagree about what it asks for; Go's does not mind case).
    """
    try:
        if not body.isascii():
            body.decode()
        values = _decode(body)
    except msgspec.ValidationError as error:
        raise errors.InvalidRequest("The request body must be a JSON object.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.InvalidRequest(f"The request body is not valid JSON: {_reason(error, body)}") from error
    except RecursionError as error:
        raise nesting.too_deep() from error
    nesting.check(body)
    members = _straight(body, values) or _walk(body, values, at=at)
    if len(set(map(str.casefold, values))) < len(values):
        raise _twice(_first_double(values), at=at)
    return members


def refuse_other_case(members: Members, fields: frozenset[str]) -> None:
    """Raises InvalidRequest for a key that is one of our fields but for its letters' case: we would overlook what a
    reader that does not mind case obeys."""
    for name in members.values.keys() - fields:
        if (meant := name.casefold()) in fields:
            raise errors.InvalidRequest(f"{name}: write it {meant}.", param=name)


def _first_double(values: Mapping[str, msgspec.Raw]) -> str:
    met: set[str] = set()
    for name in values:
        if name.casefold() in met:
            return name
        met.add(name.casefold())
    raise AssertionError("no key comes twice")


def _straight(body: bytes, values: dict[str, msgspec.Raw]) -> Members | None:
    """Of a body in one style throughout. None: it is not.

    What has these values and is as short as can be is compact; the other style is written again and compared.
    """
    if len(body) == len("".join(values).encode()) + sum(map(len, values.values())) + 4 * len(values) + 1:
        return Members(body, values, _COMPACT)
    if _SPACED[1] in body[:_FIRST_KEYS] and _written(values, _SPACED) == body:
        return Members(body, values, _SPACED)
    return None


def _written(values: Mapping[str, msgspec.Raw | bytes], style: Style) -> bytes:
    if not values:
        return b"{}"
    before, behind = style
    return b'{"' + before.join([name.encode() + behind + value for name, value in values.items()]) + b"}"


def edit(body: bytes, changes: Mapping[str, bytes], *, without: Collection[str] = ()) -> bytes:
    """`read(body).edit(…)`."""
    return read(body).edit(changes, without=without)


def edit_items(array: bytes, changed: Callable[[bytes], bytes]) -> bytes:
    """A JSON array in which what `changed` makes of each item stands in its place; every other byte stays."""
    pieces: list[bytes] = []
    position = 0
    for raw in _decode_items(array):
        item = bytes(raw)
        start = array.index(
            item, position
        )  # nothing but a comma and blanks lies before it, and no value has these first
        pieces += (array[position:start], changed(item))
        position = start + len(item)
    return b"".join(pieces) + array[position:]


def _reason(error: Exception, body: bytes) -> str:
    if not body.strip():
        return "it is empty."
    if body.startswith(b"\xef\xbb\xbf"):
        return "it begins with a byte order mark."
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8."
    if _HALF.search(_PAIR.sub(b"", body.replace(b"\\\\", b""))):
        return "it has half of a surrogate pair, as \\ud800, without the other half."
    return str(error)


def _walk(body: bytes, values: dict[str, msgspec.Raw], *, at: str) -> Members:
    """Steps from value to value by their known lengths. A key that comes twice keeps its last value only, so at its
    first place either the bytes differ or the key is met again."""
    spans: dict[str, tuple[int, int]] = {}
    end = body.index(b"{") + 1
    while match := _KEY.match(body, end):
        start = match.end()
        name = _name(match.group(1))
        value = bytes(values[name])
        end = start + len(value)
        if name in spans or not body.startswith(value, start):
            raise _twice(name, at=at)
        spans[name] = (start, end)
        following = _NEXT.match(body, end)
        if following is None:
            raise _twice(name, at=at)
        if following.group(1) == b"}":
            return Members(body, values, None, spans)
        end = following.end()
    return Members(body, values, None, spans)


def _escaped(name: str) -> str:
    return msgspec.json.encode(name)[1:-1].decode()


def _name(raw: bytes) -> str:
    return msgspec.json.decode(b'"' + raw + b'"', type=str) if b"\\" in raw else raw.decode()


def _twice(name: str, *, at: str) -> errors.InvalidRequest:
    name = f"{at}.{name}" if at else name
    return errors.InvalidRequest(f"{name}: the key appears twice in the request body.", param=name)
