"""How deep a request's JSON goes. Readers behind us may recurse, so there is an end to it."""

from __future__ import annotations

import re

import msgspec

from apps.domain import errors

MAX_LEVELS = 64
# Conversations have some thousands. More would only make the count below last.
MAX_CONTAINERS = 100_000
_COUNTED_AT_MOST = 1 << 11  # longer bodies nearly always have more brackets, and indenting them is quicker
# Indenting is ten times as quick as counting, but makes a body longer by a blank a level and value: a hostile one of a
# megabyte by hundreds. One of so few bytes cannot grow beyond the limit below.
_SMALL = 1 << 17
_INDENTED_AT_MOST = 1 << 26
_LEVELS_READ = 1000  # the parser goes no deeper
_AT_THE_BRINK = b"\n" + b" " * MAX_LEVELS
_STRING = re.compile(rb'"[^"]+"')
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_ALL_ELSE = bytes(set(range(256)) - set(b'[]{}"'))


def check(body: bytes) -> None:
    """`body` is known to be JSON. Raises InvalidRequest beyond MAX_LEVELS arrays and objects in one another."""
    if len(body) <= _COUNTED_AT_MOST and body.count(b"[") + body.count(b"{") <= MAX_LEVELS:
        return
    if _stays_small(body) and _AT_THE_BRINK not in msgspec.json.format(body, indent=1):
        return
    brackets = _brackets(body)
    if len(brackets) > 2 * MAX_CONTAINERS:
        raise errors.InvalidRequest(f"The request body has more than {MAX_CONTAINERS} arrays and objects.")
    for _ in range(MAX_LEVELS):
        brackets = brackets.replace(b"[]", b"")  # the innermost of each nest, and no more
    if brackets:
        raise too_deep()


def _stays_small(body: bytes) -> bool:
    """Whether it may be indented."""
    if len(body) <= _SMALL:
        return True
    opened = body.count(b"[") + body.count(b"{")
    return (body.count(b",") + opened) * min(opened, _LEVELS_READ) + len(body) <= _INDENTED_AT_MOST


def too_deep() -> errors.InvalidRequest:
    return errors.InvalidRequest(f"The request body is nested too deeply: more than {MAX_LEVELS} levels.")


def _brackets(body: bytes) -> bytes:
    """What opens and closes arrays and objects, all of it as square brackets. Strings are left out."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return _STRING.sub(b"", body.translate(_ONE_KIND, _ALL_ELSE).replace(b'""', b""))
