"""Small documents of other servers: asked for once, or remembered for all who need them (`Documents`).

For both kinds of callers: what is remembered is fetched on threads of its own, so that a thread and an event loop may
wait for the same answer.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

import aiohttp
from yarl import URL

from apps.outbound import faults
from apps.outbound.download import Names
from apps.outbound.guard import AddressRefused, Guard
from apps.outbound.pool import guarded_session, made_connection

SECONDS = 5.0
MOST_BYTES = 512 * 1024
_FETCHERS = 8
_LET_GO_BYTES, _LET_GO_SECONDS = 4096, 0.5
_fetchers = ThreadPoolExecutor(max_workers=_FETCHERS, thread_name_prefix="documents")

Read = TypeVar("Read")


class Unavailable(Exception):
    """There is no document to be had. `reason` says why in few words, and nothing of what the server said."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Stale(Unavailable):
    """By a connection that had served before, and was closed meanwhile."""


class Reply(NamedTuple):
    status: int
    content_type: str
    body: bytes
    retry_after: str = ""


def ask(
    method: str,
    url: str,
    *,
    networks: Sequence[str],
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    seconds: float = SECONDS,
    tls: ssl.SSLContext | None = None,
    most: int = MOST_BYTES,
) -> Reply:
    """Blocks. Whatever the status; redirects are answers. `networks`: private ranges that it may lie in; `seconds`
    bounds the whole, `most` the answer's bytes; 0: nothing of it is read, and what it is like does not matter. Raises
    Unavailable."""
    asked = _ask(method, url, networks=networks, headers=headers or {}, body=body, seconds=seconds, tls=tls, most=most)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="document") as own:
        return own.submit(asyncio.run, asked).result()


async def _ask(
    method: str,
    url: str,
    *,
    networks: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    seconds: float,
    tls: ssl.SSLContext | None,
    most: int = MOST_BYTES,
) -> Reply:
    guard = Guard(networks)
    async with guarded_session(guard, keep_alive=False, resolver=Names(), tls=tls) as session:
        return await asked(session, guard, method, url, headers=headers, body=body, seconds=seconds, most=most)


async def asked(
    session: aiohttp.ClientSession,
    guard: Guard,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    seconds: float,
    most: int,
) -> Reply:
    """As `ask`, in a session of the caller's. Where the answer is not read, what is left of it is let go in passing, so
    that its connection may serve again. Raises Unavailable."""
    made_connection.set(False)
    try:
        guard.check_url(url)
        async with (
            asyncio.timeout(seconds),
            session.request(
                method, URL(url, encoded=True), headers=dict(headers), data=body or None, allow_redirects=False
            ) as response,
        ):
            kind, later = (response.headers.get(name, "") for name in ("content-type", "retry-after"))
            read = await _bounded(response, most) if most else b""
            if not most:
                await _let_go(response)
            return Reply(response.status, kind, read, later)
    except TimeoutError:
        raise Unavailable("late") from None
    except AddressRefused:
        raise Unavailable("address refused") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        is_refused = isinstance(error.__cause__, AddressRefused) or isinstance(error, AddressRefused)
        if not made_connection.get() and faults.is_lost(error):
            raise Stale("unreachable") from None
        raise Unavailable("address refused" if is_refused else "unreachable") from None


async def _let_go(response: aiohttp.ClientResponse) -> None:
    left = _LET_GO_BYTES
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_LET_GO_SECONDS):
            while left > 0 and (chunk := await response.content.readany()):
                left -= len(chunk)


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Raises ValueError for one that is too large, or coded though it was asked not to be."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise ValueError("it is not there as it is")
    parts: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        parts.append(chunk)
        size += len(chunk)
        if size > most:
            raise ValueError("it is too large")
    return b"".join(parts)


class _Shelf(Generic[Read]):
    """One document. `read_at` and `tried_at` by the clock of its Documents."""

    def __init__(self) -> None:
        self.value: Read | None = None
        self.read_at = 0.0
        self.tried_at: float | None = None
        self.reason = ""
        self.fetching: Future[None] | None = None


