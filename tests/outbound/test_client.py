from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from apps.domain import errors
from apps.domain.snapshot import Timeouts
from apps.outbound.client import Answer, Outbound
from tests.outbound.upstream import STREAM_END, STREAM_HEAD, Upstream, Visit, chunk, collect, fetch, listening, ok

LOOPBACK = ["127.0.0.0/8"]
PATIENT = Timeouts()


@pytest_asyncio.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound(private_networks=LOOPBACK)
    yield client
    await client.close()


async def post(
    outbound: Outbound, upstream: Upstream, *, timeouts: Timeouts = PATIENT, body: bytes = b"{}", fresh: bool = False
) -> Answer:
    headers = [("content-type", "application/json"), ("x-api-key", "k"), ("user-agent", "tests")]
    return await outbound.open("POST", upstream.url, headers=headers, body=body, timeouts=timeouts, fresh=fresh)


async def test_it_sends_the_request_as_given_and_reads_the_answer(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(ok(b'{"id":1}', b"Request-Id: req_1"))

    async with listening(script) as upstream:
        answer = await post(outbound, upstream, body=b'{"model":"m"}')
        assert (answer.status, answer.headers["request-ID"]) == (200, "req_1")
        assert await answer.read(100) == b'{"id":1}'
        await answer.close()
        (visit,) = upstream.visits
        assert visit.head.startswith(b"POST /v1/messages HTTP/1.1\r\n")
        assert visit.body == b'{"model":"m"}'
        names = sorted(line.split(b":")[0].lower() for line in visit.head.split(b"\r\n")[1:] if line)
        assert names == sorted(
            [b"host", b"content-type", b"x-api-key", b"user-agent", b"accept", b"accept-encoding", b"content-length"]
        )
        assert b"Accept-Encoding: identity\r\n" in visit.head


async def test_it_reuses_a_connection_whose_answer_was_read(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(ok(b"hello"))

    async with listening(script) as upstream:
        for _ in range(3):
            answer = await post(outbound, upstream)
            await answer.read(100)
            await answer.close()
        assert upstream.connections == 1


async def test_chunks_are_delivered_as_they_arrive(outbound: Outbound) -> None:
    delivered = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD)
        for event in (b"one", b"two", b"three"):
            delivered.clear()
            await visit.send(chunk(event))
            await delivered.wait()  # not a byte more until this one has been seen
        await visit.send(STREAM_END)

    async with listening(script) as upstream:
        answer = await post(outbound, upstream)
        seen = []
        while piece := await answer.chunk():
            seen.append(piece)
            delivered.set()
        assert seen == [b"one", b"two", b"three"]


async def test_a_redirect_is_an_answer_and_is_not_followed(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 307 Elsewhere\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n")

    async with listening(script) as upstream:
        answer = await post(outbound, upstream)
        assert answer.status == 307
        assert await answer.read(10) == b""
        assert len(upstream.visits) == 1


async def test_cookies_are_not_kept(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(ok(b"x", b"set-cookie: a=b"))

    async with listening(script) as upstream:
        for _ in range(2):
            await fetch(post(outbound, upstream))
        assert all(b"cookie" not in visit.head.lower() for visit in upstream.visits)


async def test_proxies_in_the_environment_are_not_used(outbound: Outbound, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(ok(b"direct"))

    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with listening(script) as upstream:
        assert await fetch(post(outbound, upstream)) == b"direct"


async def test_closing_an_unfinished_answer_closes_the_connection_at_once(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD + chunk(b"first"))
        await visit.reader.readexactly(1)  # ends when the client's side is closed

    async with listening(script) as upstream:
        answer = await post(outbound, upstream)
        assert await answer.chunk() == b"first"
        await answer.close()
        await asyncio.wait_for(upstream.gone.wait(), 1.0)


async def test_closing_drops_a_request_body_that_the_upstream_does_not_take(outbound: Outbound) -> None:
    closed = asyncio.Event()
    taken = 0

    async def script(visit: Visit) -> None:
        nonlocal taken
        await visit.send(STREAM_HEAD + chunk(b"early"))
        await closed.wait()
        while data := await visit.reader.read(2**20):
            taken += len(data)
        raise ConnectionResetError

    async with listening(script, takes_body=False) as upstream:
        answer = await post(outbound, upstream, body=b"x" * 30_000_000)
        await asyncio.wait_for(answer.close(), 1.0)
        closed.set()
        await asyncio.wait_for(upstream.gone.wait(), 1.0)
        assert taken < 30_000_000


async def test_a_cancelled_open_closes_the_connection_at_once(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.reader.readexactly(1)

    async with listening(script) as upstream:
        task = asyncio.ensure_future(post(outbound, upstream))
        while not upstream.visits:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(upstream.gone.wait(), 1.0)


async def test_reading_stops_at_the_limit(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD)
        while True:
            await visit.send(chunk(b"x" * 1000))

    async with listening(script) as upstream:
        answer = await post(outbound, upstream)
        with pytest.raises(errors.UpstreamBroken, match="larger than 5000 bytes"):
            await answer.read(5000)
        await answer.close()
        await asyncio.wait_for(upstream.gone.wait(), 1.0)


@pytest.mark.attack("F20")
@pytest.mark.parametrize("cut", ["fin", "reset"])
async def test_a_truncated_answer_never_looks_complete(outbound: Outbound, cut: str) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD + chunk(b"first"))
        visit.writer.close() if cut == "fin" else visit.reset()

    async with listening(script) as upstream:
        answer = await post(outbound, upstream)
        seen: list[bytes] = []
        with pytest.raises(errors.UpstreamBroken, match="dropped the connection"):
            await collect(answer, into=seen)
        assert seen in ([b"first"], [])  # a reset may overtake the bytes before it


@pytest.mark.attack("F20")
async def test_an_answer_shorter_than_it_promised_is_broken(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")
        visit.writer.close()

    async with listening(script) as upstream:
        with pytest.raises(errors.UpstreamBroken, match="dropped the connection"):
            await fetch(post(outbound, upstream))


@pytest.mark.attack("F20")
async def test_a_stream_whose_framing_is_wrong_is_not_called_a_lost_connection(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD + chunk(b"first") + b"zzz\r\n")
        visit.writer.close()

    async with listening(script) as upstream:
        with pytest.raises(errors.UpstreamBroken, match="not valid HTTP"):
            await fetch(post(outbound, upstream))


@pytest.mark.attack("F20")
async def test_who_waits_for_more_learns_at_once_that_its_framing_is_wrong(outbound: Outbound) -> None:
    is_waited_for = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD + chunk(b"first"))
        await is_waited_for.wait()
        await visit.send(b"zzz\r\n")

    async with listening(script) as upstream:
        answer = await post(outbound, upstream)
        assert await answer.chunk() == b"first"
        asyncio.get_running_loop().call_soon(is_waited_for.set)
        with pytest.raises(errors.UpstreamBroken, match="not valid HTTP"):
            await answer.chunk()
        await answer.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\x00: 1\r\n\r\n",
    ],
)
async def test_an_answer_that_can_be_read_two_ways_is_refused(outbound: Outbound, raw: bytes) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(raw)

    async with listening(script) as upstream:
        for _ in range(2):
            with pytest.raises(errors.UpstreamBroken):
                await fetch(post(outbound, upstream))
        assert upstream.connections == 2, "the connection was used again"


async def test_an_encoding_that_was_not_asked_for_is_refused(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(ok(b"hello", b"content-encoding: gzip"))

    async with listening(script) as upstream:
        with pytest.raises(errors.UpstreamBroken, match="compressed"):
            await post(outbound, upstream)


async def test_a_large_body_arrives_whole(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(ok(b"%d" % len(visit.body)))

    async with listening(script) as upstream:
        body = bytes(range(256)) * 20_000
        assert await fetch(post(outbound, upstream, body=body)) == b"5120000"
        assert upstream.visits[0].body == body
        assert b"transfer-encoding" not in upstream.visits[0].head.lower()


async def test_a_refused_connection_is_reported(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None: ...

    async with listening(script) as upstream:
        pass
    with pytest.raises(errors.UpstreamBroken, match="refused the connection"):
        await post(outbound, upstream)


async def test_a_kept_alive_connection_that_had_been_closed_is_told_and_a_fresh_one_can_be_asked_for(
    outbound: Outbound,
) -> None:
    async def script(visit: Visit) -> None:
        if len(upstream.visits) == 2:
            visit.reset()  # the upstream gave up the idle connection as the request came in
        else:
            await visit.send(ok(b"served"))

    async with listening(script) as upstream:
        await fetch(post(outbound, upstream))
        with pytest.raises(errors.ConnectionStale) as caught:
            await post(outbound, upstream)
        assert caught.value.reached
        assert await fetch(post(outbound, upstream)) == b"served"
        assert await fetch(post(outbound, upstream, fresh=True)) == b"served"
        assert [visit.connection for visit in upstream.visits] == [1, 1, 2, 3]


async def test_a_fresh_connection_that_is_reset_is_not_called_stale(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        visit.reset()

    async with listening(script) as upstream:
        for _ in range(2):
            with pytest.raises(errors.UpstreamBroken, match="dropped the connection") as caught:
                await post(outbound, upstream, fresh=True)
            assert not isinstance(caught.value, errors.ConnectionStale)
        assert len(upstream.visits) == 2


async def test_a_reset_after_bytes_of_the_answer_is_not_called_stale(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        if len(upstream.visits) == 1:
            await visit.send(ok(b"served"))
        else:
            await visit.send(STREAM_HEAD + chunk(b"begun"))
            visit.reset()

    async with listening(script) as upstream:
        await fetch(post(outbound, upstream))
        with pytest.raises(errors.UpstreamBroken) as caught:
            await fetch(post(outbound, upstream))
        assert not isinstance(caught.value, errors.ConnectionStale)
        assert len(upstream.visits) == 2


async def test_other_rules_for_addresses_leave_running_answers_alone(outbound: Outbound) -> None:
    go_on = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD + chunk(b"one"))
        await go_on.wait()
        await visit.send(chunk(b"two") + STREAM_END)

    async with listening(script) as upstream:
        answer = await post(outbound, upstream)
        assert await answer.chunk() == b"one"
        outbound.set_private_networks([])
        with pytest.raises(errors.UpstreamBroken) as refused:
            await post(outbound, upstream)
        assert refused.value.code == "address_refused"
        go_on.set()
        assert [await answer.chunk(), await answer.chunk()] == [b"two", b""]
        await asyncio.wait_for(upstream.gone.wait(), 1.0)  # its connection is not kept for later


async def test_no_stream_breaks_while_the_rules_change_again_and_again(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(STREAM_HEAD)
        for _ in range(20):
            await visit.send(chunk(b"x"))
            await asyncio.sleep(0.01)
        await visit.send(STREAM_END)

    async with listening(script) as upstream:
        streams = [asyncio.ensure_future(fetch(post(outbound, upstream))) for _ in range(30)]
        swaps = 0
        while not all(stream.done() for stream in streams):
            swaps += 1
            outbound.set_private_networks(["127.0.0.1/32", f"10.{swaps % 200}.0.0/16"])
            await asyncio.sleep(0.01)
        assert {stream.result() for stream in streams} == {b"x" * 20}
        assert swaps > 5
        assert len(outbound._retired) <= 2  # what nobody uses any more is closed and forgotten


async def test_an_answer_that_is_closed_twice_counts_once(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(ok(b"x"))

    async with listening(script) as upstream:
        answer = await post(outbound, upstream)
        await answer.read(10)
        await answer.close()
        await answer.close()
        outbound.set_private_networks(["127.0.0.1/32"])
        await asyncio.wait_for(upstream.gone.wait(), 1.0)
        assert await fetch(post(outbound, upstream)) == b"x"


async def test_a_malformed_network_changes_nothing(outbound: Outbound) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(ok(b"x"))

    async with listening(script) as upstream:
        await fetch(post(outbound, upstream))
        with contextlib.suppress(ValueError):
            outbound.set_private_networks(["not a network"])
        assert await fetch(post(outbound, upstream)) == b"x"
