"""What a model reads of a request or an answer, whatever its dialect: every text in the JSON, with its escapes undone,
and what lies in it in base64, in a data URL or as JSON once more. Images are not read, nor files of a binary format.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from apps.domain.guardrails import kinds as words
from apps.domain.guardrails import packed
from apps.domain.guardrails.scan import Finding, scan

BATCH = 8_192  # characters that are scanned at a time
_SEAM = 256  # characters on either side of a border between two texts of one message
_SHORTEST = 24  # of what may be base64
_DEEPEST = 4  # JSON in JSON
_LEAST, _MOST = 1e8, 1e20  # numbers of fewer or more digits are none of ours
_PLAIN_KEYS = frozenset({"type", "text", "role", "content", "messages", "model", "name", "description", "index"})
_SPOKEN = ("text", "content", "thinking", "output", "refusal")
_SPACED = re.compile(rb'"[ \t\r\n]++:')
_MEMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"[ \t\r\n]*+(:?)', re.DOTALL)

_decode = msgspec.json.Decoder(float_hook=float).decode  # its own reading of 1e300 takes a hundred times as long


def count(body: bytes, kinds: Collection[str]) -> Counter[str]:
    """How often each kind is found. Raises what JSON readers raise, and DecodeError for a key that comes twice."""
    found: Counter[str] = Counter()
    for passage in passages(body):
        found.update(passage(kinds))
    return found


def texts(body: bytes) -> list[str]:
    """All that is read of it, one text after another. Raises what JSON readers raise."""
    found: list[str] = []
    _read(_decode(body), found, [])
    return found


def passages(body: bytes) -> Iterator[Callable[[Collection[str]], list[str]]]:
    """What is to be scanned, a piece at a time, so that others can be served in between."""
    texts: list[str] = []
    seams: list[list[str]] = []
    members = _read(_decode(body), texts, seams)
    # Another reader might take the other one. What lies in strings is read below, each for itself.
    if members != _most_members(body) and members != sum(match[1] != b"" for match in _MEMBER.finditer(body)):
        raise msgspec.DecodeError("a key comes twice in one object")
    batch: list[str] = []
    size = 0
    for text in texts:
        if len(text) > 2 * BATCH:
            yield from _cut(text)
            continue
        batch.append(text)
        size += len(text)
        if size >= BATCH:
            yield _scanning("\n".join(batch))
            batch, size = [], 0
    yield _scanning("\n".join(batch))
    if seams:
        yield _across(seams)


def _most_members(body: bytes) -> int:
    """Quickly: also what only looks like one, in a string."""
    return body.count(b'":') + sum(1 for _ in _SPACED.finditer(body))


def _cut(text: str) -> Iterator[Callable[[Collection[str]], list[str]]]:
    """A long text in pieces that overlap; what begins in the overlap is the next piece's."""
    for start in range(0, len(text), BATCH):
        yield partial(_before, text[max(0, start - 1) : start + BATCH + 2 * _SEAM], BATCH + (start > 0))


def _before(text: str, end: int, kinds: Collection[str]) -> list[str]:
    return [found.kind for found in scan(text, kinds) if found.start < end]


def _scanning(text: str) -> Callable[[Collection[str]], list[str]]:
    return lambda kinds: [found.kind for found in scan(text, kinds)]


def _across(seams: list[list[str]]) -> Callable[[Collection[str]], list[str]]:
    """Only what lies on a border: the rest has been found in its own part."""
    borders: list[int] = []
    near: list[str] = []
    size = 0
    for parts in seams:
        for part in parts:
            near.append(part if len(part) <= 2 * _SEAM else f"{part[:_SEAM]}\n{part[-_SEAM:]}")
            size += len(near[-1])
            borders.append(size)
        near.append("\n")
        size += 1

    def scanned(kinds: Collection[str]) -> list[str]:
        whole = "".join(near)
        return [found.kind for found in scan(whole, kinds) if _is_split(whole, found, borders)]

    return scanned


def _is_split(text: str, found: Finding, borders: list[int]) -> bool:
    """Whether a border runs through it; not what a part has by itself, and the next only seems to go on with."""
    within = borders[bisect_right(borders, found.start) : bisect_left(borders, found.end)]
    edges = (found.start, *within, found.end)
    return bool(within) and not any(scan(text[start:end], {found.kind}) for start, end in pairwise(edges))


def _read(value: Any, texts: list[str], seams: list[list[str]], depth: int = 0) -> int:
    """How many members its objects have, besides."""
    if isinstance(value, str):
        _text(value, texts, seams, depth)
    elif isinstance(value, dict):
        return _read_members(value, texts, seams, depth)
    elif isinstance(value, list):
        members = has_texts = 0
        for inner in value:
            if isinstance(inner, str):
                _text(inner, texts, seams, depth)
                has_texts = 1
            elif isinstance(inner, dict | list):
                members += _read(inner, texts, seams, depth)
                has_texts = 1
            elif inner is not None and not -_LEAST < inner < _LEAST and (written := _written(inner)):
                texts.append(written)
        if has_texts and len(value) > 1:
            seams += _beside(value)
        return members
    elif value is not None and (written := _written(value)):
        texts.append(written)
    return 0


def _read_members(value: dict[str, Any], texts: list[str], seams: list[list[str]], depth: int) -> int:
    files = packed.told(value)
    members = len(value)
    for name, inner in value.items():
        if name not in _PLAIN_KEYS:
            texts.append(name)
        if name in files:
            hidden = packed.file(inner, files[name])
            if hidden.text is not None and depth < _DEEPEST:
                _text(hidden.text, texts, seams, depth + 1)
            if not hidden.is_sure:
                texts.append(packed.unescaped(inner))
            continue
        members += _read(inner, texts, seams, depth)
    if isinstance(value, _Twice):
        for inner in value.others:
            _read(inner, texts, seams, depth)
    return members


