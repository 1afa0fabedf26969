"""Calls to providers. An httpx2 request goes straight to a transport: no client object, no redirects, no cookies.

The transport is a seam: anything that is an `httpx2.AsyncBaseTransport` serves, as long as its responses are streams.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import httpx2

from apps.domain import errors
from apps.domain.snapshot import Timeouts
from apps.outbound import faults, pool
from apps.outbound.deadline import Deadline

_STALE_WINDOW = 1.0  # seconds in which a dropped kept-alive connection means "it was dead already"


class Answer:
    """An upstream's answer whose body is still to come. Read it by `chunks` or `read`, once; always `close` it."""

    __slots__ = ("_deadline", "_finished", "_pool", "_response", "headers", "status")

    def __init__(self, response: httpx2.Response, *, deadline: Deadline, owner: pool.Pool) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._deadline = deadline
        self._pool = owner
        self._finished = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises UpstreamTimeout, UpstreamBroken."""
        deadline = self._deadline
        source = aiter(self._response.stream)  # type: ignore[arg-type]  # the transport is asynchronous
        while True:
            deadline.begin_wait()
            try:
                chunk = await anext(source)
            except StopAsyncIteration:
                break
            except asyncio.CancelledError:
                if (timeout := deadline.fault()) is None:
                    raise
                raise timeout from None
            except Exception as error:
                raise faults.translate(error) from error
            finally:
                deadline.end_wait()
            deadline.first_byte_seen()
            yield chunk
        self._finish()

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamBroken beyond `limit` bytes, and what `chunks` raises."""
        parts: list[bytes] = []
        size = 0
        async with contextlib.aclosing(self.chunks()) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise errors.UpstreamBroken(f"The provider's answer is larger than {limit} bytes.")
                parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def close(self) -> None:
        """Leave. An unfinished answer's connection is closed at once, so that the upstream stops. Never raises."""
        if self._finished:
            return
        self._finish()
        with contextlib.suppress(Exception):
            await self._response.stream.aclose()  # type: ignore[union-attr]

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._deadline.stop()
            self._pool.leave()


class Outbound:
    """One per event loop. `transport` replaces the sockets in tests."""

    def __init__(
        self, *, private_networks: Sequence[str] = (), transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._private_networks = tuple(private_networks)
        self._transport = transport
        self._pool: pool.Pool | None = None

    def set_private_networks(self, cidrs: Sequence[str]) -> None:
        """Raises ValueError for a malformed CIDR. Connections made under other rules are not used again."""
        if tuple(cidrs) == self._private_networks:
            return
        self._private_networks = tuple(cidrs)
        if self._pool is not None:
            self._pool.retire()
            self._pool = None

    async def open(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes, timeouts: Timeouts
    ) -> Answer:
        """Send a request and await the answer's head. Raises UpstreamTimeout, UpstreamBroken."""
        current = self._pool or self._new_pool()
        request = current.request(method, url, headers=headers, body=body, timeouts=timeouts)
        deadline = Deadline(timeouts)
        current.enter()
        try:
            response = await self._send(current, request, deadline=deadline)
            answer = Answer(response, deadline=deadline, owner=current)
        except BaseException:
            deadline.stop()
            current.leave()
            raise
        if (fault := faults.in_head(response)) is not None:
            await answer.close()
            raise fault
        return answer

    async def close(self) -> None:
        if self._pool is not None:
            retired, self._pool = self._pool, None
            await retired.close()

    async def _send(self, current: pool.Pool, request: httpx2.Request, *, deadline: Deadline) -> httpx2.Response:
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline.begin_wait()
        try:
            pool.fresh.set(False)
            try:
                return await current.transport.handle_async_request(request)
            except Exception as error:
                stale = not pool.fresh.get() and loop.time() - started < _STALE_WINDOW
                if not (stale and faults.is_dropped(error)):
                    raise
                return await current.fresh_transport.handle_async_request(request)
        except asyncio.CancelledError:
            if (timeout := deadline.fault()) is None:
                raise
            raise timeout from None
        except Exception as error:
            raise faults.translate(error, connect=request.extensions["timeout"]["pool"]) from error
        finally:
            deadline.end_wait()

    def _new_pool(self) -> pool.Pool:
        self._pool = pool.Pool(self._private_networks, transport=self._transport)
        return self._pool
