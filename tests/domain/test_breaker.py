"""The circuit breaker against a reference that keeps every call and counts anew at each step."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apps.domain.routing.breaker import Breaker
from apps.domain.snapshot import Breaker as Rules


class Reference:
    """resilience4j's documentation, word by word, with no thought for speed; and failures in succession."""

    def __init__(self, rules):
        self.rules, self.phase, self.until, self.round = rules, "closed", 0.0, 0
        self.calls, self.out = [], {}  # (when, failed, slow) of this phase; the permits of calls under way

    def take(self, now, name):
        if self.phase == "open" and now >= self.until:
            self.enter("half_open")
        if self.phase == "open":
            return False
        if self.phase == "half_open" and len(self.calls) + self.alive(now) >= self.rules.half_open_calls:
            return False
        self.out[name] = (self.round, now + 7.0)
        return True

    def alive(self, now):
        self.out = {name: (phase, due) for name, (phase, due) in self.out.items() if phase == self.round and now < due}
        return len(self.out)

    def end(self, now, name, failed, slow):
        phase, _ = self.out.pop(name, (None, None))
        if phase != self.round:
            return
        self.calls.append((now, failed, slow))
        if self.phase == "half_open":
            if len(self.calls) == self.rules.half_open_calls:
                self.open(now) if self.exceeds(self.calls) else self.enter("closed")
        elif len(seen := self.window(now)) >= self.minimum() and (self.exceeds(seen) or self.all_failed(seen)):
            self.open(now)

    def minimum(self):
        return min(self.rules.minimum_calls, self.rules.size if self.rules.window == "count" else math.inf)

    def window(self, now):
        if self.rules.window == "count":
            return self.calls[-self.rules.size :]
        return [call for call in self.calls if math.floor(call[0]) > math.floor(now) - self.rules.size]

    def exceeds(self, calls):
        failed, slow = sum(call[1] for call in calls), sum(call[2] for call in calls)
        return failed / len(calls) >= self.rules.failure_rate / 100 or slow / len(calls) >= self.rules.slow_rate / 100

    def all_failed(self, calls):
        return all(failed for _, failed, _ in calls[-self.minimum() :])

    def open(self, now):
        self.enter("open")
        self.until = now + self.rules.open_seconds

    def enter(self, phase):
        self.phase, self.calls, self.round = phase, [], self.round + 1


RULES = st.builds(
    Rules,
    window=st.sampled_from(["count", "time"]),
    size=st.integers(1, 8),
    minimum_calls=st.integers(1, 10),
    failure_rate=st.sampled_from([1, 25, 50, 75, 100]),
    slow_rate=st.sampled_from([1, 50, 80, 100]),
    open_seconds=st.sampled_from([0.5, 3.0, 10.0]),
    half_open_calls=st.integers(1, 5),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "ok", "ok", "fail", "fail", "slow", "ignored", "never"]),
        st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0, 4.0]),  # passes before it
        st.integers(0, 5),  # of the calls under way, which
    ),
    max_size=120,
)


IN_SUCCESSION = [(what, 0.0, 0) for what in ("take", "ok", "take", "ok", "take", "fail", "take", "fail", "take")]


@settings(max_examples=200, derandomize=True, deadline=None)
@given(RULES, STEPS)
@example(Rules(minimum_calls=2, failure_rate=75), IN_SUCCESSION)
@example(Rules(window="count", size=8, minimum_calls=2, failure_rate=100), IN_SUCCESSION)
def test_the_breaker_is_always_in_the_phase_of_the_reference(rules, steps):
    breaker, reference, now, name = Breaker(rules), Reference(rules), 100.0, 0
    under_way = []  # (name, permit)
    for what, passes, which in steps:
        now += passes
        if what == "take":
            name += 1
            free, permit = breaker.open_for(now), breaker.take(now, seconds=7.0)
            assert (permit is not None) == reference.take(now, name) == (free == 0.0)
            if permit is not None:
                under_way.append((name, permit))
        elif under_way:
            whose, permit = under_way.pop(which % len(under_way))
            if what == "ignored":
                breaker.release(permit)
                reference.out.pop(whose, None)
            elif what != "never":
                breaker.record(permit, now, is_failure=what == "fail", is_slow=what == "slow")
                reference.end(now, whose, what == "fail", what == "slow")
        assert breaker.phase == reference.phase
        if breaker.phase == "open":
            assert breaker.until == reference.until


