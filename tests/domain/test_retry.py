"""What pays for a second try, and how a deployment's past fades."""

import random

import pytest

from apps.domain.routing import retry
from apps.domain.routing.breaker import Breaker
from apps.domain.routing.measures import HALF_LIFE_SECONDS, Average, Measures
from apps.domain.snapshot import Breaker as Rules


def served(*, dead, calls, breakers=True, per_second=100.0, seed=1, burst=retry.BURST, before=0):
    """Plays clients against deployments of which `dead` always fail: (answered calls, upstream calls). `before`: as
    many more calls, while nobody fails yet."""
    print(f"seed={seed}")
    dice, budget, now = random.Random(seed), retry.Budget(0.0), 0.0
    budget.left = burst
    circuit = {index: Breaker(Rules(open_seconds=1e9) if breakers else Rules(minimum_calls=10**6)) for index in dead}
    answered = upstream = 0
    for number in range(-before, calls):
        now += 1 / per_second
        order, asked = dice.sample(range(len(dead)), len(dead)), 0
        for index in order:
            if (permit := circuit[index].take(now)) is None:
                continue
            if asked and not budget.spend(now):
                break
            asked += 1
            fails = dead[index] and number >= 0
            circuit[index].record(permit, now, is_failure=fails)
            if not fails:
                answered += number >= 0
                budget.earn()
                break
        upstream += asked if number >= 0 else 0
    return answered, upstream


@pytest.mark.parametrize("before", [0, 3000])  # the window of 30 s is full of calls that went well
@pytest.mark.parametrize("dead", [(True, False, False), (True, True, False)])
def test_clients_notice_nothing_of_dead_deployments_while_one_is_well(dead, before):
    for seed in range(20):
        answered, upstream = served(dead=dict(enumerate(dead)), calls=1000, seed=seed, before=before)
        assert answered >= 999
        assert upstream <= 1200


def test_a_smaller_burst_would_lose_calls_of_a_gateway_that_has_just_started():
    """So it is no smaller: 20 failures at either of two deployments, and what is under way when a breaker opens."""
    for burst, lost in ((10.0, 20), (20.0, 10), (30.0, 0), (40.0, 0)):
        outcomes = [served(dead={0: True, 1: True, 2: False}, calls=1000, seed=seed, burst=burst) for seed in range(20)]
        most = max(1000 - answered for answered, _ in outcomes)
        assert (most > lost) == (burst < 40)


@pytest.mark.parametrize("breakers", [True, False])
def test_where_everything_fails_providers_see_at_most_a_fifth_more(breakers):
    answered, upstream = served(dead=dict.fromkeys(range(3), True), calls=1000, breakers=breakers)
    assert answered == 0
    assert upstream <= 1200


def test_without_a_breaker_a_dead_deployment_costs_no_more_than_what_calls_earn():
    _, upstream = served(dead={0: True, 1: False, 2: False}, calls=5000, breakers=False)
    assert upstream <= 1.2 * 5000 + retry.BURST + retry.PER_SECOND * 50


def test_a_gateway_that_hardly_anybody_uses_can_always_fail_over():
    answered, _ = served(dead={0: True, 1: False}, calls=300, breakers=False, per_second=0.5)
    assert answered == 300


def test_what_time_earns_ends_at_the_floor():
    budget = retry.Budget(0.0)
    while budget.spend(0.0):
        pass
    assert (budget.spent, budget.exhausted) == (retry.BURST, 1)
    assert sum(budget.spend(1e6) for _ in range(100)) == retry.FLOOR


def test_a_pause_is_full_jitter_and_heeds_a_short_retry_after():
    assert retry.pause(1, told=None, dice=0.0) == 0.0
    assert retry.pause(3, told=None, dice=0.5) == 0.4
    assert retry.pause(40, told=None, dice=0.999) < retry.LONGEST_PAUSE_SECONDS
    assert retry.pause(1, told=3.0, dice=0.5) == 3.1
    assert retry.pause(1, told=60.0, dice=0.5) is None


def test_an_average_is_the_mean_of_a_burst_and_fades_by_half_lives():
    average = Average()
    assert average.value(0.0) is None
    for sample in (1.0, 2.0, 3.0):
        average.add(100.0, sample)
    assert average.value(100.0) == 2.0
    average.add(100.0 + HALF_LIFE_SECONDS, 5.0)  # three calls, each worth half
    assert average.value(100.0 + HALF_LIFE_SECONDS) == pytest.approx((3 + 5) / 2.5)
    assert average.value(100.0 + 20 * HALF_LIFE_SECONDS) is None


def test_a_deployment_without_streams_has_a_success_rate_alone():
    measures = Measures()
    measures.success.add(5.0, 1.0)
    measures.success.add(5.0, 0.0)
    assert measures.now(5.0) == (None, None, 0.5)
    assert measures.now(1e5) == (None, None, None)
