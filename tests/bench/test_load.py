"""The load generator against a server that answers exactly what a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from benchmarks import wire
from benchmarks.load import Load

CALL = wire.call("anthropic", "call", model="claude-53", key="k")
STREAM = wire.call("anthropic", "stream", model="claude-53", key="k")
ENDING = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def server(*pieces: bytes, close: bool = False) -> AsyncIterator[int]:
    """Answers each request with these pieces, one packet each."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if close:
                    break
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


async def drive(call: wire.Call, pieces: Sequence[bytes], *, close: bool = False):
    async with server(*pieces, close=close) as port:
        load = Load(call, host="127.0.0.1", port=port, connections=2)
        return load, await load.run(seconds=0.05, warm_up=0.01)


async def test_it_counts_whole_answers_and_keeps_their_times():
    load, tally = await drive(CALL, [HEAD + b"content-length: 2\r\n\r\n{}"])
    assert not tally.errors
    assert len(tally.latencies) == len(tally.first_bytes) > 0
    assert load.answered >= len(tally.latencies)
    assert tally.rate > 0
    assert all(0 < first <= whole for first, whole in zip(tally.first_bytes, tally.latencies, strict=True))


async def test_it_understands_an_answer_in_any_pieces():
    whole = CHUNKED + chunk(b"event: ping\n\n") + chunk(ENDING) + b"0\r\n\r\n"
    for size in (1, 7, 64, len(whole)):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        _, tally = await drive(STREAM, pieces)
        assert not tally.errors, size
        assert tally.latencies, size


async def test_a_refusal_is_an_error_by_its_status():
    _, tally = await drive(CALL, [b"HTTP/1.1 429 Too Many\r\ncontent-length: 2\r\n\r\n{}"])
    assert set(tally.errors) == {"status 429"}
    assert not tally.latencies


async def test_a_stream_without_its_last_event_is_an_error():
    _, tally = await drive(STREAM, [CHUNKED, chunk(b"event: ping\n\n"), b"0\r\n\r\n"])
    assert set(tally.errors) == {"ended early"}
    assert not tally.latencies


async def test_a_lost_connection_is_an_error_and_the_run_still_ends():
    _, tally = await drive(STREAM, [CHUNKED, chunk(b"event: ping\n\n")], close=True)
    assert set(tally.errors) == {"connection lost"}


async def test_an_answer_of_unknown_length_is_an_error():
    _, tally = await drive(CALL, [HEAD + b"\r\n{}"])
    assert set(tally.errors) == {"an answer without a length"}
