"""An upstream that sends faster than it is relayed is left some turns of the loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from apps.domain import errors
from apps.domain.snapshot import Timeouts
from apps.outbound.client import Outbound
from tests.outbound.upstream import STREAM_HEAD, Visit, chunk, listening


@pytest_asyncio.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound(private_networks=["127.0.0.0/8"])
    yield client
    await client.close()


@pytest.mark.parametrize(("gathering", "taken"), [(False, b"one"), (True, b"onetwo")])
async def test_what_comes_in_the_next_turns_can_be_taken_with_what_is_there(
    outbound: Outbound, gathering: bool, taken: bytes
) -> None:
    opened = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD)
        opened.set()
        await visit.reader.readexactly(1)

    async with listening(script) as upstream:
        answer = await outbound.open("POST", upstream.url, headers=[], body=b"{}", timeouts=Timeouts())
        await opened.wait()
        pipe = upstream.visits[0].writer.get_extra_info("socket").fileno()
        os.write(pipe, chunk(b"one"))
        while answer.received < len(b"one"):
            await asyncio.sleep(0)
        os.write(pipe, chunk(b"two"))
        assert await answer.chunk(gathering=gathering) == taken
        await answer.close()


async def test_the_whole_has_a_limit_however_fast_the_upstream(outbound: Outbound) -> None:
    """There is always more to take, so that who reads never waits."""

    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD)
        while True:
            await visit.send(chunk(b"data: x\n\n" * 4))
            await asyncio.sleep(0)

    async def gather(timeouts: Timeouts) -> None:
        answer = await outbound.open("POST", upstream.url, headers=[], body=b"{}", timeouts=timeouts)
        try:
            while await answer.chunk(gathering=True):
                pass
        finally:
            await answer.close()

    async with listening(script) as upstream:
        with pytest.raises(errors.UpstreamTimeout, match=r"did not finish within 0\.3 s"):
            await asyncio.wait_for(gather(Timeouts(total=0.3, idle=5)), 20.0)
        await asyncio.wait_for(upstream.gone.wait(), 1.0)
