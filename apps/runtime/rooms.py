"""How full deployments are and how long calls waited for them: figures of one process, written from its event loop and
read from anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from apps.runtime.measured import Spread

WAITS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
POSITIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)

Refusal = Literal["full", "timeout"]


class Named(NamedTuple):
    """A deployment, by its provider and its name there."""

    provider: str
    model: str


class Room:
    """Of a deployment that is in use or waited for. `most` None: there is no limit."""

    __slots__ = ("in_flight", "most", "named", "waiting")

    def __init__(self, named: Named) -> None:
        self.named = named
        self.in_flight = 0
        self.most: int | None = None
        self.waiting = 0


class Rooms:
    """`open` by the deployment's id; a room that nobody uses is not in it. `waits` in seconds, of those that got a
    place; `positions` of all that came."""

    def __init__(self) -> None:
        self.open: Mapping[int, Room] = {}
        self.waits: dict[Named, Spread] = {}
        self.positions: dict[Named, Spread] = {}
        self.refusals: Counter[tuple[Named, Refusal]] = Counter()

    def came(self, named: Named, position: int) -> None:
        _add(self.positions, named, position, POSITIONS)

    def waited(self, named: Named, seconds: float) -> None:
        _add(self.waits, named, seconds, WAITS)


def _add(spreads: dict[Named, Spread], named: Named, value: float, bounds: Sequence[float]) -> None:
    spread = spreads.get(named)
    if spread is None:
        spread = spreads[named] = Spread(bounds)
    spread.add(value)


rooms = Rooms()
"""This process's."""