def opened(**rules):
    breaker = Breaker(Rules(window="count", size=4, minimum_calls=4, half_open_calls=3, **rules))
    for failed in (False, False, True, True):
        breaker.record(breaker.take(0.0), 0.0, is_failure=failed)
    return breaker


def test_an_open_breaker_tells_how_long_and_why():
    breaker = opened()
    assert (breaker.phase, breaker.open_for(19.0), breaker.reason) == ("open", 41.0, "2 of 4 calls failed")
    assert breaker.take(59.9) is None


@pytest.mark.parametrize("rate", [50, 100])
def test_failures_in_succession_open_it_however_many_calls_went_well_before(rate):
    breaker = Breaker(Rules(failure_rate=rate))
    for failed in [False] * 1000 + [True] * 19 + [False] + [True] * 19:
        breaker.record(breaker.take(5.0), 5.0, is_failure=failed)
    assert breaker.phase == "closed"
    breaker.record(breaker.take(5.0), 5.0, is_failure=True)
    assert (breaker.phase, breaker.reason) == ("open", "the last 20 calls failed")


def test_with_a_minimum_of_one_each_failure_opens_it():
    breaker = Breaker(Rules(minimum_calls=1, failure_rate=100))
    for failed in (False, False, True):
        breaker.record(breaker.take(5.0), 5.0, is_failure=failed)
    assert (breaker.phase, breaker.reason) == ("open", "the last call failed")


def test_one_half_open_round_decides_when_all_its_calls_are_back():
    breaker = opened()
    permits = [breaker.take(60.0) for _ in range(3)]
    assert breaker.take(60.0) is None
    for permit in permits[:2]:
        breaker.record(permit, 61.0, is_failure=False)
        assert breaker.phase == "half_open"
    breaker.record(permits[2], 62.0, is_failure=False)
    assert breaker.phase == "closed"


def test_calls_that_began_before_it_opened_do_not_count_in_its_half_open_round():
    breaker = Breaker(Rules(window="count", size=2, minimum_calls=2, half_open_calls=2))
    late = breaker.take(0.0)
    for _ in range(2):
        breaker.record(breaker.take(0.0), 0.0, is_failure=True)
    first = breaker.take(60.0)
    breaker.record(late, 61.0, is_failure=True)
    breaker.record(first, 61.0, is_failure=False)
    breaker.record(breaker.take(61.0), 61.0, is_failure=False)
    assert breaker.phase == "closed"


def test_a_share_of_a_round_is_judged_by_itself():
    breaker = opened()
    breaker.round_size = 1
    permit = breaker.take(60.0)
    assert breaker.take(60.0) is None
    breaker.record(permit, 60.0, is_failure=True)
    assert (breaker.phase, breaker.reason) == ("open", "half open: 1 of 1 calls failed")


@pytest.mark.parametrize("becomes", [1, 2, 3, 9])
def test_a_share_that_changes_during_a_round_holds_from_the_next_one(becomes):
    """Replicas come and go: a round must end all the same."""
    breaker = opened()
    size = breaker.round_size
    for _ in range(size - 1):
        breaker.record(breaker.take(60.0), 60.0, is_failure=False)
    breaker.round_size = becomes
    assert breaker.open_for(60.0) == 0.0
    breaker.record(breaker.take(60.0), 60.0, is_failure=False)
    assert breaker.phase == "closed"
    breaker.open(70.0, "again")
    permits = [breaker.take(140.0) for _ in range(becomes + 1)]
    assert permits.count(None) == 1


def test_slow_calls_leave_the_window_of_seconds_as_failures_do():
    breaker = Breaker(Rules(window="time", size=10, minimum_calls=4, slow_rate=50, failure_rate=50))
    for second in (0.0, 20.0, 40.0, 60.0):
        for slow, failed in ((True, False), (False, False), (False, False), (False, True), (False, False)):
            breaker.record(breaker.take(second), second, is_failure=failed, is_slow=slow)
            assert breaker.phase == "closed"
    breaker.record(breaker.take(75.0), 75.0, is_failure=False)
    for _ in range(2):
        breaker.record(breaker.take(75.0), 75.0, is_failure=False, is_slow=True)
    assert breaker.phase == "closed", "three calls only"
    breaker.record(breaker.take(75.0), 75.0, is_failure=False)
    assert (breaker.phase, breaker.reason) == ("open", "2 of 4 calls were slower than 30 s")
