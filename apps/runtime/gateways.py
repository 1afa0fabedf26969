"""What gateway processes say of themselves with each heartbeat, a few seconds apart: so a process that takes no calls,
or one of several, can tell what all of them do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec
from django.db import DatabaseError, InterfaceError

from apps.runtime import build
from apps.runtime.state import state

_others: Callable[[], Iterable[str]] = tuple


class About(msgspec.Struct, frozen=True):
    """`ports` of pinned endpoints: "" is open, else why it is not."""

    version: str = ""
    role: str = ""
    in_flight: int = 0
    ports: dict[int, str] = {}


_decode = msgspec.json.Decoder(About).decode


def own() -> About:
    return About(build.VERSION, state.role, state.in_flight, dict(state.ports))


def said() -> str:
    """By this process, with its heartbeat."""
    return msgspec.json.encode(own()).decode()


def read(told: str) -> About:
    """Of one that says nothing yet, or in words of another version, nothing is known."""
    try:
        return _decode(told)
    except msgspec.MsgspecError:
        return About()


def hear(others: Callable[[], Iterable[str]]) -> None:
    """`others` asks the database what the other living processes have said."""
    global _others
    _others = others


def in_flight() -> int:
    """Calls of all of them: this one's now, others' by their last heartbeat. One query."""
    return sum(about.in_flight for about in _all())


def ports() -> dict[int, list[str]]:
    """By port, how each of them that is to listen there fares. One query."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for about in _all():
        for port, why in about.ports.items():
            found[port].append(why)
    return dict(found)


def _all() -> list[About]:
    try:
        return [own(), *map(read, _others())]
    except (DatabaseError, InterfaceError):
        return [own()]
