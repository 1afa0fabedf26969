"""Which credentials are set aside, for how long, and who may ask with them all the same. By a clock of our own."""

from __future__ import annotations

import pytest

from apps.domain import errors
from apps.domain.routing.plan import Try
from apps.domain.snapshot import Credential, Deployment, Provider, Secret
from apps.gateway import cooling as module
from apps.gateway.cooling import Aside, Cooling, told_wait
from apps.runtime.state import state

pytestmark = pytest.mark.once

REFUSED = errors.UpstreamAuth("no", upstream_status=401)
FORBIDDEN = errors.UpstreamAuth("no", upstream_status=403)


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time

    def to(self, seconds: float) -> None:
        self.time = 1000.0 + seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cooling(clock: Clock) -> Cooling:
    return Cooling(now=clock)


def candidate(number: int = 1, *, model: str = "m", version: float = 1.0) -> Try:
    credential = Credential(id=number, alias=f"c{number}", secret=Secret("hidden-key", host="h"), version=version)
    provider = Provider(
        id=1, name="p", vendor="anthropic", protocol="anthropic_messages", base_url="https://h", host="h"
    )
    return Try(Deployment(id=1, provider=provider, upstream_model=model), credential, None)


def limited(retry_after: float | None = None) -> errors.UpstreamRateLimited:
    return errors.UpstreamRateLimited("slow down", upstream_status=429, retry_after=retry_after)


def rest_of(cooling: Cooling, one: Try) -> float:
    return cooling.seconds(one.deployment, one.credential)


@pytest.mark.parametrize(("told", "seconds"), [(12.0, 12.0), (0.25, 0.25), (None, 5.0), (86_000.0, 900.0)])
def test_a_limit_holds_as_long_as_it_says_within_reason(cooling, clock, told, seconds):
    one = candidate()
    step = cooling.refused(one, limited(told), asked_at=clock())
    assert step == f"credential c1: 429, cooling {max(1, round(seconds))} s"
    assert rest_of(cooling, one) == pytest.approx(seconds)
    clock.to(seconds)
    assert rest_of(cooling, one) == 0.0
    assert not cooling, "what is over is forgotten"


def test_a_limit_of_no_time_sets_nothing_aside(cooling, clock):
    assert cooling.refused(candidate(), limited(0.0), asked_at=clock()) == ""
    assert not cooling


def test_a_limit_of_one_model_leaves_the_others(cooling, clock):
    cooling.refused(candidate(model="opus"), limited(60.0), asked_at=clock())
    assert rest_of(cooling, candidate(model="haiku")) == 0.0
    assert rest_of(cooling, candidate(2, model="opus")) == 0.0
    assert cooling.admits(candidate(model="haiku"), is_last_resort=False)


def test_a_refused_key_rests_for_all_models_and_a_forbidden_model_for_itself(cooling, clock):
    cooling.refused(candidate(1, model="opus"), REFUSED, asked_at=clock())
    cooling.refused(candidate(2, model="opus"), FORBIDDEN, asked_at=clock())
    assert rest_of(cooling, candidate(1, model="haiku")) == 60.0
    assert rest_of(cooling, candidate(2, model="opus")) == 60.0
    assert rest_of(cooling, candidate(2, model="haiku")) == 0.0


def test_a_refusal_rests_longer_every_time_up_to_a_quarter_of_an_hour(cooling, clock):
    one, rests = candidate(), []
    for _ in range(7):
        cooling.refused(one, REFUSED, asked_at=clock())
        rests.append(rest_of(cooling, one))
        clock.time += rests[-1]
        assert cooling.admits(one, is_last_resort=False)
    assert rests == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0, 900.0]


def test_refusals_of_calls_under_way_together_count_once(cooling, clock):
    asked_at = clock()
    for seconds in (1, 2, 3):
        clock.to(seconds)
        cooling.refused(candidate(), REFUSED, asked_at=asked_at)
    assert rest_of(cooling, candidate()) == pytest.approx(58.0)


def test_of_limits_that_calls_under_way_together_meet_the_longest_holds(cooling, clock):
    asked_at = clock()
    for moment, told in ((1, 10.0), (2, 30.0), (3, 5.0)):
        clock.to(moment)
        cooling.refused(candidate(), limited(told), asked_at=asked_at)
    assert rest_of(cooling, candidate()) == pytest.approx(29.0)


def test_a_limit_of_a_model_that_was_forbidden_holds_as_long_as_it_says(cooling, clock):
    cooling.refused(candidate(), FORBIDDEN, asked_at=clock())
    clock.to(1)
    cooling.refused(candidate(), limited(7.0), asked_at=clock())
    assert rest_of(cooling, candidate()) == pytest.approx(7.0)


def test_a_success_ends_it_and_forgets_the_strikes(cooling, clock):
    one = candidate()
    cooling.refused(one, REFUSED, asked_at=clock())
    clock.to(10)
    cooling.succeeded(one, asked_at=clock())
    assert not cooling
    cooling.refused(one, REFUSED, asked_at=clock())
    assert rest_of(cooling, one) == 60.0


def test_a_success_of_a_call_from_before_says_nothing(cooling, clock):
    asked_at = clock()
    clock.to(5)
    cooling.refused(candidate(), REFUSED, asked_at=clock())
    cooling.succeeded(candidate(), asked_at=asked_at)
    assert rest_of(cooling, candidate()) == 60.0


