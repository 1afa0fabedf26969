"""Where a dry run is asked from, and what can be seen from there: all, in the gateway's process; else what is written
down, and what its processes tell each other through Redis. What was not looked at is said in notes."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

from apps.domain.routing.facts import UNMEASURED, Calm, Measured
from apps.gateway import configuration, engine
from apps.gateway.names import Apart
from apps.gateway.standing import standing
from apps.runtime import standings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from apps.domain.density import Density
    from apps.domain.limits.decision import Stand
    from apps.domain.limits.learned import Outputs
    from apps.domain.routing.facts import Facts
    from apps.domain.snapshot import Budget, Deployment, Limit, Snapshot
    from apps.gateway.names import Names
    from apps.quotas.selectors import Left
    from apps.runtime.state import DeploymentStanding

NOT_LIVE = "Live state of the gateway is not visible from here: what cools down, is open or full is not in the plan."
UNCOUNTED = "What is left of limits is not visible from here: whether they let it pass is not known."
UNPLACED = "Nobody said which address it would come from, so networks that are allowed to call were not looked at."
UNCOMPARED = "Whether an answer to other words is kept is not known: to compare them, they would have to be sent to {}."
UNREAD = "Too many requests are being looked into just now: what policies would find in this one is not known."
HEARSAY = "Seen through Redis: breakers and measures are in the plan, what cools down or is full is not."


class Sight(NamedTuple):
    """`facts` None: nothing of this moment; `note`: what is missing. `shows_all`: to somebody who runs the
    installation; else only what a tenant may know. `turn`: held while a request is looked into, which calls wait for,
    too."""

    snapshot: Snapshot
    stands: Callable[[Sequence[Limit]], Awaitable[list[Stand] | None]]
    left: Callable[[Sequence[Budget], float], Awaitable[Mapping[int, Left] | None]]
    max_bytes: int
    facts: Facts | None = None
    note: str = ""
    densities: Mapping[int, Density] = {}
    outputs: Outputs | None = None
    shows_all: bool = False
    names: Names | None = None
    turn: AbstractAsyncContextManager[None] = nullcontext()


def inside(running: engine.Engine, *, shows_all: bool = False) -> Sight:
    """What a gateway process sees."""
    return Sight(
        snapshot=running.configuration.snapshot,
        stands=running.limiter.stands,
        left=running.configuration.left,
        max_bytes=running.max_body_bytes,
        facts=standing,
        densities=running.accounts.densities,
        outputs=running.accounts.outputs,
        shows_all=shows_all,
        names=running.names,
        turn=running.explaining,
    )


def outside(*, shows_all: bool = False) -> Sight:
    """What any other process sees. Asks the database, and opens no secret."""
    heard = standings.by_deployment() if settings.REDIS_URL else {}
    snapshot = configuration.outline()
    return Sight(
        snapshot=snapshot,
        stands=engine.stands_elsewhere,
        left=configuration.left_elsewhere,
        max_bytes=settings.WEIR_MAX_BODY_BYTES,
        facts=Heard(heard, now=time.time()) if heard else None,
        note=HEARSAY if heard else NOT_LIVE,
        shows_all=shows_all,
        names=Apart(snapshot.private_networks),
    )


class Heard(Calm):
    """What gateways have told each other of their deployments. `now` in unix seconds."""

    def __init__(self, rows: Mapping[int, DeploymentStanding], *, now: float) -> None:
        self._rows = rows
        self._now = now

    def open_for(self, deployment: Deployment) -> float:
        row = self._rows.get(deployment.id)
        if row is None or row.breaker != "open" or row.until is None:
            return 0.0
        return max(0.0, row.until - self._now)

    def measured(self, deployment: Deployment) -> Measured:
        row = self._rows.get(deployment.id)
        return UNMEASURED if row is None else Measured(row.first_token, row.tokens_per_second, row.success)
