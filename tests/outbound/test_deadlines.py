from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Self

import httpx2
import pytest
import pytest_asyncio

from apps.domain import errors
from apps.domain.snapshot import Timeouts
from apps.outbound.client import Outbound
from tests.outbound.upstream import STREAM_END, STREAM_HEAD, Upstream, Visit, chunk, collect, listening


@pytest_asyncio.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound(private_networks=["127.0.0.0/8"])
    yield client
    await client.close()


async def read(outbound: Outbound, upstream: Upstream, timeouts: Timeouts) -> list[bytes]:
    answer = await outbound.open("POST", upstream.url, headers=[], body=b"{}", timeouts=timeouts)
    seen: list[bytes] = []
    await collect(answer, into=seen)
    return seen


async def test_connecting_has_a_limit(outbound: Outbound) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        upstream = Upstream(port=full.getsockname()[1])
        waiting = [socket.socket() for _ in range(8)]
        for client in waiting:  # fill the backlog, so that nobody else is accepted
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        with pytest.raises(errors.UpstreamTimeout, match=r"did not accept a connection within 0\.1 s"):
            await read(outbound, upstream, Timeouts(connect=0.1))
        for client in waiting:
            client.close()


async def test_the_first_byte_has_a_limit(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.reader.readexactly(1)

    async with listening(script) as upstream:
        with pytest.raises(errors.UpstreamTimeout, match=r"no first byte within 0\.1 s"):
            await read(outbound, upstream, Timeouts(first_byte=0.1))
        await asyncio.wait_for(upstream.gone.wait(), 1.0)


async def test_a_head_without_a_body_is_still_waiting_for_its_first_byte(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD)
        await visit.reader.readexactly(1)

    async with listening(script) as upstream:
        with pytest.raises(errors.UpstreamTimeout, match=r"no first byte within 0\.2 s"):
            await read(outbound, upstream, Timeouts(first_byte=0.2, idle=0.01))
        await asyncio.wait_for(upstream.gone.wait(), 1.0)


async def test_a_pause_in_the_stream_has_a_limit_that_starts_anew_with_each_chunk(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD)
        for _ in range(5):
            await visit.send(chunk(b"x"))
            await asyncio.sleep(0.3)
        await visit.reader.readexactly(1)

    async with listening(script) as upstream:
        answer = await outbound.open(
            "POST", upstream.url, headers=[], body=b"", timeouts=Timeouts(first_byte=10, idle=1)
        )
        seen: list[bytes] = []
        with pytest.raises(errors.UpstreamTimeout, match=r"sent nothing for 1 s"):
            await collect(answer, into=seen)
        assert len(seen) == 5  # together longer than the limit
        await asyncio.wait_for(upstream.gone.wait(), 1.0)


async def test_the_whole_has_a_limit_however_lively_the_stream(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD)
        while True:
            await visit.send(chunk(b"x"))
            await asyncio.sleep(0.01)

    async with listening(script) as upstream:
        with pytest.raises(errors.UpstreamTimeout, match=r"did not finish within 0\.3 s"):
            await read(outbound, upstream, Timeouts(total=0.3, idle=5))
        await asyncio.wait_for(upstream.gone.wait(), 1.0)


async def test_a_slow_reader_is_not_the_upstreams_fault(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD + chunk(b"one"))
        await asyncio.sleep(0.05)
        await visit.send(chunk(b"two") + STREAM_END)

    async with listening(script) as upstream:
        timeouts = Timeouts(first_byte=0.2, idle=0.2)
        answer = await outbound.open("POST", upstream.url, headers=[], body=b"", timeouts=timeouts)
        seen = []
        while piece := await answer.chunk():
            seen.append(piece)
            await asyncio.sleep(0.5)
        assert b"".join(seen) == b"onetwo"


async def test_a_cancellation_from_outside_stays_a_cancellation(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD + chunk(b"one"))
        await visit.reader.readexactly(1)

    async with listening(script) as upstream:
        task = asyncio.ensure_future(read(outbound, upstream, Timeouts(idle=30)))
        while not upstream.visits:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(upstream.gone.wait(), 1.0)


async def test_a_passed_limit_leaves_no_cancellation_behind(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.reader.readexactly(1)

    async with listening(script) as upstream:
        with pytest.raises(errors.UpstreamTimeout):
            await read(outbound, upstream, Timeouts(first_byte=0.05))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_caller_with_a_limit_of_its_own_is_obeyed_too(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.reader.readexactly(1)

    async with listening(script) as upstream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await read(outbound, upstream, Timeouts(first_byte=5))


class Swallowing(httpx2.AsyncByteStream, httpx2.AsyncBaseTransport):
    """A transport, and the body of its answers, that makes an error of its own of a cancellation."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if not self._answers:
            await self._wait()
        return httpx2.Response(200, stream=self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await self._wait()
        raise StopAsyncIteration

    async def _wait(self) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise OSError("interrupted") from None


@pytest.mark.parametrize("answers", [False, True], ids=["head", "body"])
async def test_a_passed_limit_is_told_though_the_transport_makes_another_error_of_it(answers: bool) -> None:
    outbound = Outbound(private_networks=["127.0.0.0/8"], transport=Swallowing(answers=answers))
    with pytest.raises(errors.UpstreamTimeout):
        await read(outbound, Upstream(port=9), Timeouts(first_byte=0.1))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await outbound.close()
