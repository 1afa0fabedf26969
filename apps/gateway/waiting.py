"""Room at deployments: who may be asked now, and where calls wait that may not.

A deployment with `max_concurrency` has so many places in all gateway processes together, of which each has its share:
divided by those alive, at least one, so nobody is asked about a place. A place is held from before a call is sent until
its attempt is settled. Calls wait where there is a queue and no place is free, or every credential rests: in the lines
of all deployments that they may use, until one of these lets them in; then they have left the others in the same turn
of the loop. What has rested is asked by one call first, and by twice as many with every answer that begins.

All of it is memory of one process on its event loop: a process that dies leaves no place behind.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, NamedTuple

from apps.domain import errors
from apps.domain.routing.waiting import MOST_COST, Line
from apps.runtime.rooms import Named, Refusal, Room, rooms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from apps.domain.routing.plan import Try
    from apps.domain.routing.turns import Rests
    from apps.domain.snapshot import Deployment, Principal, Snapshot

_LATELY = 0.2  # what the newest call weighs in an average
_MOST_TENANTS = 4096
_LONGEST_ADVICE = 60.0  # official clients heed no longer one


class Place:
    """One call's at one deployment. `explained`: how it was come by, for the trail; "": at once. `waited` for so many
    seconds."""

    __slots__ = ("_room", "_since", "_tenant_id", "explained", "waited")

    def __init__(
        self, room: _Room | None, *, tenant_id: int, since: float, explained: str = "", waited: float = 0.0
    ) -> None:
        self._room = room
        self._tenant_id = tenant_id
        self._since = since
        self.explained = explained
        self.waited = waited

    def began(self) -> None:
        """The upstream answers."""
        if self._room is not None and self._room.window is not None:
            self._room.widen()

    def leave(self) -> None:
        """It is free for the next. Does nothing the second time."""
        room, self._room = self._room, None
        if room is not None:
            room.left(self._tenant_id, since=self._since)


FREE = Place(None, tenant_id=0, since=0.0)
"""Where nobody counts."""


class Granted(NamedTuple):
    """A place, those of the waiting call's candidates that it is for, and since when the call has waited."""

    place: Place
    candidates: list[Try]
    since: float


class _Call:
    """One that waits, in every line in `positions`: its position there when it came."""

    __slots__ = ("answer", "candidates", "positions", "priority", "rests", "since", "tenant_id")

    def __init__(self, principal: Principal, candidates: Sequence[Try], *, rests: Rests, since: float) -> None:
        self.tenant_id = principal.tenant_id
        self.priority = principal.priority
        self.candidates = candidates
        self.rests = rests
        self.since = since
        self.positions: dict[_Room, int] = {}
        self.answer: asyncio.Future[Granted] = asyncio.get_running_loop().create_future()

    def at(self, deployment: Deployment) -> list[Try]:
        return [one for one in self.candidates if one.deployment.id == deployment.id]

    def ready_in(self, deployment: Deployment) -> float:
        """Seconds until one of its credentials there is ready."""
        return min(self.rests(one.deployment, one.credential) for one in self.at(deployment))

    def grant(self, room: _Room, place: Place) -> None:
        if not self.answer.done():
            self.answer.set_result(Granted(place, self.at(room.deployment), self.since))

    def lose(self, room: _Room, error: errors.NoDeployment) -> None:
        """It waits there no more; with the last of its lines it has waited in vain."""
        self.positions.pop(room, None)
        if not self.positions and not self.answer.done():
            self.answer.set_exception(error)

    def leave(self) -> None:
        """All lines."""
        for room in tuple(self.positions):
            room.forget(self)
        self.positions.clear()


