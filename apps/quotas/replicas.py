"""This process among the others: its name, and how many gateway processes live, as it last heard."""

from __future__ import annotations

import re

import msgspec

from apps.runtime import build
from apps.runtime.state import state

_live = 1


class About(msgspec.Struct, frozen=True):
    """What a gateway process says of itself with its heartbeat. `ports` of pinned endpoints: "" is open, else why it is
    not."""

    version: str = ""
    role: str = ""
    in_flight: int = 0
    ports: dict[int, str] = {}


_decode = msgspec.json.Decoder(About).decode


def name() -> str:
    """Unique to this run of this process: a successor with the same host and process id is another replica."""
    return re.sub(r"[^\w.-]", "-", f"{state.replica}-{int(state.started_at * 1000):x}")[-120:]


def about() -> str:
    return msgspec.json.encode(About(build.VERSION, state.role, state.in_flight, dict(state.ports))).decode()


def read(told: str) -> About:
    """Of one that says nothing yet, or in words of another version, nothing is known."""
    try:
        return _decode(told)
    except msgspec.MsgspecError:
        return About()


def count() -> int:
    return _live


def heard(live: int) -> None:
    global _live
    _live = max(1, live)
