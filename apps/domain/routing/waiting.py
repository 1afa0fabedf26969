"""Who is next where calls wait for one deployment: a bounded line, fair between tenants by deficit round robin.

Every tenant that waits has a share of its own, and the shares take turns however many calls each of them holds. A turn
is worth one; a call costs what its tenant's calls have cost of late, so that who holds places for long is next less
often. Within a share a higher priority goes first, then who came first: no tenant gains on another by priority.
M. Shreedhar and G. Varghese, Efficient Fair Queuing Using Deficit Round Robin, SIGCOMM 1995.

No clock: what `since` counts is the caller's. Enter, leave and position take O(log calls + tenants), next O(tenants).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    T = TypeVar("T", bound=Hashable)
else:
    T = TypeVar("T")

MOST_COST = 16  # of one call: a tenant whose calls are dear still has its turns


class _Share(Generic[T]):
    """One tenant's. `credit` is less than `cost` but for the one that `has_turn`, which stands first in the ring."""

    __slots__ = ("calls", "cost", "credit", "has_turn")

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, T]] = []  # by priority, highest first, then by number
        self.cost = 1
        self.credit = 0
        self.has_turn = False


class _Place:
    __slots__ = ("number", "rank", "since", "tenant_id")

    def __init__(self, tenant_id: int, *, rank: int, number: int, since: float) -> None:
        self.tenant_id = tenant_id
        self.rank = rank
        self.number = number
        self.since = since


class Line(Generic[T]):
    """Of one deployment."""

    def __init__(self) -> None:
        self._ring: OrderedDict[int, _Share[T]] = OrderedDict()  # by tenant
        self._places: dict[T, _Place] = {}
        self._by_age: list[tuple[float, int, T]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, ticket: T) -> bool:
        return ticket in self._places

    def enter(
        self, ticket: T, *, tenant_id: int, places: int, since: float, priority: int = 0, cost: int = 1
    ) -> T | None:
        """Returns who has to go because the line has no more `places`, None if nobody: the last of the longest share,
        which may be the one that has just come. So a flood cannot keep others out either."""
        share = self._ring.get(tenant_id)
        if share is None:
            share = self._ring[tenant_id] = _Share()
        share.cost = max(1, min(cost, MOST_COST))
        self._number += 1
        place = self._places[ticket] = _Place(tenant_id, rank=-priority, number=self._number, since=since)
        insort(share.calls, (place.rank, place.number, ticket))
        insort(self._by_age, (since, place.number, ticket))
        return self._put_out(newest=tenant_id) if len(self._places) > places else None

    def leave(self, ticket: T) -> None:
        """Its place is free at once. Nothing happens if it has none."""
        place = self._places.pop(ticket, None)
        if place is None:
            return
        share = self._ring[place.tenant_id]
        del share.calls[bisect_left(share.calls, (place.rank, place.number))]
        del self._by_age[bisect_left(self._by_age, (place.since, place.number))]
        if not share.calls:
            del self._ring[place.tenant_id]

    def next(self, may: Callable[[T], bool] = lambda ticket: True) -> T | None:
        """Takes out whose turn it is. A tenant whose first call `may` not go now is passed over, and loses what it had
        saved up. None: nobody may."""
        passed_over = 0
        while passed_over < len(self._ring):
            tenant_id, share = next(iter(self._ring.items()))
            ticket = share.calls[0][-1]
            if not may(ticket):
                passed_over += 1
                share.credit = 0
                self._turn_over(tenant_id, share)
                continue
            passed_over = 0
            if not share.has_turn:
                share.credit += 1
                share.has_turn = True
            if share.credit >= share.cost:
                share.credit -= share.cost
                if share.credit < share.cost:
                    self._turn_over(tenant_id, share)
                self.leave(ticket)
                return ticket
            self._turn_over(tenant_id, share)
        return None

    def position(self, ticket: T) -> int:
        """How many leave the line until it has, itself included, if nobody comes, goes or is passed over."""
        place = self._places[ticket]
        own = self._ring[place.tenant_id]
        behind = bisect_left(own.calls, (place.rank, place.number))
        turns = max(0, (behind + 1) * own.cost - own.credit)
        ahead, is_before = behind + 1, not own.has_turn
        for share in self._ring.values():
            if share is own:
                is_before = own.has_turn
                continue
            # Whoever has the turn stands first and has been given this round's credit already.
            given = turns if is_before and not share.has_turn else turns - (not own.has_turn)
            ahead += min(len(share.calls), (share.credit + max(0, given)) // share.cost)
        return ahead

    def overdue(self, since: float) -> list[T]:
        """Those who came then or before."""
        late = []
        for at, _, ticket in self._by_age:
            if at > since:
                break
            late.append(ticket)
        return late

    @property
    def oldest(self) -> float | None:
        return self._by_age[0][0] if self._by_age else None

    def shrink(self, places: int) -> list[T]:
        """Those who have to go, as there are so few places now."""
        gone = []
        while len(self._places) > places:
            gone.append(self._put_out())
        return gone

    def tickets(self) -> list[T]:
        """The oldest first."""
        return [ticket for _, _, ticket in self._by_age]

    def _put_out(self, *, newest: int | None = None) -> T:
        """Of shares that are equally long, the one that grew last."""
        longest = max(self._ring.items(), key=lambda item: (len(item[1].calls), item[0] == newest))[1]
        ticket = longest.calls[-1][-1]
        self.leave(ticket)
        return ticket

    def _turn_over(self, tenant_id: int, share: _Share[T]) -> None:
        share.has_turn = False
        self._ring.move_to_end(tenant_id)
