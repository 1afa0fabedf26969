"""Rooms and those who wait for them, without a gateway around: who is let in when, and that no place is lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from apps.domain import errors
from apps.domain.routing.plan import Try
from apps.domain.snapshot import Credential, Deployment, Model, Principal, Provider, Queue, Secret, Snapshot
from apps.gateway.waiting import FREE, Granted, Waiting
from apps.runtime.rooms import rooms
from apps.status.rooms import families

pytestmark = pytest.mark.once

LONG = Queue(places=20, seconds=60.0)


def candidate(number: int = 1, *, most: int | None = 1, queue: Queue = LONG) -> Try:
    provider = Provider(
        id=number, name=f"p{number}", vendor="anthropic", protocol="anthropic_messages", base_url="https://h", host="h"
    )
    deployment = Deployment(id=number, provider=provider, upstream_model="m", max_concurrency=most, queue=queue)
    return Try(deployment, Credential(id=number, alias="main", secret=Secret("hidden-key", host="h")), None)


def principal(tenant_id: int = 1, *, priority: int = 0) -> Principal:
    return Principal(key_id=1, public_id="k", tenant_id=tenant_id, project_id=1, user_id=None, priority=priority)


def awake(*_: object) -> float:
    return 0.0


class Rests:
    """What rests, by the deployment's id, until a moment on the loop's clock."""

    def __init__(self) -> None:
        self.until: dict[int, float] = {}

    def __call__(self, deployment: Deployment, credential: Credential) -> float:
        return max(0.0, self.until.get(deployment.id, 0.0) - asyncio.get_running_loop().time())

    def end(self, *, after: float, number: int = 1) -> None:
        self.until[number] = asyncio.get_running_loop().time() + after


def wait(waiting: Waiting, *candidates: Try, rests=awake, **who) -> asyncio.Task[Granted | None]:
    return asyncio.create_task(waiting.wait(principal(**who), candidates, rests=rests))


async def turn() -> None:
    """Until whatever is ready has run."""
    for _ in range(5):
        await asyncio.sleep(0)


def taken(waiting: Waiting, one: Try, tenant_id: int = 1):
    return waiting.take(one.deployment, tenant_id=tenant_id)


async def test_who_needs_no_room_takes_none():
    waiting = Waiting()
    assert taken(waiting, candidate(most=None)) is FREE
    assert not waiting.open
    assert not waiting.is_full(candidate(most=None).deployment)


async def test_a_full_room_lets_in_whoever_waits_and_nobody_overtakes():
    waiting, one = Waiting(), candidate()
    first = taken(waiting, one)
    waits = wait(waiting, one)
    await turn()
    assert waiting.is_full(one.deployment)
    assert taken(waiting, one) is None
    first.leave()
    first.leave()
    assert taken(waiting, one) is None, "it belongs to the one that waits"
    granted = await waits
    assert granted.place.explained == "waited 0.0 s for p1, 1st"
    granted.place.leave()
    assert not waiting.open, "a room that nobody uses is forgotten"


async def test_who_waits_for_several_gets_the_first_that_is_free_and_holds_one_place():
    waiting, one, two = Waiting(), candidate(1), candidate(2)
    held = [taken(waiting, one), taken(waiting, two)]
    waits, next_ = wait(waiting, one, two), wait(waiting, one, two)
    await turn()
    held[1].leave()
    granted = await waits
    assert [found.deployment.id for found in granted.candidates] == [2]
    assert (waiting.open[1].waiting, waiting.open[2].waiting) == (1, 1)
    held[0].leave()
    assert [found.deployment.id for found in (await next_).candidates] == [1]
    assert [(room.in_flight, room.waiting) for room in waiting.open.values()] == [(1, 0), (1, 0)]


async def test_who_finds_no_place_in_one_line_waits_in_the_other():
    waiting, one, two = Waiting(), candidate(1, queue=Queue()), candidate(2)
    taken(waiting, one)
    held = taken(waiting, two)
    waits = wait(waiting, one, two)
    await turn()
    held.leave()
    assert [found.deployment.id for found in (await waits).candidates] == [2]


async def test_one_that_is_cancelled_leaves_at_once_even_when_it_has_just_been_let_in():
    waiting, one = Waiting(), candidate()
    held = taken(waiting, one)
    gone, stays = wait(waiting, one), wait(waiting, one)
    await turn()
    held.leave()
    gone.cancel()
    assert isinstance(await stays, Granted)
    assert (waiting.open[1].in_flight, waiting.open[1].waiting) == (1, 0)


async def test_a_line_that_is_full_and_one_in_which_time_is_over_say_which_and_when_to_come_again():
    waiting, one = Waiting(), candidate(queue=Queue(places=1, seconds=0.02))
    taken(waiting, one)
    late = wait(waiting, one)
    await turn()
    before = dict(rooms.refusals)
    with pytest.raises(errors.NoDeployment) as full:
        await wait(waiting, one)
    with pytest.raises(errors.NoDeployment) as timeout:
        await late
    assert (full.value.code, timeout.value.code) == ("queue_full", "queue_timeout")
    assert full.value.retry_after == timeout.value.retry_after == 1.0
    named = waiting.open[1].named
    assert [rooms.refusals[named, why] - before.get((named, why), 0) for why in ("full", "timeout")] == [1, 1]


async def test_without_a_queue_a_full_deployment_is_an_overflow_and_a_resting_one_nothing_to_wait_for():
    waiting, rests = Waiting(), Rests()
    full, resting = candidate(1, queue=Queue()), candidate(2, most=None, queue=Queue())
    taken(waiting, full)
    rests.end(after=0.5, number=2)
    with pytest.raises(errors.NoDeployment) as refused:
        await waiting.wait(principal(), [full, resting], rests=rests)
    assert refused.value.code == "queue_full"
    assert await waiting.wait(principal(), [resting], rests=rests) is None
    assert [*waiting.open] == [1]


async def test_what_rests_longer_than_a_call_may_wait_is_not_waited_for():
    waiting, rests, one = Waiting(), Rests(), candidate(queue=Queue(places=5, seconds=1.0))
    rests.end(after=0.01)
    waits = wait(waiting, one, rests=rests)
    await turn()
    rests.end(after=60)  # it has been refused anew
    with pytest.raises(errors.NoDeployment) as refused:
        await waits
    assert refused.value.retry_after == pytest.approx(60, abs=1)
    assert await waiting.wait(principal(), [one], rests=rests) is None


async def test_while_somebody_waits_for_a_rest_nobody_goes_by_though_there_is_room():
    waiting, rests, one = Waiting(), Rests(), candidate()
    rests.end(after=30.0)
    waits = wait(waiting, one, rests=rests)
    await turn()
    assert taken(waiting, one) is None
    waits.cancel()
    await turn()
    assert taken(waiting, one) is not None


async def test_after_a_rest_one_goes_first_and_twice_as_many_with_every_answer():
    waiting, rests, one = Waiting(), Rests(), candidate(most=None)
    rests.end(after=0.02)
    waits = [wait(waiting, one, rests=rests) for _ in range(9)]
    let_in, sizes = [await waits[0]], []
    while len(let_in) < 9:
        await turn()
        sizes.append(waiting.open[1].in_flight)
        let_in[len(sizes) - 1].place.began()
        await turn()
        let_in += [task.result() for task in waits[len(let_in) :] if task.done()]
    assert sizes[:3] == [1, 2, 4]
    assert waiting.open[1].in_flight == 9


async def test_a_rest_in_between_begins_it_again():
    waiting, rests, one = Waiting(), Rests(), candidate(most=None)
    rests.end(after=0.02)
    waits = [wait(waiting, one, rests=rests) for _ in range(6)]
    first = await waits[0]
    first.place.began()
    await turn()
    assert [task.done() for task in waits] == [True, True, False, False, False, False]
    rests.end(after=0.02)
    first.place.leave()
    waits[1].result().place.leave()
    await waits[2]
    await turn()
    assert waiting.open[1].in_flight == 1


async def test_a_change_holds_for_those_who_wait():
    waiting, one, two = Waiting(), candidate(1), candidate(2)
    held = taken(waiting, one)
    taken(waiting, two)
    waits = [wait(waiting, one) for _ in range(4)]
    elsewhere = wait(waiting, two)
    await turn()
    waiting.configure(_configured(candidate(1, most=2, queue=Queue(places=1, seconds=60)), two))
    await turn()
    assert [task.done() for task in waits] == [True, False, True, True], "one more is let in when the line is shorter"
    assert [waits[number].exception().code for number in (2, 3)] == ["queue_full", "queue_full"]
    waiting.configure(_configured(candidate(1, most=2, queue=Queue(places=1, seconds=0.01)), two))
    with pytest.raises(errors.NoDeployment, match="in vain"):
        await waits[1]
    waiting.configure(_configured(one))
    with pytest.raises(errors.NoDeployment, match="no more"):
        await elsewhere
    held.leave()


def _configured(*candidates: Try) -> Snapshot:
    deployments = tuple(one.deployment for one in candidates)
    model = Model(id=1, name="m", display_name="M", deployments=deployments, max_output_tokens=1, context_tokens=1)
    return Snapshot(revision=1, compiled_at=0.0, models={"m": model}, tenants={}, projects={})


async def test_processes_that_live_share_what_a_deployment_may_be_asked():
    waiting, one = Waiting(), candidate(most=5)
    waiting.live = lambda: 2
    places = [taken(waiting, one) for _ in range(3)]
    assert [place is not None for place in places] == [True, True, False]
    waits = wait(waiting, one)
    await turn()
    waiting.live = lambda: 1  # the other has gone
    waiting.configure(_configured(one))
    places += [(await waits).place, taken(waiting, one), taken(waiting, one)]
    assert waiting.open[1].in_flight == 5
    waiting.live = lambda: 9
    alone = candidate(2, most=5)
    assert taken(waiting, alone) is not None, "each has one place at least"
    assert taken(waiting, alone) is None


async def test_the_figures_tell_who_is_in_who_waits_and_how_long_it_took(monkeypatch):
    waiting, one = Waiting(), candidate(most=3)
    monkeypatch.setattr(rooms, "open", waiting.open)
    rooms.waits.clear()
    rooms.positions.clear()
    places = [taken(waiting, one) for _ in range(3)]
    waits = [wait(waiting, one) for _ in range(2)]
    await turn()
    assert _figures("weir_deployment_in_flight", "weir_deployment_room", "weir_queue_waiting") == [3, 3, 2]
    places[0].leave()
    await waits[0]
    assert _figures("weir_queue_wait_seconds_count", "weir_queue_position_count", "weir_queue_position_sum") == [
        1,
        2,
        3,
    ]
    waits[1].cancel()


def _figures(*names: str) -> list[float]:
    samples = [sample for family in families() for sample in family.samples if sample.labels.get("provider") == "p1"]
    return [next(sample.value for sample in samples if sample.name == name) for name in names]


@pytest.mark.parametrize("seed", range(5))
async def test_whoever_comes_leaves_or_gives_up_at_random_the_places_are_those_at_work(seed):
    dice, waiting = random.Random(seed), Waiting()
    candidates = [candidate(number, most=number, queue=Queue(places=4, seconds=0.05)) for number in (1, 2, 3)]
    places, tasks = [], []
    for _ in range(400):
        act = dice.random()
        if act < 0.5:
            tasks.append(wait(waiting, *dice.sample(candidates, dice.randint(1, 3)), tenant_id=dice.randint(1, 4)))
        elif act < 0.7 and places:
            places.pop(dice.randrange(len(places))).leave()
        elif act < 0.9 and tasks:
            dice.choice(tasks).cancel()
        else:
            await asyncio.sleep(0.002)
        await asyncio.sleep(0)
        for task in [task for task in tasks if task.done()]:
            tasks.remove(task)
            if not task.cancelled() and task.exception() is None:
                places.append(task.result().place)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    places += [granted.place for granted in ended if isinstance(granted, Granted)]
    assert sum(room.in_flight for room in waiting.open.values()) == len(places) > 0
    assert all(room.in_flight <= room.most for room in waiting.open.values())
    for place in places:
        place.leave()
    assert not waiting.open
