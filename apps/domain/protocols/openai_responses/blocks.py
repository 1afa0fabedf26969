"""From items to blocks that come one after another.

Items have places and may overlap; canonically one block is open at a time. The first that has not ended streams, and
what belongs to a later one waits for its turn.
"""

from __future__ import annotations

from apps.domain.chat import Block, Text, Thinking, ToolUse
from apps.domain.errors import UpstreamBroken
from apps.domain.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Event,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)
from apps.domain.protocols.openai_chat.answer import is_object

MAX_WAITING = 4 << 20  # characters
MAX_ITEMS = 2048


class Line:
    """One item: a block, as far as it is known. `pieces` are what waits."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.pieces: list[str] = []
        self.said: list[str] = []  # a call's arguments, to see whether they are whole
        self.has_said = False
        self.source = ""  # of a thought: the event that tells it, of two that may
        self.signature = ""
        self.ended = False


class Blocks:
    """Collects events in `events`, for its owner to take. Raises UpstreamBroken for what cannot be held."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lines: dict[int, Line] = {}
        self.called = False  # a call whose arguments are whole is among the blocks
        self.cut = False  # one is whose arguments are not
        self._queue: list[Line] = []  # the first one streams
        self._index = -1
        self._begun = False  # the first one's block is open
        self._size = 0

    def add(self, place: int, block: Block) -> Line:
        """A line for the item at `place`; its block begins when something of it is said, a call's at once."""
        if len(self.lines) >= MAX_ITEMS:
            raise UpstreamBroken("the provider's answer has too many items")
        line = self.lines[place] = Line(block)
        self._queue.append(line)
        self._advance()
        return line

    def say(self, line: Line, text: str) -> None:
        if line.ended or not text:
            return
        line.has_said = True
        if isinstance(line.block, ToolUse):
            line.said.append(text)
        if self._queue and self._queue[0] is line:
            self._emit(line, text)
            return
        line.pieces.append(text)
        self._size += len(text)
        if self._size > MAX_WAITING:
            raise UpstreamBroken("the provider interleaves more than can be held")

    def end(self, line: Line, *, signature: str = "") -> None:
        line.signature = signature or line.signature
        line.ended = True
        self._advance()

    def finish(self) -> None:
        """No more will come: what waits goes out as it is."""
        for line in list(self._queue):
            self.end(line)

    def _advance(self) -> None:
        while self._queue:
            line = self._queue[0]
            if isinstance(line.block, ToolUse):
                self._begin(line)
            pieces, line.pieces = line.pieces, []
            for text in pieces:
                self._size -= len(text)
                self._emit(line, text)
            if not line.ended:
                return
            self._stop(line)

    def _begin(self, line: Line) -> None:
        if not self._begun:
            self._begun = True
            self._index += 1
            self.events.append(BlockStarted(self._index, line.block))

    def _emit(self, line: Line, text: str) -> None:
        self._begin(line)
        match line.block:
            case Text():
                self.events.append(TextDelta(self._index, text))
            case Thinking():
                self.events.append(ThinkingDelta(self._index, text))
            case _:
                self.events.append(ArgumentsDelta(self._index, text))

    def _stop(self, line: Line) -> None:
        if isinstance(line.block, ToolUse):
            arguments = "".join(line.said)
            whole = not arguments.strip() or is_object(arguments)
            self.called, self.cut = self.called or whole, self.cut or not whole
            line.said = []
        if line.signature:
            self._begin(line)
            self.events.append(SignatureDelta(self._index, line.signature))
        if self._begun:
            self.events.append(BlockStopped(self._index))
        self._begun = False
        del self._queue[0]