class _Room(Room):
    """Of one deployment, as it is configured now. `window`: how many it is asked by while it comes back from a rest;
    None: it has not rested."""

    __slots__ = ("_all", "_home", "_live", "_of_late", "_timer", "deployment", "line", "window")

    def __init__(self, deployment: Deployment, *, home: dict[int, _Room], live: Callable[[], int]) -> None:
        super().__init__(Named(deployment.provider.name, deployment.upstream_model))
        self.deployment = deployment
        self.line: Line[_Call] = Line()
        self.window: int | None = None
        self._home = home
        self._live = live
        self._of_late: dict[int, float] = {}  # seconds that a tenant's calls hold a place
        self._all: float | None = None  # and everybody's
        self._timer: asyncio.TimerHandle | None = None
        self._count()

    @property
    def has_room(self) -> bool:
        most, window = self.most, self.window
        return (most is None or self.in_flight < most) and (window is None or self.in_flight < window)

    @property
    def is_full(self) -> bool:
        return self.waiting > 0 or not self.has_room

    # --- places ----------------------------------------------------------------------------------------------

    def take(self, tenant_id: int, explained: str = "", *, waited: float = 0.0) -> Place:
        self.in_flight += 1
        return Place(self, tenant_id=tenant_id, since=_now(), explained=explained, waited=waited)

    def left(self, tenant_id: int, *, since: float) -> None:
        self.in_flight -= 1
        seconds = _now() - since
        if len(self._of_late) >= _MOST_TENANTS:
            self._of_late.clear()
        self._of_late[tenant_id] = _averaged(self._of_late.get(tenant_id), seconds)
        self._all = _averaged(self._all, seconds)
        self.serve()

    def widen(self) -> None:
        if self.window is not None:
            self.window *= 2
        self.serve()

    # --- the line --------------------------------------------------------------------------------------------

    def join(self, call: _Call) -> bool:
        """Whether it waits here now; somebody else may have had to go for it."""
        places = self.deployment.queue.places
        cost = min(round(self._of_late.get(call.tenant_id, 1.0)), MOST_COST)
        gone = self.line.enter(
            call, tenant_id=call.tenant_id, priority=call.priority, since=call.since, places=places, cost=cost
        )
        self.waiting = len(self.line)
        if gone is call:
            rooms.refusals[self.named, "full"] += 1
            return False
        call.positions[self] = position = self.line.position(call)
        rooms.came(self.named, position)
        if gone is not None:
            self._lose(gone, "full", self.overflow())
        return True

    def forget(self, call: _Call) -> None:
        """It has left, or waits for nothing any more."""
        self.line.leave(call)
        self._settle()

    def serve(self) -> None:
        """Lets in whoever may: after every change."""
        self._count()
        soonest = math.inf

        def may(call: _Call) -> bool:
            nonlocal soonest
            wait = 0.0 if call.answer.done() else call.ready_in(self.deployment)
            soonest = min(soonest, wait or math.inf)
            return not wait

        while self.line and self.has_room:
            call = self.line.next(may)
            if call is None:
                self.window = 1
                self._turn_out(soonest)
                break
            soonest = math.inf
            if not call.answer.done():
                self._let_in(call)
        self._settle(soonest)

    def _turn_out(self, ready_in: float) -> None:
        """Those whose time will be over by then."""
        for call in self.line.overdue(_now() + ready_in - self.deployment.queue.seconds):
            self._lose(call, "timeout", _too_long(ready_in))

    def _lose(self, call: _Call, why: Refusal, error: errors.NoDeployment) -> None:
        self.line.leave(call)
        rooms.refusals[self.named, why] += 1
        call.lose(self, error)

    def _let_in(self, call: _Call) -> None:
        waited, position = _now() - call.since, call.positions.pop(self)
        rooms.waited(self.named, waited)
        explained = f"waited {waited:.1f} s for {self.named.provider}, {_ordinal(position)}"
        call.grant(self, self.take(call.tenant_id, explained, waited=waited))
        call.leave()

    def configure(self, deployment: Deployment | None) -> None:
        """What has been changed holds for those who wait. None: it is served no more."""
        if deployment is not None:
            self.deployment = deployment
            self.serve()
        for call in self.line.shrink(0 if deployment is None else deployment.queue.places):
            self._lose(call, "full", _withdrawn() if deployment is None else self.overflow())
        self._settle()

    def _settle(self, ready_in: float = math.inf) -> None:
        """Sees that it is looked at again when somebody's time is over, or a credential is ready."""
        self.waiting = len(self.line)
        if not self.waiting:
            self.window = None
            if not self.in_flight:
                self._home.pop(self.deployment.id, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        oldest = self.line.oldest
        if oldest is not None:
            due = min(oldest + self.deployment.queue.seconds, _now() + ready_in)
            self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        for call in self.line.overdue(_now() - self.deployment.queue.seconds):
            self._lose(call, "timeout", self._too_late())
        self.serve()

    def _count(self) -> None:
        """One or two of many that live may have a place where there is less than one each: see docs/queues.md."""
        most = self.deployment.max_concurrency
        self.most = None if most is None else max(1, most // self._live())

    # --- refusals --------------------------------------------------------------------------------------------

    def overflow(self) -> errors.NoDeployment:
        message = "all deployments of this model are full, and so are their queues"
        return errors.NoDeployment(message, code="queue_full", retry_after=self._advice())

    def _too_late(self) -> errors.NoDeployment:
        message = f"waited {self.deployment.queue.seconds:g} s in a queue for a deployment of this model, in vain"
        return errors.NoDeployment(message, code="queue_timeout", retry_after=self._advice())

    def _advice(self) -> float:
        """Seconds in which those who wait now will have been served, as far as one can tell."""
        each = self.deployment.queue.seconds if self._all is None else self._all
        rounds = (len(self.line) + 1) / (self.most or max(1, self.in_flight))
        return min(max(1.0, rounds * each), _LONGEST_ADVICE)


class Waiting:
    """The rooms of one process. `live`: how many processes share what a deployment may be asked."""

    def __init__(self) -> None:
        self.live: Callable[[], int] = lambda: 1
        self.open: dict[int, _Room] = {}

    def is_full(self, deployment: Deployment) -> bool:
        """It answers as many calls as it may, or others wait for it."""
        room = self.open.get(deployment.id)
        return room is not None and room.is_full

    def take(self, deployment: Deployment, *, tenant_id: int) -> Place | None:
        """A place there at once; None: it is full."""
        room = self.open.get(deployment.id)
        if room is None:
            if deployment.max_concurrency is None:
                return FREE
            room = self._open(deployment)
        return None if room.is_full else room.take(tenant_id)

    async def wait(
        self, principal: Principal, candidates: Sequence[Try], *, rests: Rests, since: float | None = None
    ) -> Granted | None:
        """A place at the first deployment of these that has one for it; None: there is nothing to wait for. `since`:
        when the call began to wait, if it has waited before. Raises NoDeployment: no line has place for it, or it has
        waited in vain."""
        now = _now()
        call = _Call(principal, candidates, rests=rests, since=now if since is None else since)
        refusal: errors.NoDeployment | None = None
        for deployment in _deployments(candidates):
            ready_in, room = call.ready_in(deployment), self.open.get(deployment.id)
            if not ready_in and (place := self.take(deployment, tenant_id=call.tenant_id)) is not None:
                call.leave()
                return Granted(place, call.at(deployment), call.since)
            queue = deployment.queue if room is None else room.deployment.queue
            if ready_in and (not queue.places or now + ready_in >= call.since + queue.seconds):
                continue
            room = room or self._open(deployment)
            if not room.join(call):
                refusal = room.overflow()
        if call.positions:
            return await self._granted(call)
        if refusal is not None:
            raise refusal
        return None

    async def _granted(self, call: _Call) -> Granted:
        for room in tuple(call.positions):
            room.serve()
        try:
            return await call.answer
        except asyncio.CancelledError:
            if call.answer.done() and not call.answer.cancelled() and call.answer.exception() is None:
                call.answer.result().place.leave()
            raise
        finally:
            call.leave()

    def configure(self, snapshot: Snapshot) -> None:
        if not self.open:
            return
        known = {one.id: one for model in snapshot.models.values() for one in model.deployments}
        for room in tuple(self.open.values()):
            room.configure(known.get(room.deployment.id))

    def _open(self, deployment: Deployment) -> _Room:
        room = self.open[deployment.id] = _Room(deployment, home=self.open, live=lambda: self.live())
        return room


waiting = Waiting()
"""This process's."""
rooms.open = waiting.open


def _now() -> float:
    return asyncio.get_running_loop().time()


def _averaged(before: float | None, newest: float) -> float:
    return newest if before is None else before + _LATELY * (newest - before)


def _deployments(candidates: Iterable[Try]) -> list[Deployment]:
    return [*{one.deployment.id: one.deployment for one in candidates}.values()]


def _too_long(ready_in: float) -> errors.NoDeployment:
    message = "the deployments of this model rest for longer than a call may wait for them"
    return errors.NoDeployment(message, code="queue_timeout", retry_after=min(ready_in, _LONGEST_ADVICE))


def _withdrawn() -> errors.NoDeployment:
    return errors.NoDeployment("what this call waited for serves this model no more", retry_after=1)


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
