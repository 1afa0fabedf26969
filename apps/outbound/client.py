"""Calls to providers. An httpx2 request goes straight to a transport: no client object, no redirects, no cookies.

The transport is a seam: any `httpx2.AsyncBaseTransport` serves whose responses are asynchronous streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping, Sequence

import httpx2
from aiohttp.abc import AbstractResolver

from apps.domain import errors
from apps.domain.snapshot import Timeouts
from apps.outbound import faults
from apps.outbound.deadline import Deadline
from apps.outbound.pool import Pool, made_connection
from apps.outbound.transport import Body, reader
from apps.runtime.ticker import Ticker

# A kept-alive connection that is lost so soon after a request was written had been closed before it, as good as always.
# Later than that the provider has most likely worked on the request.
_STALE_WINDOW = 1.0
# What comes in these is taken, read and sent at once, which is cheaper: docs/decisions/0017. An end that follows within
# them is not late, but a fault would be told before what came just before it: more of them would lose more.
_GATHERING_TURNS = 2


class Answer:
    """An upstream's answer, its body still to come: take that once, by `chunk` or `read`, and `close` in any case."""

    __slots__ = ("_body", "_deadline", "_next", "_pool", "headers", "is_finished", "status")

    def __init__(self, response: httpx2.Response, *, deadline: Deadline, pool: Pool) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers  # names in any case
        self._body = response.stream
        self._next = reader(response.stream)
        self._deadline = deadline
        self._pool = pool
        self.is_finished = False

    @property
    def received(self) -> int:
        """Bytes of the body that have come in, taken or not; 0 where the transport does not count them."""
        return self._body.received if isinstance(self._body, Body) else 0

    async def chunk(self, *, gathering: bool = False) -> bytes:
        """What has arrived of the body, nothing held back; b"" at its end. Raises UpstreamTimeout, UpstreamBroken.

        `gathering`: the upstream sends faster than it is read, so some turns of the loop are left to it before.
        """
        deadline = self._deadline
        deadline.is_waiting = deadline.has_moved = True
        try:
            if gathering:
                for _ in range(_GATHERING_TURNS):
                    await asyncio.sleep(0)
            chunk = await self._next()
        except asyncio.CancelledError:
            if (timeout := deadline.fault()) is None:
                raise
            raise timeout from None
        except Exception as error:
            # aiohttp's reader keeps the error, whose frames would keep the call: only the collector could part them.
            raise deadline.fault() or faults.translate(error) from error.with_traceback(None)
        finally:
            deadline.is_waiting = False
        deadline.is_begun = True
        if not chunk:
            self._finish()
        return chunk

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamBroken beyond `limit` bytes, and what `chunk` raises."""
        body = await self.chunk()
        if isinstance(self._body, Body) and self._body.is_taken and len(body) <= limit:
            self._finish()
        if self.is_finished:
            return body
        parts = [body]
        size = len(body)
        while size <= limit and (chunk := await self.chunk()):
            parts.append(chunk)
            size += len(chunk)
        if size > limit:
            raise errors.UpstreamBroken(f"The provider's answer is larger than {limit} bytes.")
        return body if len(parts) == 1 else b"".join(parts)

    async def close(self) -> None:
        """Leave. The connection of an unfinished answer is cut at once, so that the upstream stops. Never raises."""
        if self.is_finished:
            return
        self._finish()
        with contextlib.suppress(Exception):
            await self._body.aclose()

    def _finish(self) -> None:
        if not self.is_finished:
            self.is_finished = True
            self._deadline.stop()
            self._pool.leave()


class Outbound:
    """One per event loop. `transport` replaces the sockets; `resolver` and `tls` replace the machine's own; `ticker`
    is shared with whoever else waits on this loop."""

    def __init__(
        self,
        *,
        private_networks: Sequence[str] = (),
        transport: httpx2.AsyncBaseTransport | None = None,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        ticker: Ticker | None = None,
    ) -> None:
        self._private_networks = tuple(private_networks)
        self._transport = transport
        self._resolver = resolver
        self._tls = tls
        self._ticker = ticker or Ticker()
        self._pool: Pool | None = None
        self._retired: list[Pool] = []

    def set_private_networks(self, cidrs: Sequence[str]) -> None:
        """Connections made under other rules serve nobody new. Raises ValueError for a malformed CIDR."""
        if tuple(cidrs) == self._private_networks:
            return
        replacement = self._make_pool(cidrs) if self._pool is not None else None
        self._private_networks = tuple(cidrs)
        if self._pool is not None:
            self._pool.retire()
            self._retired = [pool for pool in self._retired if not pool.is_closed] + [self._pool]
        self._pool = replacement

    async def warm(self) -> None:
        """Makes ready what the first call would otherwise have to wait for: the TLS context and its imports."""
        if self._pool is None:
            self._pool = self._make_pool(self._private_networks)

    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: list[tuple[str, str]],
        body: bytes,
        timeouts: Timeouts,
        fresh: bool = False,
    ) -> Answer:
        """Send a request once, await the answer's head; redirects are answers. `fresh`: on a connection of its own.

        Raises UpstreamTimeout, UpstreamBroken, and ConnectionStale, which a `fresh` one never is.
        """
        pool = self._pool
        if pool is None:
            pool = self._pool = self._make_pool(self._private_networks)
        request = pool.request(method, url, headers=headers, body=body, timeouts=timeouts)
        deadline = Deadline(timeouts, ticker=self._ticker)
        pool.enter()
        try:
            transport = pool.fresh_transport if fresh else pool.transport
            response = await _send(transport, request, deadline=deadline, connect=timeouts.connect)
        except BaseException:
            deadline.stop()
            pool.leave()
            raise
        answer = Answer(response, deadline=deadline, pool=pool)
        if (fault := faults.in_head(answer.headers)) is not None:
            await answer.close()
            raise fault
        return answer

    async def close(self) -> None:
        pools, self._retired, self._pool = [*self._retired, self._pool], [], None
        for pool in pools:
            if pool is not None:
                await pool.close()

    def _make_pool(self, private_networks: Sequence[str]) -> Pool:
        return Pool(private_networks, transport=self._transport, resolver=self._resolver, tls=self._tls)


async def _send(
    transport: httpx2.AsyncBaseTransport, request: httpx2.Request, *, deadline: Deadline, connect: float
) -> httpx2.Response:
    deadline.is_waiting = True
    made_connection.set(False)
    try:
        return await transport.handle_async_request(request)
    except asyncio.CancelledError:
        if (timeout := deadline.fault()) is None:
            raise
        raise timeout from None
    except Exception as error:
        if _is_stale(error, deadline):
            raise errors.ConnectionStale(faults.LOST) from error
        raise deadline.fault() or faults.translate(error, connect=connect) from error
    finally:
        deadline.is_waiting = False


def _is_stale(error: Exception, deadline: Deadline) -> bool:
    """Whether a kept-alive connection turned out to have been closed."""
    return not made_connection.get() and deadline.elapsed < _STALE_WINDOW and faults.is_lost(error)