class Documents(Generic[Read]):
    """Documents as they were last read, by URL. Safe to use from any thread and any loop.

    At most one fetch of a document is under way. One that is `fresh` old is fetched again behind the callers' backs,
    one that is `late` old is waited for; if it cannot be had, the old one serves until it is `stale`. After a failure,
    and for what it does not hold, a server is asked every `pause` at most. All are seconds.
    """

    def __init__(
        self,
        read: Callable[[bytes], Read],
        *,
        fresh: float = 300.0,
        late: float = 900.0,
        stale: float = 6 * 3600.0,
        pause: float = 15.0,
        seconds: float = SECONDS,
        capacity: int = 1000,
        clock: Callable[[], float] = time.monotonic,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`read` raises ValueError for what is no such document."""
        self._read = read
        self._fresh, self._late, self._stale, self._pause = fresh, late, stale, pause
        self._seconds = seconds
        self._capacity = capacity
        self._clock = clock
        self._tls = tls
        self._lock = threading.Lock()
        self._shelves: dict[tuple[str, tuple[str, ...]], _Shelf[Read]] = {}

    def known(self, url: str, *, networks: Sequence[str] = ()) -> Read | None:
        """What is remembered and needs no waiting. Never blocks."""
        shelf = self._shelves.get((url, tuple(networks)))
        if shelf is None or shelf.value is None or self._clock() - shelf.read_at >= self._fresh:
            return None
        return shelf.value

    def get(self, url: str, *, networks: Sequence[str] = (), is_enough: Callable[[Read], bool] | None = None) -> Read:
        """Blocks, for `seconds` at most. One that is not enough is fetched anew, if that may be, and returned even if
        it is still not. Raises Unavailable."""
        shelf, fetching = self._begin(url, tuple(networks), is_enough)
        if fetching is not None:
            fetching.result()
        return self._taken(shelf)

    async def find(
        self, url: str, *, networks: Sequence[str] = (), is_enough: Callable[[Read], bool] | None = None
    ) -> Read:
        """As `get`, for coroutines."""
        shelf, fetching = self._begin(url, tuple(networks), is_enough)
        if fetching is not None:
            await asyncio.shield(asyncio.wrap_future(fetching))
        return self._taken(shelf)

    def forget(self) -> None:
        with self._lock:
            self._shelves.clear()

    def _begin(
        self, url: str, networks: tuple[str, ...], is_enough: Callable[[Read], bool] | None
    ) -> tuple[_Shelf[Read], Future[None] | None]:
        """The shelf, and what must be waited for."""
        now = self._clock()
        with self._lock:
            shelf = self._shelves.get((url, networks))
            if shelf is None:
                if len(self._shelves) >= self._capacity:
                    self._shelves.pop(next(iter(self._shelves)))
                shelf = self._shelves[url, networks] = _Shelf()
            value, age = shelf.value, now - shelf.read_at
            is_good = value is not None and age < self._late and (is_enough is None or is_enough(value))
            if is_good and age < self._fresh:
                return shelf, None
            rested = shelf.tried_at is None or now - shelf.tried_at >= self._pause
            if shelf.fetching is None and rested:
                shelf.tried_at = now
                shelf.fetching = _fetchers.submit(self._fetch, url, networks, shelf)
            return shelf, None if is_good else shelf.fetching

    def _taken(self, shelf: _Shelf[Read]) -> Read:
        if shelf.value is None or self._clock() - shelf.read_at >= self._stale:
            raise Unavailable(shelf.reason or "unreachable")
        return shelf.value

    def _fetch(self, url: str, networks: tuple[str, ...], shelf: _Shelf[Read]) -> None:
        """On a thread of its own, outside the lock. Never raises."""
        value, reason = None, "unreadable"
        try:
            value, reason = self._fetched(url, networks), ""
        except Unavailable as fault:
            reason = fault.reason
        except (ValueError, RecursionError):
            pass
        finally:
            with self._lock:
                shelf.reason, shelf.fetching = reason, None
                if value is not None:
                    shelf.value, shelf.read_at = value, self._clock()

    def _fetched(self, url: str, networks: tuple[str, ...]) -> Read:
        reply = asyncio.run(
            _ask("GET", url, networks=networks, headers={}, body=b"", seconds=self._seconds, tls=self._tls)
        )
        if reply.status != 200:
            raise Unavailable(f"status {reply.status}")
        return self._read(reply.body)
