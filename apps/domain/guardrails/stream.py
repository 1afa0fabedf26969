"""Findings in an answer while it streams, in any dialect, however it is cut: into bytes, events or pieces of a word.

What ends a stream is held back before the client has the whole of it: the event in which a finding ends, and what may
become one from its fourth digit, its mark or its @ on. Bytes are never changed; nobody comes here without a policy that
asks.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from apps.domain import floats, sse
from apps.domain.guardrails import reading
from apps.domain.guardrails.scan import scan

_TAIL = 320  # characters of a text that are looked at again with what follows
_MOST_HELD = 65_536  # bytes
_OPEN = re.compile(r"[0-9A-Z](?:[ .\-]?[0-9A-Z]){3,40}[ .\-]?\Z")
_OPEN_EMAIL = re.compile(r"@[^\s@]{0,96}\Z")
_OPEN_SECRET = re.compile(
    r"(?:(?<![A-Za-z0-9])(?:A(?:KIA|SIA|BIA|CCA)|AIza|GOCSPX-|gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox[a-z]-|xapp-"
    r"|[sr]k_(?:live|test)_|whsec_|sk-|hf_|npm_|dop_v1_|gsk_|xai-|nvapi-|pypi-|weir_|eyJ|ya29\.|SG\.)[A-Za-z0-9_.-]*+"
    r"|[st]Key=[A-Za-z0-9/+=]*+)\Z"
)
_OPEN_NAMED = re.compile(r"(?:ecret[_-]?[Aa]ccess[_-]?[Kk]ey|ECRET_ACCESS_KEY)[^A-Za-z0-9]{0,12}[A-Za-z0-9/+]*+\Z")
_LOOK_BACK = 48
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_HALF_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_CHOSEN = ("delta", "text", "message")
_JSON = frozenset({"partial_json", "arguments"})
_NO_TEXT = frozenset({"type", "id", "role", "signature", "encrypted_content", "data", "format", "index"})
_ENDS = ("_stop", ".done", ".completed", ".incomplete", "message_delta")
_NUMERIC = frozenset({"card", "iban", "phone", "national_id"})
_SURE = frozenset({"secret"})  # what is one stays one, whatever follows

Channel = tuple[Any, ...]


class _Text:
    """One text as it comes. `at` is where `tail` begins in it; what begins before `counted` has been counted."""

    __slots__ = ("at", "carry", "counted", "tail", "waits")

    def __init__(self) -> None:
        self.tail = ""
        self.at = 0
        self.counted = 0
        self.carry = ""
        self.waits = False

    def add(self, piece: str, *, is_json: bool) -> None:
        if is_json and ("\\" in piece or self.carry):
            piece, self.carry = _unescaped(self.carry + piece)
        if (excess := len(self.tail) - _TAIL) > 0:
            self.tail = self.tail[excess:]
            self.at += excess
        self.tail += piece

    def found(self, kinds: Collection[str], *, is_over: bool) -> tuple[list[str], list[str]]:
        """What is found for certain and has not been told yet; and what would be, should nothing follow."""
        certain, open_ = [], []
        for each in scan(self.tail, kinds):
            if self.at + each.start < self.counted or (self.at and not each.start):
                continue
            if each.end == len(self.tail) and not is_over and each.kind not in _SURE:
                open_.append(each.kind)
            else:
                certain.append(each.kind)
                self.counted = self.at + each.end
        return certain, open_

    def may_become(self, kinds: frozenset[str]) -> bool:
        """It ends in what may yet become one of these."""
        word = self.tail[self.tail.rfind(" ") + 1 :]
        if "secret" in kinds and (
            (len(word) > 2 and _OPEN_SECRET.search(word))
            or (("ecret" in self.tail or "ECRET" in self.tail) and _OPEN_NAMED.search(self.tail))
        ):
            return True
        last = self.tail[-_LOOK_BACK:]
        if not _NUMERIC.isdisjoint(kinds) and any(map(str.isdigit, last[-4:])) and _OPEN.search(last):
            return True
        return "email" in kinds and "@" in word and _OPEN_EMAIL.search(word) is not None


class Watch:
    """`kinds` are counted in `found`; the first of those that are `stopping` ends the stream: `stopped` names it."""

    def __init__(self, kinds: Collection[str], *, stopping: Collection[str]) -> None:
        self.found: Counter[str] = Counter()
        self.stopped: str | None = None
        self._kinds = frozenset(kinds)
        self._stopping = frozenset(stopping)
        self._splitter = sse.Splitter()
        self._texts: dict[Channel, _Text] = {}
        self._held: deque[bytes] = deque()
        self._held_bytes = 0

    def feed(self, frames: bytes) -> bytes:
        """What may go out of these and those before."""
        if self.stopped is not None:
            return b""
        passed, whole = self._splitter.feed(frames)
        if passed and self._stopping:
            self._stop("an event too long to be looked into")
            return b""
        out = [passed] if passed else []
        for event in sse.events(whole):
            is_open = self._look(event)
            if self.stopped is not None:
                break
            self._held.append(event)
            self._held_bytes += len(event)
            while self._held and (not is_open or self._held_bytes > _MOST_HELD):  # the last ones stay
                out.append(self._held.popleft())
                self._held_bytes -= len(out[-1])
        return b"".join(out)

    def close(self) -> bytes:
        """The rest, unless it ends in a finding."""
        if self.stopped is not None:
            return b""
        rest = self._splitter.rest()
        if rest:
            self._look(rest)
        self._end_texts()
        if self.stopped is not None:
            return b""
        out = b"".join(self._held) + rest
        self._held.clear()
        return out

    def _look(self, event: bytes) -> bool:
        """Whether it must wait for what follows."""
        data = sse.parse(event)[1]
        if b'"' not in data:
            if data.startswith(b"[DONE]"):
                self._end_texts()
            return bool(self._held) and not data  # a comment goes with what is held
        try:
            read = floats.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            read = None
        if not isinstance(read, dict):
            self._unread()
            return bool(self._held)
        pieces = list(_pieces(read))
        if not pieces:
            self._other(read, data)
        for channel, piece, is_json in pieces:
            text = self._texts.setdefault(channel, _Text())
            text.add(piece, is_json=is_json)
            certain, open_ = text.found(self._kinds, is_over=False)
            self._tell(certain)
            text.waits = bool(self._stopping) and (
                not self._stopping.isdisjoint(open_) or text.may_become(self._stopping)
            )
        return any(text.waits for text in self._texts.values())

    def _other(self, read: dict[str, Any], data: bytes) -> None:
        """An event that goes on with no text: it may end one, bring one whole, or tell all of them again."""
        kind = read.get("type")
        if kind == "ping":
            return
        if isinstance(kind, str) and kind.endswith(_ENDS):
            self._end_texts()
        if len(data) > _LOOK_BACK:
            try:
                counted = reading.count(data, self._kinds)
            except (msgspec.DecodeError, RecursionError):
                self._unread()
                return
            for kind in counted:
                self._tell([kind] * (counted[kind] - self.found[kind]))  # the rest is told once more

    def _end_texts(self) -> None:
        for text in self._texts.values():
            certain, _ = text.found(self._kinds, is_over=True)
            self._tell(certain)
            text.tail, text.at, text.waits = "", text.at + len(text.tail), False

    def _tell(self, kinds: list[str]) -> None:
        for kind in kinds:
            self.found[kind] += 1
            if kind in self._stopping and self.stopped is None:
                self._stop(kind)

    def _unread(self) -> None:
        if self._stopping and self.stopped is None:
            self._stop("an event that cannot be read")

    def _stop(self, what: str) -> None:
        self.stopped = what
        self._held.clear()


def _pieces(read: dict[str, Any]) -> Iterator[tuple[Channel, str, bool]]:
    """The pieces of texts in an event, each with the text that it belongs to and whether that is JSON."""
    kind = read.get("type")
    if isinstance(delta := read.get("delta"), str):  # OpenAI's Responses
        place = (kind, read.get("output_index"), read.get("content_index"), read.get("summary_index"))
        yield place, delta, isinstance(kind, str) and "arguments" in kind
    elif isinstance(delta, dict):  # Anthropic's
        yield from _spoken(delta, (read.get("index"),))
    elif isinstance(choices := read.get("choices"), list):
        for choice in choices:
            if isinstance(choice, dict):
                told = {name: choice[name] for name in _CHOSEN if name in choice}
                yield from _spoken(told, (choice.get("index"),))
    elif kind is None and isinstance(text := read.get("text"), str):  # Weir's own
        yield (), text, False


def _spoken(value: dict[str, Any], place: Channel) -> Iterator[tuple[Channel, str, bool]]:
    """Whatever the field: providers have their own, and new ones come."""
    for name, inner in value.items():
        if isinstance(inner, str):
            if inner and name not in _NO_TEXT:
                yield (*place, name), inner, name in _JSON
        elif isinstance(inner, dict):
            yield from _spoken(inner, (*place, name))
        elif isinstance(inner, list):
            for number, each in enumerate(inner):
                if isinstance(each, dict):
                    yield from _spoken(each, (*place, name, each.get("index", number)))
                elif isinstance(each, str):
                    yield (*place, name, number), each, False


def _unescaped(text: str) -> tuple[str, str]:
    """The text without its escapes, and the beginning of one at its end."""
    half = _HALF_ESCAPE.search(text)
    carry = half[0] if half else ""
    whole = text[: len(text) - len(carry)]
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), whole), carry
