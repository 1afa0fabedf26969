"""Who waits for whose answer, and what is found of one that is on its way to the store."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from apps.gateway import kept
from apps.gateway.kept import Local
from apps.gateway.shelf import Fate, Shelf
from tests.gateway.test_kept import MOST, answer, key

pytestmark = pytest.mark.once


async def turns() -> None:
    """Until all who can go on have."""
    for _ in range(20):
        await asyncio.sleep(0)


def always(_) -> bool:
    return True


def askers(shelf: Shelf, one: bytes, count: int):
    return [asyncio.create_task(shelf.find(one, is_fresh=always)) for _ in range(count)]


async def test_twenty_who_ask_at_once_wait_for_the_first_and_have_its_answer():
    shelf, one = Shelf(Local(most=MOST)), key()
    tasks = askers(shelf, one, 20)
    await turns()
    (leader,) = [task.result() for task in tasks if task.done()]
    shelf.keep(one, leader.flight, said := answer(b"said"), ttl=60)
    found = await asyncio.gather(*tasks)
    assert [each.answer for each in found if each.flight is None] == [said] * 19
    assert (await shelf.find(one, is_fresh=always)).answer == said
    await shelf.close()


@pytest.mark.parametrize(("fate", "next_ones"), [(Fate.AGAIN, 1), (Fate.ALONE, 0)])
async def test_when_the_first_brings_nothing_one_takes_its_place_or_all_go_on_alone(fate, next_ones):
    shelf, one = Shelf(Local(most=MOST)), key()
    tasks = askers(shelf, one, 6)
    await turns()
    (leader,) = [task for task in tasks if task.done()]
    shelf.land(one, leader.result().flight, fate)
    await turns()
    rest = [task for task in tasks if task is not leader]
    took = [task.result() for task in rest if task.done() and task.result().flight is not None]
    assert len(took) == next_ones
    if fate is Fate.AGAIN:
        assert sum(task.done() for task in rest) == 1
        shelf.keep(one, took[0].flight, answer(), ttl=60)
    found = await asyncio.gather(*rest)
    assert sum(each.answer is not None for each in found) == (4 if fate is Fate.AGAIN else 0)
    await shelf.close()


async def test_who_waits_may_leave_and_nobody_waits_for_ever():
    shelf, one = Shelf(Local(most=MOST), patience=0.05), key()
    tasks = askers(shelf, one, 3)
    await turns()
    tasks[2].cancel()
    await turns()
    assert tasks[2].cancelled()
    impatient = await tasks[1]
    assert (impatient.answer, impatient.flight, impatient.has_waited) == (None, None, True)
    shelf.keep(one, tasks[0].result().flight, answer(), ttl=60)
    assert (await shelf.find(one, is_fresh=always)).answer is not None
    await shelf.close()


async def test_whoever_is_looking_in_the_store_and_leaves_holds_up_nobody():
    class Slow(Local):
        async def get(self, key):
            await asyncio.sleep(0 if self._size else 30)

    shelf, one = Shelf(store := Slow(most=MOST)), key()
    first, second = askers(shelf, one, 2)
    await turns()
    store._size = 1
    first.cancel()
    assert (await asyncio.wait_for(second, 5)).flight is not None
    await shelf.close()


async def test_what_is_no_longer_fresh_is_fetched_again():
    shelf, one = Shelf(Local(most=MOST)), key()
    shelf.keep(one, None, answer(), ttl=60)
    await turns()
    assert (await shelf.find(one, is_fresh=always)).answer is not None
    assert (await shelf.find(one, is_fresh=lambda kept: False)).flight is not None
    await shelf.close()


# --- on its way to the store ------------------------------------------------------------------------------------------


class Gated(Local):
    """Writes when it is told to."""

    def __init__(self) -> None:
        super().__init__(most=MOST)
        self.gate = asyncio.Event()

    async def put(self, key, kept, *, ttl):
        await self.gate.wait()
        return await super().put(key, kept, ttl=ttl)


async def test_what_is_being_written_is_found_and_remembered_when_it_is_there():
    shelf, one, told = Shelf(store := Gated()), key(), []
    flight = (await shelf.find(one, is_fresh=always)).flight
    shelf.keep(one, flight, said := answer(b"said"), ttl=60, then=lambda: told.append(one))
    await turns()
    assert await store.get(one) is None
    assert await shelf.peek(one) is said
    assert (await shelf.find(one, is_fresh=always)).answer is said
    assert (await shelf.find(one, is_fresh=lambda kept: False)).flight is not None
    assert (told, shelf.is_settled) == ([], False)
    store.gate.set()
    await turns()
    assert (told, shelf.is_settled, shelf._arriving) == ([one], True, {})
    assert await shelf.peek(one) == said
    await shelf.close()


async def test_what_is_not_kept_is_not_remembered(monkeypatch):
    shelf, store, told = Shelf(store := Local(most=MOST)), store, []
    for text, is_up in ((secrets.token_bytes(MOST), True), (b"{}", False)):
        store.is_up = is_up
        shelf.keep(one := key(), None, answer(text), ttl=60, then=lambda: told.append(1))
        await turns()
        async with asyncio.timeout(20):
            while not shelf.is_settled:
                await asyncio.sleep(0.001)
        assert await shelf.peek(one) is None
    assert told == []
    await shelf.close()


async def test_who_looks_while_the_store_is_away_is_told_and_who_asks_goes_on():
    """A question that is remembered must not be taken for one whose answer is gone."""

    class Gone(Local):
        async def get(self, key):
            raise kept.Away

    shelf, one = Shelf(Gone(most=MOST)), key()
    with pytest.raises(kept.Away):
        await shelf.peek(one)
    assert (await shelf.find(one, is_fresh=always)).flight is not None
    await shelf.close()


async def test_the_later_of_two_answers_stays_and_a_flight_lands_once():
    shelf, one = Shelf(store := Gated()), key()
    flight = (await shelf.find(one, is_fresh=always)).flight
    shelf.keep(one, None, answer(b"refreshed"), ttl=60)
    shelf.keep(one, flight, later := answer(b"later"), ttl=60)
    shelf.land(one, flight, Fate.AGAIN)
    assert flight.result() is later
    assert await shelf.peek(one) is later
    store.gate.set()
    await turns()
    assert await shelf.peek(one) == later
    await shelf.close()


async def test_a_flight_that_lands_again_leaves_the_next_one_in_the_air():
    shelf, one = Shelf(Local(most=MOST)), key()
    first = (await shelf.find(one, is_fresh=always)).flight
    shelf.land(one, first, Fate.AGAIN)
    second = (await shelf.find(one, is_fresh=always)).flight
    shelf.land(one, first, Fate.AGAIN)
    (waits,) = askers(shelf, one, 1)
    await turns()
    assert not waits.done()
    shelf.keep(one, second, said := answer(b"said"), ttl=60)
    assert (await waits).answer == said
    await shelf.close()


async def test_who_has_waited_for_an_answer_that_is_stale_for_it_asks_alone():
    shelf, one = Shelf(Local(most=MOST)), key()
    (leader,) = askers(shelf, one, 1)
    await turns()
    waiting = asyncio.create_task(shelf.find(one, is_fresh=lambda _: False))
    await turns()
    shelf.keep(one, leader.result().flight, answer(), ttl=60)
    assert tuple(await waiting)[:3] == (None, None, True)
    await shelf.close()


async def test_an_answer_that_comes_while_an_older_one_is_written_is_found_until_it_is_there():
    class Gated(Local):
        def __init__(self):
            super().__init__(most=MOST)
            self.gates = [asyncio.Event(), asyncio.Event()]
            self.begun = 0

        async def put(self, key, packed, *, ttl):
            gate = self.gates[self.begun]
            self.begun += 1
            await gate.wait()
            return await super().put(key, packed, ttl=ttl)

    shelf, one = Shelf(store := Gated()), key()
    shelf.keep(one, None, answer(b"older"), ttl=60)
    shelf.keep(one, None, newer := answer(b"newer"), ttl=60)
    async with asyncio.timeout(30):
        while store.begun < 2:
            await asyncio.sleep(0)
        store.gates[0].set()
        while len(shelf._writes) > 1:
            await asyncio.sleep(0)
    assert await shelf.peek(one) is newer
    store.gates[1].set()
    await shelf.close()
    assert shelf.is_settled
