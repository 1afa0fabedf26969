"""Answers that two parsers may read differently: HAProxy's table, from the other side. What is ambiguous is no answer,
its connection serves nobody else, and what lies behind an answer is never taken for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from apps.domain import errors
from apps.domain.snapshot import Timeouts
from apps.outbound.client import Outbound
from tests.outbound.upstream import Upstream, Visit, listening, ok

pytestmark = pytest.mark.attack("F20")
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
SMUGGLED = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled"
PATIENT = Timeouts(connect=5, first_byte=5, idle=5, total=30)
CUT = "CUT"  # and the provider hangs up


def answer(*lines: bytes, body: bytes = HELLO, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *lines, b"", body])


def chunked(body: bytes) -> bytes:
    return answer(b"transfer-encoding: chunked", body=body)


def long(value: bytes, body: bytes = b"hello") -> bytes:
    return answer(b"content-length: " + value, body=body)


def said(line: bytes) -> bytes:
    return answer(line, b"content-length: 5", body=b"hello")


CODINGS = (
    *(b"chunked, chunked", b"chunked, gzip, chunked", b"chunked, gzip", b"gzip", b"gzip, chunked", b"identity"),
    *(b"identity, chunked", b",chunked", b"chunked,", b"xchunked", b"\x0bchunked", b"chunked\x0b", b"chunked;a=b", b""),
    *(b'"chunked"', b"x\r\n chunked", b"chunked\r\n ,gzip", b"\xc2\xa0chunked", b"ch\xc5\xabnked"),
)
LENGTHS = (
    *(b"+5", b"-5", b"0x5", b"5, 5", b"5,6", b"", b"5 5", b"five", b"5.0", b"5\x0b", b"9" * 30, b"0" * 30 + b"5"),
    *(b"18446744073709551615", b"18446744073709551621"),
)
CHUNKS = {
    "a length below nothing": b"-5\r\nhello\r\n0\r\n\r\n",
    "a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a length beyond 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "no digit": b"g\r\nhello\r\n0\r\n\r\n",
    "no length": b"\r\nhello\r\n0\r\n\r\n",
    "a space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "too short": b"4\r\nhello\r\n0\r\n\r\n",
    "too long": b"7\r\nhello\r\n0\r\n\r\n",
    "LF for line ends": b"5\nhello\n0\n\n",
    "nothing after the data": b"5\r\nhello0\r\n\r\n",
    "CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "a length behind": b"5\r\nhello\r\n0\r\ncontent-length: 90\r\n\r\n",
    "no header behind": b"5\r\nhello\r\n0\r\njunk\r\n\r\n",
}
LINES = (
    *(b"transfer-encoding: chunked", b"transfer-encoding: identity", b"content-length: 5", b"content-length: 6"),
    *(b"x-a: b\rc: d", b"x-a: b\r", b"x-a: b\0c", b"x\0a: b", b"x-a : b", b"junk", b": b", b"x\xffa: b"),
    *(b"\r\n".join([b"x-a: b"] * 1_000), b"x-a: " + b"a" * 100_000),
)
STATUSES = (
    *(b"HTTP/1.1 99 x", b"HTTP/1.1 600 x", b"HTTP/1.1 999 x", b"HTTP/1.1 000 x", b"HTTP/1.1 +200 x", b"HTTP/1.1 20 x"),
    *(
        b"HTTP/1.1 2000 x",
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/1.2 200 OK",
        b"ICY 200 OK",
        b"http/1.1 200 OK",
    ),
    *(b"HTTP/1.1  200 OK", b"HTTP/1.1 200 a\rb", b"HTTP/1.1 101 Switching Protocols", b"junk", b"\xff", b"\0"),
)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"

BROKEN: dict[str, bytes] = {
    **{f"coding {value!r}": answer(b"transfer-encoding: " + value) for value in CODINGS},
    **{
        f"coding {value!r} and a length": answer(b"transfer-encoding: " + value, b"content-length: 5")
        for value in CODINGS
    },
    **{f"length {value!r}": long(value) for value in LENGTHS},
    **{f"chunks: {name}": chunked(body) for name, body in CHUNKS.items()},
    **{f"line {value[:40]!r}": said(value) for value in LINES},
    **{f"status {value!r}": answer(b"content-length: 5", body=b"hello", status=value) for value in STATUSES},
    "HAProxy's: a coding and a length": answer(
        b"transfer-encoding: chunked", b"content-length: 30", body=b"0\r\n\r\n" + SMUGGLED
    ),
    "a length and a coding": answer(b"content-length: 5", b"transfer-encoding: chunked"),
    "a coding twice": answer(b"transfer-encoding: chunked", b"transfer-encoding: chunked"),
    "two codings": answer(b"transfer-encoding: gzip", b"transfer-encoding: chunked"),
    "a length that ends too early": long(b"3"),
    "a length that does not end": long(b"9") + CUT.encode(),
    "chunks that do not end": chunked(b"5\r\nhello\r\n") + CUT.encode(),
    "chunks that end in a length": chunked(b"5\r\nhello\r\n0") + CUT.encode(),
    "chunks whose end does not": chunked(b"5\r\nhello\r\n0\r\n") + CUT.encode(),
    "a chunk that does not end": chunked(b"9\r\nhello") + CUT.encode(),
    "a head that does not end": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n" + CUT.encode(),
    "nothing": CUT.encode(),
    "more and more of what is no answer": INTERIM * 1_000 + ok(b"hello"),
    "an announcement with a body": b"HTTP/1.1 102 x\r\ncontent-length: 5\r\n\r\nhello" + ok(b"hello"),
    "an ambiguous one before a good one": answer(b"transfer-encoding: gzip, chunked") + SMUGGLED,
    "another protocol": b"HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n" + SMUGGLED,
}
READ: dict[str, bytes] = {
    "a length": ok(b"hello"),
    "chunks": chunked(HELLO),
    "chunks, in capitals": answer(b"Transfer-Encoding: CHUNKED"),
    "chunks with an extension": chunked(b"5;a=b\r\nhello\r\n0\r\n\r\n"),
    "chunks with a header behind": chunked(b"5\r\nhello\r\n0\r\nx-a: b\r\n\r\n"),
    "chunks with a coding behind": chunked(b"5\r\nhello\r\n0\r\ntransfer-encoding: chunked\r\n\r\n"),
    "chunks of HTTP/1.0": answer(b"transfer-encoding: chunked", status=b"HTTP/1.0 200 OK"),
    "a folded line, as one line": said(b"x-a: b\r\n c"),
    "no text in a value": said(b"request-id: \xff"),
    "no end but the connection's": answer(b"content-type: x", body=b"hello" + CUT.encode()),
    "some that are no answers": INTERIM * 9 + ok(b"hello"),
    "an upgrade that is offered": said(b"connection: upgrade\r\nupgrade: h2c"),
    "an answer, and another one": ok(b"hello") + SMUGGLED,
    "chunks, and another answer": chunked(HELLO) + SMUGGLED,
}


@pytest_asyncio.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound(private_networks=["127.0.0.0/8"])
    yield client
    await client.close()


async def got(outbound: Outbound, upstream: Upstream) -> tuple[int, bytes]:
    """Raises UpstreamError."""
    found = await outbound.open("POST", upstream.url, headers=[], body=b"{}", timeouts=PATIENT)
    try:
        return found.status, await found.read(100_000)
    finally:
        await found.close()


def first(raw: bytes) -> tuple[bytes, bool]:
    return raw.removesuffix(CUT.encode()), raw.endswith(CUT.encode())


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_ambiguous_is_no_answer_and_its_connection_serves_nobody_else(
    outbound: Outbound, name: str
) -> None:
    raw, is_cut = first(BROKEN[name])

    async def script(visit: Visit) -> None:
        if visit.connection > 1:
            await visit.send(ok(b"fine"))
            return
        await visit.send(raw)
        if is_cut:
            visit.writer.close()

    async with listening(script) as upstream:
        with pytest.raises(errors.UpstreamBroken) as broken:
            await got(outbound, upstream)
        assert "smuggled" not in str(broken.value)
        assert await got(outbound, upstream) == (200, b"fine")
        assert [visit.connection for visit in upstream.visits] == [1, 2]


@pytest.mark.parametrize("name", READ)
async def test_what_can_be_read_ends_where_it_says(outbound: Outbound, name: str) -> None:
    raw, is_cut = first(READ[name])

    async def script(visit: Visit) -> None:
        await visit.send(raw if len(upstream.visits) == 1 else ok(b"fine"))
        if is_cut:
            visit.writer.close()

    async with listening(script) as upstream:
        assert await got(outbound, upstream) == (200, b"hello")
        assert await got(outbound, upstream) == (200, b"fine")


async def test_what_a_provider_says_unasked_is_nobodys_answer(outbound: Outbound) -> None:
    """It may come behind an answer, when its connection already waits for the next request."""
    said_more = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.send(ok(b"hello"))
        if len(upstream.visits) == 1:
            await visit.send(SMUGGLED)
            said_more.set()

    async with listening(script) as upstream:
        assert await got(outbound, upstream) == (200, b"hello")
        await said_more.wait()
        await asyncio.sleep(0)
        for _ in range(3):
            assert (await got(outbound, upstream)) == (200, b"hello")


def test_the_cases_are_counted(figure) -> None:  # type: ignore[no-untyped-def]
    figure("F20", "framing cases of providers, byte for byte", len(BROKEN) + len(READ), least=100)
