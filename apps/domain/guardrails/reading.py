"""What a model reads of a request or an answer, whatever its dialect: every text in the JSON, with its escapes undone,
and what lies in it in base64, in a data URL or as JSON once more. Images are not read, nor files of a binary format.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import msgspec

from apps.domain import floats
from apps.domain.guardrails import kinds as words
from apps.domain.guardrails import packed
from apps.domain.guardrails.scan import Finding, scan

T = TypeVar("T")
Masking = Generator[None, None, T]  # gives what is masked, and may be left for a while where it yields

BATCH = 8_192  # characters that are scanned at a time
_SEAM = 256  # characters on either side of a border between two texts of one message
_BEFORE = 64  # characters before a piece: an address's beginning, or the words that say what a number is
_LONGEST = 17_000  # characters of a finding: a private key's
_SHORTEST = 24  # of what may be base64
_DEEPEST = 4  # JSON in JSON
_LEAST, _MOST = 1e8, 1e20  # numbers of fewer or more digits are none of ours
_PLAIN_KEYS = frozenset({"type", "text", "role", "content", "messages", "model", "name", "description", "index"})
_SPOKEN = ("text", "content", "thinking", "output", "refusal")
_SPACED = re.compile(rb'"[ \t\r\n]++:')
_MEMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"[ \t\r\n]*+(:?)', re.DOTALL)


def count(body: bytes, kinds: Collection[str]) -> Counter[str]:
    """How often each kind is found. Raises what JSON readers raise, and DecodeError for a key that comes twice."""
    return _finished(counting(body, kinds))


def counting(body: bytes, kinds: Collection[str]) -> Generator[None, None, Counter[str]]:
    """The same, a piece at a time."""
    found: Counter[str] = Counter()
    for passage in passages(body):
        found.update(passage(kinds))
        yield
    return found


def _finished(work: Generator[None, None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result


def texts(body: bytes) -> list[str]:
    """All that is read of it, one text after another. Raises what JSON readers raise."""
    found: list[str] = []
    _read(floats.decode(body), found, [])
    return found


def passages(body: bytes) -> Iterator[Callable[[Collection[str]], list[str]]]:
    """What is to be scanned, a piece at a time, so that others can be served in between."""
    texts: list[str] = []
    seams: list[list[str]] = []
    members = _read(floats.decode(body), texts, seams)
    # Another reader might take the other one. What lies in strings is read below, each for itself.
    if members != _most_members(body) and members != sum(match[1] != b"" for match in _MEMBER.finditer(body)):
        raise msgspec.DecodeError("a key comes twice in one object")
    batch: list[str] = []
    size = 0
    for text in texts:
        if len(text) > 2 * BATCH:
            yield from (piece.kinds for piece in _pieces(text))
            continue
        batch.append(text)
        size += len(text)
        if size >= BATCH:
            yield _joined(batch).kinds
            batch, size = [], 0
    yield _joined(batch).kinds
    if seams:
        yield from _across(seams)


def _most_members(body: bytes) -> int:
    """Quickly: also what only looks like one, in a string."""
    return body.count(b'":') + sum(1 for _ in _SPACED.finditer(body))


def _joined(texts: list[str]) -> _Piece:
    text = "\n".join(texts)
    return _Piece(text, 0, len(text))


class _Piece(NamedTuple):
    """Of a long text, whose findings are those that begin between `start` and `end`; `at` is where it lies in it."""

    text: str
    start: int
    end: int
    at: int = 0

    def kinds(self, kinds: Collection[str]) -> list[str]:
        return [found.kind for found in self.found(kinds)]

    def found(self, kinds: Collection[str]) -> Iterator[Finding]:
        return (found for found in scan(self.text, kinds) if self.start <= found.start < self.end)


def _pieces(text: str, *, size: int = BATCH, behind: int = 2 * _SEAM) -> Iterator[_Piece]:
    """They overlap: what begins in the overlap is the next piece's, which has the words before it too."""
    if len(text) <= 2 * size:
        yield _Piece(text, 0, len(text))
        return
    for start in range(0, len(text), size):
        at = max(0, start - _BEFORE)
        yield _Piece(text[at : start + size + behind], start - at, start - at + size, at)


def _across(seams: list[list[str]]) -> Iterator[Callable[[Collection[str]], list[str]]]:
    """Only what lies on a border: the rest has been found in its own part. In pieces, as long texts are."""
    near: list[str] = []
    borders: list[int] = []
    size = begun = 0
    for parts in seams:
        for part in parts:
            near.append(part if len(part) <= 2 * _SEAM else f"{part[:_SEAM]}\n{part[-_SEAM:]}")
            size += len(near[-1])
            borders.append(size)
            if size > BATCH + 2 * _SEAM:
                text = "".join(near)
                yield partial(_on_borders, text, borders, begun, BATCH)
                begun, done = _BEFORE, BATCH - _BEFORE
                near, size = [text[done:]], size - done
                borders = [border - done for border in borders if border > done]
        near.append("\n")
        size += 1
    yield partial(_on_borders, "".join(near), borders, begun, size)


