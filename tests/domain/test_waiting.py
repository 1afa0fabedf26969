"""Who is next where calls wait: fair between tenants, by priority within one, and nobody's place is lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apps.domain.routing.waiting import MOST_COST, Line

FLOODING, OTHER = 1, 2


def line_of(*calls: tuple[str, int, int], costs: dict[int, int] | None = None) -> Line[str]:
    """Of (ticket, tenant, priority), in the order in which they come."""
    line: Line[str] = Line()
    for since, (ticket, tenant_id, priority) in enumerate(calls):
        cost = (costs or {}).get(tenant_id, 1)
        line.enter(ticket, tenant_id=tenant_id, priority=priority, since=since, places=1000, cost=cost)
    return line


def emptied(line: Line[str]) -> list[str]:
    return list(iter(line.next, None))


def test_tenants_take_turns_and_priority_orders_a_tenants_own():
    line = line_of(("a1", 1, 0), ("a2", 1, 0), ("a3", 1, 9), ("b1", 2, 0), ("b2", 2, 0), ("c1", 3, -5))
    assert emptied(line) == ["a3", "b1", "c1", "a1", "b2", "a2"]


def test_a_tenant_gains_nothing_on_another_by_priority():
    plain = line_of(*[(f"a{i}", 1, 0) for i in range(5)], *[(f"b{i}", 2, 0) for i in range(5)])
    raised = line_of(*[(f"a{i}", 1, 1000) for i in range(5)], *[(f"b{i}", 2, 0) for i in range(5)])
    assert emptied(plain) == emptied(raised)


def test_whose_calls_cost_more_is_next_less_often():
    calls = [(f"{name}{i}", tenant, 0) for i in range(9) for name, tenant in (("dear", 1), ("cheap", 2))]
    first = [ticket.rstrip("0123456789") for ticket in emptied(line_of(*calls, costs={1: 3}))[:8]]
    assert Counter(first) == {"cheap": 6, "dear": 2}


def test_who_may_not_go_is_passed_over_and_the_next_may():
    line = line_of(("a1", 1, 0), ("a2", 1, 0), ("b1", 2, 0))
    assert line.next(lambda ticket: ticket.startswith("b")) == "b1"
    assert line.next(lambda ticket: False) is None
    assert line.tickets() == ["a1", "a2"]


def test_a_full_line_puts_out_the_last_of_the_longest_share():
    line: Line[str] = Line()
    for ticket in ("a1", "a2", "a3"):
        assert line.enter(ticket, tenant_id=1, places=3, since=0.0) is None
    assert line.enter("a4", tenant_id=1, places=3, since=0.0) == "a4", "a flood stands in its own way"
    assert line.enter("a5", tenant_id=1, places=3, since=0.0, priority=1) == "a3"
    assert line.enter("b1", tenant_id=2, places=3, since=0.0) == "a2", "and in nobody else's"
    assert line.enter("b2", tenant_id=2, places=3, since=0.0) == "b2", "whose share would be as long"
    assert emptied(line) == ["a5", "b1", "a1"]


def test_fewer_places_put_out_from_the_longest_share():
    line = line_of(("a1", 1, 0), ("a2", 1, 0), ("a3", 1, 0), ("b1", 2, 0))
    assert line.shrink(2) == ["a3", "a2"]
    assert sorted(line.shrink(0)) == ["a1", "b1"]
    assert line.tickets() == []


def test_the_oldest_are_overdue_first():
    line = line_of(("a1", 1, 0), ("b1", 2, 0), ("a2", 1, 5))
    assert (line.oldest, line.overdue(-1), line.overdue(1)) == (0, [], ["a1", "b1"])
    line.leave("a1")
    assert (line.oldest, line.overdue(1)) == (1, ["b1"])


calls = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=24)


@settings(max_examples=150, deadline=None)
@given(calls=calls, costs=st.dictionaries(st.integers(1, 4), st.integers(1, 5)), taken=st.integers(0, 8))
def test_a_position_is_how_many_have_gone_when_it_has(calls, costs, taken):
    numbered = [(str(number), tenant, priority) for number, (tenant, priority) in enumerate(calls)]
    line = line_of(*numbered, costs=costs)
    for _ in range(min(taken, len(calls) - 1)):
        line.next()
    told = {ticket: line.position(ticket) for ticket in line.tickets()}
    assert {ticket: place for place, ticket in enumerate(emptied(line), 1)} == told


def served(arrivals: list[tuple[int, int, int]], *, servers: int, dear: int = 1) -> dict[int, int]:
    """When each call of `arrivals` (moment, tenant, how long it takes) has been answered, by its number."""
    line: Line[int] = Line()
    ends: dict[int, int] = {}
    busy: list[int] = []
    now = 0
    while len(ends) < len(arrivals):
        for number, (moment, tenant_id, takes) in enumerate(arrivals):
            if moment == now:
                line.enter(number, tenant_id=tenant_id, places=10_000, since=now, cost=min(takes, MOST_COST))
        busy = [end for end in busy if end > now]
        while len(busy) < servers and (chosen := line.next()) is not None:
            ends[chosen] = now + arrivals[chosen][2]
            busy.append(ends[chosen])
        now += 1
    return ends


@settings(max_examples=100, deadline=None)
@given(
    others=st.integers(1, 12),
    servers=st.integers(1, 4),
    takes=st.integers(1, 8),
    floods_at=st.lists(st.integers(0, 40), min_size=1, max_size=12),
)
def test_a_flood_of_ten_to_one_leaves_the_other_within_twice_its_wait_alone(others, servers, takes, floods_at):
    """`takes`: how much longer than the other's calls the flood's are. What is at work already is not stopped."""
    alone = served([(5, OTHER, 1)] * others, servers=servers)
    flood = [(floods_at[i % len(floods_at)], FLOODING, takes) for i in range(10 * others)]
    together = served([(5, OTHER, 1)] * others + flood, servers=servers)
    for number in range(others):
        assert together[number] - 5 <= 2 * (alone[number] - 5) + 2 * takes


class Rush(RuleBasedStateMachine):
    """Calls come, leave, run out of time and are answered in any order; the places of the room are those at work."""

    ROOM, PLACES = 3, 5

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[int] = Line()
        self.waiting: dict[int, tuple[int, int]] = {}  # tenant and priority
        self.at_work: set[int] = set()
        self.came = 0

    @rule(tenant_id=st.integers(1, 3), priority=st.integers(0, 2), cost=st.integers(0, 20))
    def come(self, tenant_id, priority, cost):
        self.came += 1
        self.waiting[self.came] = (tenant_id, priority)
        gone = self.line.enter(
            self.came, tenant_id=tenant_id, priority=priority, since=self.came, places=self.PLACES, cost=cost
        )
        assert (gone is not None) == (len(self.waiting) > self.PLACES)
        if gone is not None:
            sizes = Counter(tenant for tenant, _ in self.waiting.values())
            assert sizes[self.waiting[gone][0]] == max(sizes.values())
            del self.waiting[gone]
        self.let_in()

    @rule(data=st.data())
    @precondition(lambda self: self.waiting)
    def give_up(self, data):
        ticket = data.draw(st.sampled_from(sorted(self.waiting)))
        self.line.leave(ticket)
        self.line.leave(ticket)
        del self.waiting[ticket]

    @rule(since=st.integers(0, 60))
    def run_out_of_time(self, since):
        late = self.line.overdue(since)
        assert late == sorted(ticket for ticket in self.waiting if ticket <= since)
        for ticket in late:
            self.line.leave(ticket)
            del self.waiting[ticket]

    @rule(data=st.data())
    @precondition(lambda self: self.at_work)
    def be_answered(self, data):
        self.at_work.remove(data.draw(st.sampled_from(sorted(self.at_work))))
        self.let_in()

    def let_in(self):
        while len(self.at_work) < self.ROOM and (ticket := self.line.next()) is not None:
            tenant_id, priority = self.waiting.pop(ticket)
            ahead = [-rank for tenant, rank in self.waiting.values() if tenant == tenant_id]
            assert -priority <= min(ahead, default=-priority), "a lower priority went first"
            self.at_work.add(ticket)

    @invariant()
    def nobody_is_lost(self):
        assert self.line.tickets() == sorted(self.waiting)
        assert len(self.line) == len(self.waiting)
        assert not self.waiting or len(self.at_work) == self.ROOM, "a place stands empty though somebody waits"


TestRush = Rush.TestCase
TestRush.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
