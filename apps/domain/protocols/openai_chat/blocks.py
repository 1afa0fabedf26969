"""From deltas that come in any order to blocks that come one after another.

OpenAI lets the fragments of several calls, and text between them, arrive interleaved; canonically one block is open
at a time. So one block streams, and what belongs to another waits in its order until the open one has ended: text
ends when something else begins, a call when its arguments are a whole JSON value (or at the end of the answer).
"""

from __future__ import annotations

import re
from typing import Literal

from apps.domain.chat import Text, Thinking, ToolUse
from apps.domain.errors import UpstreamBroken
from apps.domain.events import ArgumentsDelta, BlockStarted, BlockStopped, Event, TextDelta, ThinkingDelta
from apps.domain.protocols.openai_chat import answer

MAX_WAITING = 4 << 20  # characters; a vendor that interleaves more is broken
MAX_CALLS = 1024

Kind = Literal["text", "thinking"]
_MARK = re.compile(r'[{}\[\]"\\]')
_EMPTY: dict[Kind, Text | Thinking] = {"text": Text(""), "thinking": Thinking("")}


class _Nesting:
    """Follows JSON through its fragments, far enough to know when a whole object or array is in."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._begun = False

    @property
    def complete(self) -> bool:
        return self._begun and self._depth <= 0

    def feed(self, text: str) -> None:
        position = int(self._escaped and bool(text))
        self._escaped = self._escaped and not text
        while mark := _MARK.search(text, position):
            position = mark.end()
            match mark.group():
                case "\\":
                    self._escaped = position == len(text)
                    position += 1
                case '"':
                    self._in_string = not self._in_string
                case "{" | "[" if not self._in_string:
                    self._depth += 1
                    self._begun = True
                case "}" | "]" if not self._in_string:
                    self._depth -= 1


class _Words:
    """Text or thinking that waits."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.pieces: list[str] = []


class _Call:
    """A call as far as it is known; `pieces` are the arguments that wait."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = ""
        self.minted = False
        self.name = ""
        self.pieces: list[str] = []
        self.nesting = _Nesting()
        self.superseded = False
        self.closed = False

    @property
    def complete(self) -> bool:
        return self.superseded or self.nesting.complete


class Blocks:
    """Collects events in `events`, for its owner to take. Raises UpstreamBroken for what has no reading."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.response_id = ""
        self.called = False  # a call with a name is among the blocks
        self.cut = False  # a call ended before its arguments did
        self._index = -1
        self._open: Kind | _Call | None = None
        self._waiting: list[_Words | _Call] = []
        self._size = 0
        self._calls: dict[int | str, _Call] = {}
        self._last: int | str = 0
        self._count = 0

    @property
    def said(self) -> bool:
        return self._index >= 0

    def say(self, kind: Kind, text: str) -> None:
        """Non-empty text or thinking."""
        if self._open == kind and not self._waiting:
            self._emit(kind, text)
            return
        last = self._waiting[-1] if self._waiting else None
        if not isinstance(last, _Words) or last.kind != kind:
            last = _Words(kind)
            self._waiting.append(last)
        last.pieces.append(text)
        self._hold(len(text))
        self._advance()

    def call(self, index: int | None, *, call_id: str, name: str, arguments: str) -> None:
        """A fragment of a call. What it does not say is empty; `index` None: the vendor does not number its calls."""
        call = self._find(index, call_id, name, arguments)
        if not call.id and call_id:
            call.id = call_id
        call.name = call.name or name
        if not arguments or (not call.nesting.complete and not call.pieces and not arguments.strip()):
            self._advance()
            return
        if call.closed:
            if arguments.strip():
                raise UpstreamBroken("the provider went on with a tool call that had ended")
            return
        call.nesting.feed(arguments)
        if call is self._open:
            self.events.append(ArgumentsDelta(self._index, arguments))
            return
        call.pieces.append(arguments)
        self._hold(len(arguments))
        self._advance()

    def finish(self) -> None:
        """No more will come: what waits goes out as it is, and a call that never got a name is dropped."""
        self._advance(ended=True)
        self._close()

    def _find(self, index: int | None, call_id: str, name: str, arguments: str) -> _Call:
        key: int | str = index if index is not None else (call_id or self._last)
        self._last = key
        call = self._calls.get(key)
        if call is not None:
            other = bool(call_id and call.id and call_id != call.id and not call.minted)
            repeated = bool(name and not call_id and call.complete and arguments.strip())
            if not other and not repeated:
                return call
            call.superseded = True
        if self._count >= MAX_CALLS:
            raise UpstreamBroken("the provider made too many tool calls in one answer")
        fresh = self._calls[key] = _Call(self._count)
        self._count += 1
        self._waiting.append(fresh)
        return fresh

    def _hold(self, size: int) -> None:
        self._size += size
        if self._size > MAX_WAITING:
            raise UpstreamBroken("the provider interleaves more than can be held")

    def _advance(self, *, ended: bool = False) -> None:
        """Sends what waits, as far as the open block lets it."""
        while self._waiting:
            if isinstance(self._open, _Call) and not (ended or self._open.complete):
                return
            first = self._waiting[0]
            if isinstance(first, _Call) and not self._ready(first, ended=ended):
                if not ended:
                    return
                del self._waiting[0]
                continue
            del self._waiting[0]
            self._start(first)

    def _ready(self, call: _Call, *, ended: bool) -> bool:
        """A call can start when its name and id are known; its id is minted when the arguments come first."""
        if not call.name:
            return False
        if not call.id and (call.pieces or ended or call.superseded):
            call.id = answer.mint(self.response_id, call.number)
            call.minted = True
        return bool(call.id)

    def _start(self, first: _Words | _Call) -> None:
        kind = first.kind if isinstance(first, _Words) else first
        if self._open != kind:
            self._close()
            self._index += 1
            self._open = kind
            block = ToolUse(kind.id, kind.name, "") if isinstance(kind, _Call) else _EMPTY[kind]
            self.called = self.called or isinstance(kind, _Call)
            self.events.append(BlockStarted(self._index, block))
        text = "".join(first.pieces)
        first.pieces = []
        self._size -= len(text)
        if text:
            self._emit(kind, text)

    def _emit(self, kind: Kind | _Call, text: str) -> None:
        if kind == "text":
            self.events.append(TextDelta(self._index, text))
        elif kind == "thinking":
            self.events.append(ThinkingDelta(self._index, text))
        else:
            self.events.append(ArgumentsDelta(self._index, text))

    def _close(self) -> None:
        if self._open is None:
            return
        if isinstance(self._open, _Call):
            self._open.closed = True
            self.cut = self.cut or not self._open.nesting.complete
        self.events.append(BlockStopped(self._index))
        self._open = None