def test_a_success_does_not_lift_a_limit(cooling, clock):
    cooling.refused(candidate(), limited(30.0), asked_at=clock())
    cooling.succeeded(candidate(), asked_at=clock() + 1)
    assert rest_of(cooling, candidate()) == 30.0


def test_another_secret_under_the_same_alias_is_ready_at_once(cooling, clock):
    cooling.refused(candidate(version=1.0), REFUSED, asked_at=clock())
    assert rest_of(cooling, candidate(version=2.0)) == 0.0
    assert cooling.admits(candidate(version=2.0), is_last_resort=False)


def test_what_is_refused_is_asked_with_once_in_five_seconds(cooling, clock):
    one = candidate()
    cooling.refused(one, REFUSED, asked_at=clock())
    admitted = []
    for tenth in range(1, 121):
        clock.to(tenth / 10)
        if cooling.admits(one, is_last_resort=False):
            admitted.append(tenth / 10)
    assert admitted == [5.0, 10.0]


def test_when_the_time_is_over_one_asks_first(cooling, clock):
    one = candidate()
    cooling.refused(one, REFUSED, asked_at=clock())
    clock.to(60)
    assert rest_of(cooling, one) == 0.0
    assert [cooling.admits(one, is_last_resort=False) for _ in range(3)] == [True, False, False]
    assert rest_of(cooling, one) == module.PROBE_SECONDS, "others stand before it meanwhile"


def test_what_is_limited_is_asked_with_as_a_last_resort_only(cooling, clock):
    one = candidate()
    cooling.refused(one, limited(60.0), asked_at=clock())
    clock.to(6)
    assert not cooling.admits(one, is_last_resort=False)
    assert [cooling.admits(one, is_last_resort=True) for _ in range(3)] == [True, False, False]


def test_who_may_ask_nobody_is_told_when(cooling, clock):
    cooling.refused(candidate(1), limited(30.0), asked_at=clock())
    cooling.refused(candidate(2), limited(20.0), asked_at=clock())
    told = cooling.refusal([candidate(1), candidate(2)])
    assert isinstance(told, errors.UpstreamRateLimited)
    assert told.retry_after == pytest.approx(20.0)
    cooling.refused(candidate(3), REFUSED, asked_at=clock())
    assert isinstance(cooling.refusal([candidate(3)]), errors.UpstreamAuth)


def test_who_looks_sees_names_and_no_secret(cooling, clock):
    before = state.cool_downs["p", "c9", "401"]
    cooling.refused(candidate(9), REFUSED, asked_at=clock())
    (shown,) = state.resting
    assert shown[:4] == ("p", "c9", "", "401")
    assert state.cool_downs["p", "c9", "401"] == before + 1
    assert cooling.resting([candidate(9)]) == ["credential c9: 401, 60 s to go"]
    cooling.succeeded(candidate(9), asked_at=clock())
    assert state.resting == ()


def test_other_failures_set_nothing_aside(cooling, clock):
    for error in (errors.UpstreamFailed("x", upstream_status=500), errors.UpstreamOverloaded("x", upstream_status=529)):
        assert cooling.refused(candidate(), error, asked_at=clock()) == ""
    assert not cooling


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:29:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0.0),  # by this machine's clock, long ago
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:30 GMT"}, None),
        ({}, None),
    ],
)
def test_a_date_is_read_by_the_clock_of_whoever_wrote_it(headers, seconds):
    assert told_wait(headers) == seconds


def test_what_is_over_goes_by_itself_though_nobody_asks_for_it_again(cooling, clock):
    for number in range(50):
        cooling.refused(candidate(number), REFUSED, asked_at=clock())
        cooling.refused(candidate(number, model=f"m{number}"), limited(60.0), asked_at=clock())
    clock.to(2000)
    cooling.succeeded(candidate(99), asked_at=clock())
    assert not cooling
    assert state.resting == ()


def aside(seconds: float, *, version: float = 1.0, is_limit: bool = False) -> Aside:
    return Aside(1, version, "c1", "p", "m", is_limit, "429" if is_limit else "403", 1, seconds)


@pytest.mark.parametrize("is_limit", [True, False])
def test_what_another_process_has_set_aside_rests_from_when_it_was_told(cooling, clock, is_limit):
    cooling.adopt(aside(30.0, is_limit=is_limit), age=10.0)
    assert rest_of(cooling, candidate()) == pytest.approx(20.0)
    assert rest_of(cooling, candidate(version=2.0)) == 0.0


def test_what_another_process_says_is_over_ends_a_refusal_of_that_secret_and_no_limit(cooling, clock):
    cooling.adopt(aside(30.0, is_limit=True), age=40.0)
    assert not cooling, "it was told too late"
    cooling.refused(candidate(), FORBIDDEN, asked_at=clock())
    cooling.adopt(aside(0.0, version=2.0), age=0.0)
    assert rest_of(cooling, candidate()) == 60.0
    cooling.adopt(aside(0.0), age=0.0)
    assert not cooling
    cooling.refused(candidate(), limited(30.0), asked_at=clock())
    cooling.adopt(aside(0.0), age=0.0)
    assert rest_of(cooling, candidate()) == 30.0