def _text(text: str, texts: list[str], seams: list[list[str]], depth: int) -> None:
    if len(text) < _SHORTEST or depth >= _DEEPEST:
        texts.append(packed.unescaped(text))
        return
    if "\\" in text and (inner := _json(text)) is not None:
        _read(inner, texts, seams, depth + 1)
        return
    hidden = packed.unpacked(text)
    if hidden is not None and hidden.text is not None:
        _text(hidden.text, texts, seams, depth + 1)
    if hidden is None or len(text) < packed.BINARY or not hidden.is_sure:
        texts.append(packed.unescaped(text))
    if hidden is None:
        for inner in packed.within(text):
            _text(inner, texts, seams, depth + 1)


def _beside(items: list[Any]) -> list[list[str]]:
    """Texts that are read one after another: of neighbours in a list that nothing else parts, and of one speaker."""
    runs: list[list[str]] = []
    run: list[str] = []
    role = None
    for item in items:
        said = _Said(item, item) if isinstance(item, str) else _said(item) if isinstance(item, dict) else _NOTHING
        speaker = item.get("role") if isinstance(item, dict) else None
        if said.first is None or speaker != role:
            runs.append(run)
            run = []
        if said.first is not None:
            run.append(said.first)
        if said.last is not said.first:  # what is in between has its own run
            runs.append(run)
            run = [] if said.last is None else [said.last]
        role = speaker
    runs.append(run)
    return [run for run in runs if len(run) > 1]


class _Said(NamedTuple):
    """The texts that a message begins and ends with; None: it does with something else."""

    first: str | None
    last: str | None


_NOTHING = _Said(None, None)


def _said(item: dict[str, Any]) -> _Said:
    spoken = next((item[name] for name in _SPOKEN if name in item), None)
    if isinstance(spoken, str):
        return _Said(spoken, spoken)
    if not isinstance(spoken, list) or not spoken:
        return _NOTHING
    first, last = spoken[0], spoken[-1]
    begun = _said(first).first if isinstance(first, dict) else None
    return _Said(begun, begun if first is last else _said(last).last if isinstance(last, dict) else None)


class _Twice(dict[str, Any]):
    """An object some of whose keys come twice, with what the former ones had."""

    others: list[Any]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    twice = _Twice(value)
    twice.others = [inner for name, inner in pairs if inner is not value[name]]
    return twice


def _json(text: str) -> Any:
    """None: it is none."""
    start = text[:64].lstrip()[:1]
    if not start or start not in '{["':
        return None
    try:
        return json.loads(text, object_pairs_hook=_object, strict=False)
    except (ValueError, RecursionError):
        return None


def _written(number: int | float) -> str:
    """Empty for one that is none of ours."""
    if not _LEAST <= abs(number) < _MOST:
        return ""
    return str(int(number)) if number == int(number) else repr(number)


# --- masking -------------------------------------------------------------------------------------------------------


def masked(body: bytes, kinds: Collection[str]) -> bytes:
    """The body with a placeholder for each finding that lies in one text. What lies on a border stays: whoever needs
    to be sure counts again."""
    return msgspec.json.encode(_masked(_decode(body), kinds, "", 0))


def _masked(value: Any, kinds: Collection[str], name: str, depth: int) -> Any:
    if isinstance(value, str):
        return _masked_text(value, kinds, name, depth)
    if isinstance(value, dict):
        files = packed.told(value)
        return {
            _replaced(key, kinds, ""): _masked_file(inner, files[key], kinds)
            if key in files
            else _masked(inner, kinds, key if isinstance(key, str) else "", depth)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_masked(inner, kinds, name, depth) for inner in value]
    if isinstance(value, int | float) and (written := _written(value)):
        new = _replaced(written, kinds, name)
        return value if new == written else new
    return value


def _masked_file(text: str, kind: str, kinds: Collection[str]) -> str:
    hidden = packed.file(text, kind)
    told = text if hidden.text is None else _replaced(hidden.text, kinds, "")
    return hidden.pack(told) if hidden.text is not None and told != hidden.text else _replaced(text, kinds, "")


def _masked_text(text: str, kinds: Collection[str], name: str, depth: int) -> str:
    if len(text) >= _SHORTEST and depth < _DEEPEST:
        if "\\" in text and (inner := _json(text)) is not None:
            new = _masked(inner, kinds, name, depth + 1)
            return text if new == inner else msgspec.json.encode(new).decode()
        hidden = packed.unpacked(text)
        if hidden is not None and hidden.text is not None:
            told = _replaced(hidden.text, kinds, name)
            return text if told == hidden.text else hidden.pack(told)
    plain = packed.unescaped(text)
    told = _replaced(plain, kinds, name)
    return text if told == plain else told


def _replaced(text: str, kinds: Collection[str], name: str) -> str:
    """`name` is of the field that it stands in: it may say what a number is."""
    led = f"{name}\n{text}" if name not in _PLAIN_KEYS and name else text
    offset = len(led) - len(text)
    pieces: list[str] = []
    behind = 0
    for found in _inside(scan(led, kinds), offset):
        pieces += (text[behind : found.start - offset], words.placeholder(found.kind))
        behind = found.end - offset
    return "".join((*pieces, text[behind:])) if pieces else text


def _inside(found: list[Finding], offset: int) -> list[Finding]:
    return [each for each in found if each.start >= offset]
