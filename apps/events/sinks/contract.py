"""What a kind of sink does, and what the relay may rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

# Within so many seconds `deliver` has returned, or the next worker may be sending the same events.
SECONDS = 20.0
SPARE_SECONDS = 2.0  # of those, left for what comes after the last request


class Message(NamedTuple):
    """One event on its way. `body` is the CloudEvent in structured mode, always the same bytes for the same event as
    far as it tells what never changes. `tenant`: its short name; "": it is of no tenant. Events of one `stream` are to
    arrive in the order of `position`.
    """

    id: str
    kind: str
    type: str
    tenant: str
    stream: int
    position: int
    time: str
    body: bytes


def by_stream(batch: Sequence[Message]) -> list[list[Message]]:
    """Each in its order, the streams in that of their first messages."""
    found: dict[int, list[Message]] = {}
    for message in batch:
        found.setdefault(message.stream, []).append(message)
    return list(found.values())


CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


class Fate(Enum):
    TAKEN = "taken"
    AGAIN = "again"  # this one was not taken; another try may end otherwise
    REFUSED = "refused"  # this one never will be
    HELD = "held"  # not sent, since one before it in its stream was not taken


class Result(NamedTuple):
    """`told` is for people: why, in a few words, without secrets."""

    fate: Fate
    told: str = ""


TAKEN = Result(Fate.TAKEN)
HELD = Result(Fate.HELD)


class SinkAway(Exception):
    """Nothing can be sent there at present: all is tried again later, and nothing counts against a single event.
    The text is for people. `after`: seconds for which it asks to be left alone. `is_busy`: it says itself that this is
    about no event. `results`: of each message, where some were taken before; none: of all of them nothing is known."""

    def __init__(self, told: str, *, after: float = 0.0, is_busy: bool = False, results: Sequence[Result] = ()) -> None:
        super().__init__(told)
        self.after, self.is_busy, self.results = after, is_busy, results


class SinkGone(SinkAway):
    """It says that it wants nothing any more, whatever it is."""


class Opened(NamedTuple):
    """A sink as it is stored, and its secret; "": it has none. `networks`: private ones that may be called."""

    pk: int
    target: str
    settings: Mapping[str, Any]
    secret: str
    networks: tuple[str, ...]


class Sender(Protocol):
    """An open way to one sink. Made by one thread, used by it alone, and closed."""

    def deliver(self, batch: Sequence[Message]) -> list[Result]:
        """One result a message, in order. What is TAKEN is safe with the receiver. After a message that was not taken
        none of its stream was sent: those are HELD, as is all that there was no time for. Raises SinkAway."""

    def close(self) -> None: ...


class Kind(Protocol):
    """A module of this package, in `registry`."""

    LABEL: str
    BATCH: int  # messages for `deliver` at once
    SECRET: str  # what its secret is called, for people; "": it has none

    def clean(self, target: str, settings: Mapping[str, Any], *, networks: tuple[str, ...]) -> dict[str, Any]:
        """The settings with their defaults. Raises ValidationError by field."""

    def binding(self, target: str, settings: Mapping[str, Any]) -> str:
        """Whom the secret may be shown to. Where that changes, the secret must be given anew."""

    def open(self, sink: Opened) -> Sender:
        """Raises SinkAway."""