def _on_borders(text: str, borders: list[int], start: int, end: int, kinds: Collection[str]) -> list[str]:
    return [found.kind for found in scan(text, kinds) if start <= found.start < end and _is_split(text, found, borders)]


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
            texts.append(packed.unescaped(name))
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


def _json(text: str, *, number: Callable[[str], float | msgspec.Raw] = float) -> Any:
    """None: it is none. `number` reads those with a point or an exponent, and what JSON has not, as NaN."""
    start = text[:64].lstrip()[:1]
    if not start or start not in '{["':
        return None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_float=number, parse_constant=number, strict=False)
    except (ValueError, RecursionError):
        return None


def _written(number: int | float) -> str:
    """Empty for one that is none of ours."""
    if not _LEAST <= abs(number) < _MOST:
        return ""
    return str(int(number)) if number == int(number) else repr(number)


# --- masking -------------------------------------------------------------------------------------------------------


def _as_written(number: str) -> msgspec.Raw:
    """1.10 stays 1.10, and 1e5 is not 100000.0."""
    return msgspec.Raw(number.encode())


_decode_to_mask = msgspec.json.Decoder(float_hook=_as_written).decode


def masked(body: bytes, kinds: Collection[str]) -> bytes:
    """The body with a placeholder for each finding that lies in one text. What lies on a border stays: whoever needs
    to be sure counts again. Numbers that are no finding stay as they are written."""
    return _finished(masking(body, kinds))


def masking(body: bytes, kinds: Collection[str]) -> Masking[bytes]:
    """The same, a piece at a time."""
    new = yield from _masked(_decode_to_mask(body), kinds, "", 0)
    return msgspec.json.encode(new)


def _masked(value: Any, kinds: Collection[str], name: str, depth: int) -> Masking[Any]:
    if isinstance(value, str):
        return (yield from _masked_text(value, kinds, name, depth))
    if isinstance(value, dict):
        files = packed.told(value)
        told: dict[str, Any] = {}
        uses: Counter[str] = Counter()
        for key, inner in value.items():
            new = yield from _replaced(key, kinds, "")
            if new != key:
                new = _free(new, uses, told, value)
            if key in files:
                told[new] = yield from _masked_file(inner, files[key], kinds)
            else:
                told[new] = yield from _masked(inner, kinds, key, depth)
        return told
    if isinstance(value, list):
        items = []
        for inner in value:
            new = yield from _masked(inner, kinds, name, depth)
            items.append(new)
        return items
    number = float(bytes(value)) if isinstance(value, msgspec.Raw) else value
    if number is not None and (written := _written(number)):
        new = yield from _replaced(written, kinds, name)
        return value if new == written else new
    return value


def _free(name: str, uses: Counter[str], *taken: Mapping[str, Any]) -> str:
    """A key that no other member has: keys that are masked alike stay apart."""
    new = name
    while any(new in members for members in taken):
        uses[name] += 1
        new = f"{name} {uses[name] + 1}"
    return new


def _masked_file(text: str, kind: str, kinds: Collection[str]) -> Masking[str]:
    hidden = packed.file(text, kind)
    if hidden.text is not None:
        told = yield from _replaced(hidden.text, kinds, "")
        if told != hidden.text:
            return hidden.pack(told)
    return (yield from _replaced(text, kinds, ""))


def _masked_text(text: str, kinds: Collection[str], name: str, depth: int) -> Masking[str]:
    if len(text) >= _SHORTEST and depth < _DEEPEST:
        if "\\" in text and (inner := _json(text, number=_as_written)) is not None:
            new = yield from _masked(inner, kinds, name, depth + 1)
            return text if new == inner else msgspec.json.encode(new).decode()
        hidden = packed.unpacked(text)
        if hidden is not None and hidden.text is not None:
            told = yield from _replaced(hidden.text, kinds, name)
            return text if told == hidden.text else hidden.pack(told)
    plain = packed.unescaped(text)
    told = yield from _replaced(plain, kinds, name)
    return text if told == plain else told


def _replaced(text: str, kinds: Collection[str], name: str) -> Masking[str]:
    """`name` is of the field that it stands in: it may say what a number is."""
    led = f"{name}\n{text}" if name not in _PLAIN_KEYS and name else text
    offset = len(led) - len(text)
    parts: list[str] = []
    behind = offset
    for piece in _pieces(led, size=8 * BATCH, behind=_LONGEST):
        for found in piece.found(kinds):
            if (start := piece.at + found.start) >= behind:
                parts += (led[behind:start], words.placeholder(found.kind))
                behind = piece.at + found.end
        if piece.at:
            yield
    return "".join((*parts, led[behind:])) if parts else text
