"""What lies at the URLs that callers give, for providers who fetch nothing.

The addresses are strangers' words, so each of them, and each that a redirect names, is judged by a guard of its own:
the ranges that were opened for providers are closed to it. What comes of a URL is its bytes, or that there are none.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from apps.domain.chat import Fetched
from apps.domain.protocols.attachments import Reason
from apps.outbound.guard import Guard
from apps.outbound.pool import guarded_session

SECONDS = 10.0
MOST_URLS = 20
MOST_BYTES = 20 * 1024 * 1024  # of one
_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST_URL = 8 * 1024
_NAME_SERVERS = 8
# Threads of their own: names that nobody answers for must not hold up those of providers.
_names = ThreadPoolExecutor(max_workers=_NAME_SERVERS, thread_name_prefix="download-names")


class NotDownloaded(Exception):
    """Of the first URL that failed. Why is told in one of few words: nothing of what its server said or where it is."""

    def __init__(self, url: str, reason: Reason) -> None:
        super().__init__(reason)
        self.url = url
        self.reason: Reason = reason


async def download(
    urls: Sequence[str],
    *,
    most_bytes: int,
    networks: Sequence[str] = (),
    seconds: float = SECONDS,
    resolver: AbstractResolver | None = None,
    tls: ssl.SSLContext | None = None,
) -> dict[str, Fetched]:
    """By URL. They are asked side by side, for `seconds` in all, without cookies or anything of the caller's.
    `most_bytes`: of all together. `networks`: private ranges that they may lie in. Raises NotDownloaded."""
    if len(urls) > MOST_URLS:
        raise NotDownloaded(urls[MOST_URLS], "many")
    guard = Guard(networks, allows_plain=True)
    session = guarded_session(guard, keep_alive=False, resolver=resolver or Names(), tls=tls)
    errand = _Errand(session, guard, seconds=seconds, room=most_bytes)
    try:
        async with session, asyncio.TaskGroup() as group:
            tasks = {url: group.create_task(errand.take(url)) for url in urls}
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return {url: task.result() for url, task in tasks.items()}


class _TooLarge(Exception):
    pass


class _Errand:
    """For one call. `room`: bytes that may still come, of all its URLs."""

    def __init__(self, session: aiohttp.ClientSession, guard: Guard, *, seconds: float, room: int) -> None:
        self._session = session
        self._guard = guard
        self._seconds = seconds
        self._room = room

    async def take(self, url: str) -> Fetched:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._follow(url)
        except TimeoutError:
            raise NotDownloaded(url, "late") from None
        except _TooLarge:
            raise NotDownloaded(url, "large") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise NotDownloaded(url, "unreachable") from None

    async def _follow(self, url: str) -> Fetched:
        for _ in range(_MOST_REDIRECTS + 1):
            url = self._checked(url)
            response = await self._session.get(URL(url, encoded=True), allow_redirects=False)
            try:
                if response.status not in _REDIRECTS:
                    return await self._read(response)
                url = urljoin(url, response.headers.get("location", ""))
            finally:
                response.close()
        raise ValueError("it redirects too often")

    def _checked(self, url: str) -> str:
        """The URL as it is asked for: with escapes for what is not ASCII. Raises ValueError."""
        if len(url) > _LONGEST_URL:
            raise ValueError("it is too long")
        if not url.isascii() or " " in url:
            url = str(URL(url))
        self._guard.check_url(url)
        return url

    async def _read(self, response: aiohttp.ClientResponse) -> Fetched:
        coding = response.headers.get("content-encoding", "identity")
        if response.status != 200 or coding.lower() != "identity":
            raise ValueError("it is not there as it is")
        parts: list[bytes] = []
        size = 0
        while chunk := await response.content.readany():
            parts.append(chunk)
            size += len(chunk)
            self._room -= len(chunk)
            if size > MOST_BYTES or self._room < 0:
                raise _TooLarge
        if not size:
            raise ValueError("it is empty")
        return Fetched(b"".join(parts), response.headers.get("content-type", ""))


class Names(AbstractResolver):
    """The machine's own resolver, in few threads."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        ask = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(_names, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        pass
