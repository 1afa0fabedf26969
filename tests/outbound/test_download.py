"""What callers point at, from real servers on real sockets: its bytes, or that there are none."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
from pathlib import Path
from typing import Any

import pytest

from apps.domain.chat import Fetched
from apps.outbound import download
from apps.outbound.download import NotDownloaded
from tests.outbound.test_resolving import Scripted
from tests.outbound.test_tls import certificate
from tests.outbound.upstream import Script, Visit, listening, ok

LOOPBACK = ("127.0.0.1/32",)
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
ROOM = 1024 * 1024


async def take(*urls: str, room: int = ROOM, networks: tuple[str, ...] = LOOPBACK, **more: Any) -> dict[str, Fetched]:
    return await download.download(urls, most_bytes=room, networks=networks, **more)


async def reason(*urls: str, **more: Any) -> str:
    with pytest.raises(NotDownloaded) as failed:
        await take(*urls, **more)
    assert failed.value.url in urls
    assert failed.value.__cause__ is None
    return failed.value.reason


def answering(answer: bytes) -> Script:
    async def script(visit: Visit) -> None:
        await visit.send(answer)

    return script


def redirecting(location: str, *, status: int = 302) -> Script:
    return answering(b"HTTP/1.1 %d Moved\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % (status, location.encode()))


async def test_it_asks_plainly_and_takes_what_is_there() -> None:
    async with listening(answering(ok(PNG, b"Content-Type: image/png", b"set-cookie: a=b"))) as server:
        url = f"http://127.0.0.1:{server.port}/a%2Fb.png?sig=%41"
        assert await take(url) == {url: Fetched(PNG, "image/png")}
        (visit,) = server.visits
    head = visit.head.decode().lower()
    assert head.startswith("get /a%2fb.png?sig=%41 http/1.1\r\n")
    names = {line.partition(":")[0] for line in head.split("\r\n")[1:] if line}
    assert names == {"host", "accept", "accept-encoding", "user-agent", "connection"}


async def test_they_are_asked_side_by_side() -> None:
    here = asyncio.Barrier(3)

    async def script(visit: Visit) -> None:
        await here.wait()
        await visit.send(ok(visit.head.split()[1]))

    async with listening(script) as server:
        urls = [f"http://127.0.0.1:{server.port}/{number}" for number in range(3)]
        found = await take(*urls)
    assert [found[url].data for url in urls] == [b"/0", b"/1", b"/2"]


async def test_it_escapes_what_is_not_ascii() -> None:
    async with listening(answering(ok(PNG))) as server:
        url = f"http://127.0.0.1:{server.port}/grüße aus.png"
        assert (await take(url))[url].data == PNG
        assert server.visits[0].head.startswith(b"GET /gr%C3%BC%C3%9Fe%20aus.png HTTP/1.1\r\n")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_it_follows_a_redirect(status: int) -> None:
    async def script(visit: Visit) -> None:
        await (answering(ok(PNG)) if b"/there" in visit.head else redirecting("/there", status=status))(visit)

    async with listening(script) as server:
        url = f"http://127.0.0.1:{server.port}/here"
        assert (await take(url))[url].data == PNG


async def test_it_does_not_follow_redirects_without_end() -> None:
    async with listening(redirecting("/again")) as server:
        assert await reason(f"http://127.0.0.1:{server.port}/a") == "unreachable"
        assert server.connections == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{port}/secret",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:{port}/secret",
        "http://2130706434:{port}/",
        "http://user:password@127.0.0.1:{port}/",
        "file:///etc/passwd",
        "//127.0.0.2:{port}/secret",
    ],
)
async def test_a_redirect_inward_is_refused(location: str) -> None:
    async with listening(answering(ok(PNG))) as inner:
        async with listening(redirecting(location.format(port=inner.port))) as outer:
            assert await reason(f"http://127.0.0.1:{outer.port}/a") == "unreachable"
            assert outer.connections == 1
        assert inner.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://user:password@example.com/",
        "ftp://example.com/a.png",
        "data:image/png;base64,AAAA",
        "not a URL at all",
        "http://exa\nmple.com/",
        "https://",
        "",
        "http://example.com/" + "a" * 8192,
    ],
)
async def test_what_may_not_be_called_is_not(url: str) -> None:
    async with listening(answering(ok(PNG))) as server:
        assert await reason(url.format(port=server.port), networks=()) == "unreachable"
        assert server.connections == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "fd00:ec2::254"])
async def test_a_name_is_judged_by_where_it_leads(address: str) -> None:
    names = Scripted([address])
    assert await reason("http://pictures.example/a.png", networks=(), resolver=names) == "unreachable"
    assert names.asked == ["pictures.example"]


async def test_a_name_that_leads_into_an_opened_range_is_followed() -> None:
    async with listening(answering(ok(PNG))) as server:
        url = f"http://pictures.example:{server.port}/a.png"
        assert (await take(url, resolver=Scripted(["127.0.0.1"])))[url].data == PNG


NO_FILES = {
    "not found": b"HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\nsecret",
    "a part": b"HTTP/1.1 206 Partial\r\ncontent-length: 3\r\n\r\nabc",
    "nothing": b"HTTP/1.1 204 Nothing\r\n\r\n",
    "empty": ok(b""),
    "packed": ok(gzip.compress(PNG), b"content-encoding: gzip"),
    "cut short": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut short",
    "no HTTP": b"no HTTP\r\n\r\n",
    "silence": b"",
}


@pytest.mark.parametrize("answer", NO_FILES.values(), ids=list(NO_FILES))
async def test_an_answer_that_is_no_file_is_none(answer: bytes) -> None:
    async def script(visit: Visit) -> None:
        await visit.send(answer)
        visit.writer.close()

    async with listening(script) as server:
        assert await reason(f"http://127.0.0.1:{server.port}/a") == "unreachable"


async def test_a_closed_port_is_told_like_everything_else() -> None:
    async with listening(answering(b"")) as server:
        port = server.port
    assert await reason(f"http://127.0.0.1:{port}/a") == "unreachable"


async def test_a_server_that_takes_its_time_is_left() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
        while not visit.reader.at_eof():
            await visit.send(b"a")
            await asyncio.sleep(0.02)
        raise ConnectionResetError

    async with listening(script) as server:
        assert await reason(f"http://127.0.0.1:{server.port}/a", seconds=0.2) == "late"
        async with asyncio.timeout(10):
            await server.gone.wait()


async def test_a_body_without_end_is_left_at_its_bound() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            await visit.send(b"a" * 65536)

    async with listening(script) as server:
        assert await reason(f"http://127.0.0.1:{server.port}/a", room=2**30) == "large"
        async with asyncio.timeout(10):
            await server.gone.wait()


async def test_all_together_have_one_bound() -> None:
    async with listening(answering(ok(b"a" * 1000))) as server:
        urls = [f"http://127.0.0.1:{server.port}/{number}" for number in range(3)]
        assert len(await take(*urls, room=3000)) == 3
        assert await reason(*urls, room=2999) == "large"


async def test_too_many_are_not_asked_for() -> None:
    async with listening(answering(ok(PNG))) as server:
        urls = [f"http://127.0.0.1:{server.port}/{number}" for number in range(download.MOST_URLS + 1)]
        assert await reason(*urls) == "many"
        assert server.connections == 0
        assert len(await take(*urls[:-1])) == download.MOST_URLS


async def test_a_caller_who_leaves_takes_the_download_along() -> None:
    asked = asyncio.Event()

    async def script(visit: Visit) -> None:
        asked.set()
        await visit.reader.read()
        raise ConnectionResetError

    async with listening(script) as server, asyncio.timeout(10):
        taking = asyncio.create_task(take(f"http://127.0.0.1:{server.port}/a"))
        await asked.wait()
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        await server.gone.wait()


async def test_one_that_fails_ends_the_others() -> None:
    async def script(visit: Visit) -> None:
        if b"/bad" in visit.head:
            await visit.send(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        await visit.reader.read()
        raise ConnectionResetError

    async with listening(script) as server, asyncio.timeout(10):
        assert await reason(f"http://127.0.0.1:{server.port}/slow", f"http://127.0.0.1:{server.port}/bad") == (
            "unreachable"
        )
        await server.gone.wait()


async def test_whom_nobody_vouches_for_is_not_believed(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ok(PNG))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificate(tmp_path, host="pictures.example"))
    url = f"https://pictures.example:{server.sockets[0].getsockname()[1]}/a.png"
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    async with server:
        assert await reason(url, resolver=Scripted(["127.0.0.1"])) == "unreachable"
        assert (await take(url, resolver=Scripted(["127.0.0.1"]), tls=trusting))[url].data == PNG
