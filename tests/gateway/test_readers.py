"""Whose turn it is at the threads that read long bodies, and how much of one tenant is in hand at once."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from apps.gateway import readers

pytestmark = pytest.mark.once

MB = 1024 * 1024
ENDLESS = 10**9


@pytest.fixture(autouse=True)
def _one_step_a_slice(monkeypatch):
    monkeypatch.setattr(readers, "SLICE_SECONDS", 0.0)


def _work(name, steps, seen):
    for _ in range(steps):
        seen.append(name)
        yield
    return name


def _run(pool, work, *, tenant=1, size=2 * MB, seconds=60.0):
    return asyncio.ensure_future(pool.run(work, tenant_id=tenant, size=size, seconds=seconds))


async def _until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def _ended(*tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_tenant_with_many_long_bodies_has_half_the_turns_of_two():
    async def main():
        pool, seen = readers.Readers(threads=1), []
        flood = [_run(pool, _work("flood", ENDLESS, seen)) for _ in range(6)]
        await _until(lambda: len(seen) > 5)
        before = len(seen)
        assert await _run(pool, _work("other", 20, seen), tenant=2) == "other"
        between = seen[before:]
        assert between.count("other") == 20
        assert between.count("flood") <= 30
        await _ended(*flood)
        assert await _run(pool, _work("flood", 1, seen)) == "flood"

    asyncio.run(main())


def test_of_one_tenant_only_so_much_is_in_hand_and_small_bodies_and_others_pass():
    async def main():
        pool, seen = readers.Readers(threads=1), []
        first, second, third = (
            _run(pool, _work(name, ENDLESS, seen), size=40 * MB) for name in ("first", "second", "third")
        )
        await _until(lambda: len(seen) > 5)
        assert await _run(pool, _work("small", 3, seen), size=readers.SMALL_BYTES) == "small"
        assert await _run(pool, _work("other", 3, seen), tenant=2, size=50 * MB) == "other"
        assert {"second", "third"}.isdisjoint(seen)
        await _ended(first)
        await _until(lambda: "second" in seen)
        assert "third" not in seen
        await _ended(second, third)
        assert await _run(pool, _work("fourth", 1, seen), size=100 * MB) == "fourth"

    asyncio.run(main())


def test_of_all_tenants_together_only_so_much_is_in_hand_and_who_waits_for_it_is_not_passed():
    async def main():
        pool, seen = readers.Readers(threads=1), []
        held = [_run(pool, _work(tenant, ENDLESS, seen), tenant=tenant, size=30 * MB) for tenant in (1, 2, 3)]
        waiting = _run(pool, _work(4, ENDLESS, seen), tenant=4, size=30 * MB)
        fits = _run(pool, _work(5, ENDLESS, seen), tenant=5, size=2 * MB)
        await _until(lambda: {1, 2, 3} <= set(seen))
        before = len(seen)
        await _until(lambda: len(seen) > before + 20)
        assert set(seen) == {1, 2, 3}
        assert await _run(pool, _work("small", 3, seen), tenant=6, size=readers.SMALL_BYTES) == "small"
        await _ended(held[0])
        await _until(lambda: {4, 5} <= set(seen))
        assert seen.index(4) < seen.index(5)
        gone, other = (_run(pool, _work(tenant, ENDLESS, seen), tenant=tenant, size=30 * MB) for tenant in (7, 8))
        before = len(seen)
        await _until(lambda: len(seen) > before + 20)
        await _ended(gone)  # who gives up waiting holds nobody up
        await _ended(held[1])
        await _until(lambda: 8 in seen)
        assert 7 not in seen
        await _ended(held[2], waiting, fits, other)

    asyncio.run(main())


def test_small_bodies_of_many_tenants_have_a_bound_of_their_own():
    async def main():
        pool, seen = readers.Readers(threads=1), []
        most = readers.MOST_IN_ALL // readers.SMALL_BYTES
        flood = [
            _run(pool, _work(number, ENDLESS, seen), tenant=number % 5, size=readers.SMALL_BYTES)
            for number in range(most + 20)
        ]
        await _until(lambda: len(set(seen)) == most)
        before = len(seen)
        await _until(lambda: len(seen) > before + 2 * most)
        assert len(set(seen)) == most
        assert await _run(pool, _work("large", 3, seen), tenant=9) == "large"
        await _ended(flood[0])
        await _until(lambda: len(set(seen)) == most + 2)
        await _ended(*flood)

    asyncio.run(main())


def test_what_takes_too_long_or_fails_gives_its_thread_back():
    def broken():
        yield
        raise ValueError("no JSON")

    async def main():
        pool, seen = readers.Readers(threads=1), []
        with pytest.raises(readers.TooLong):
            await _run(pool, _work("long", ENDLESS, seen), seconds=0.0)
        with pytest.raises(ValueError, match="no JSON"):
            await _run(pool, broken())
        assert await _run(pool, _work("next", 1, seen)) == "next"

    asyncio.run(main())


def test_nobody_is_told_of_what_fails_once_its_caller_has_left():
    begun, may_go = threading.Event(), threading.Event()
    told = []

    def broken():
        begun.set()
        assert may_go.wait(30)
        raise ValueError("no JSON")
        yield

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        pool, seen = readers.Readers(threads=1), []
        gone = _run(pool, broken())
        await _until(begun.is_set)
        await _ended(gone)
        may_go.set()
        assert await _run(pool, _work("next", 1, seen)) == "next"
        gc.collect()

    asyncio.run(main())
    assert told == []


def test_of_one_tenants_small_bodies_only_so_many_are_in_hand():
    async def main():
        pool, seen, most = readers.Readers(threads=1), [], readers.MOST_SMALL
        large = _run(pool, _work("large", ENDLESS, seen), size=100 * MB)
        await _until(lambda: seen)
        small = [_run(pool, _work(number, ENDLESS, seen), size=readers.SMALL_BYTES) for number in range(most + 8)]
        await _until(lambda: most - 1 in seen and seen.count(0) > 2)
        assert set(seen) == {"large", *range(most)}
        assert await _run(pool, _work("other", 3, seen), tenant=2, size=readers.SMALL_BYTES) == "other"
        await _ended(small[0], small[-1])
        await _until(lambda: most in seen)
        assert most + 1 not in seen
        await _ended(large, *small)
        assert await _run(pool, _work("next", 1, seen), size=readers.SMALL_BYTES) == "next"

    asyncio.run(main())
