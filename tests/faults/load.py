"""Callers: both dialects, streams and whole answers, some that leave; and what became of each call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import aiohttp

Leave = Literal["", "fin", "rst"]
WORDS = "Say something of a usual length about gateways, please."
_ENDS = {"openai": b"data: [DONE]", "anthropic": b"event: message_stop"}
_PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
_ABORTIVE = struct.pack("ii", 1, 0)
PATIENCE_SECONDS = 120.0
BREATH_SECONDS = 0.4  # that a caller takes who was told to come again


@dataclass(frozen=True)
class Ask:
    """A call. `script` is for the simulated provider (see `apps.simulator.script`). With `leave` the caller goes after
    `after` chunks of a stream, or so many hundredths of a second before an answer that is not streamed."""

    key: str
    model: str = "claude"
    dialect: str = "anthropic"
    stream: bool = True
    script: str = ""
    max_tokens: int = 100
    leave: Leave = ""
    after: int = 1


@dataclass
class Said:
    """What the caller saw. `status` 0: no answer, `code` then names the exception. `is_whole`: its own end came."""

    ask: Ask
    status: int = 0
    code: str = ""
    retry_after: str = ""
    request_id: str = ""
    is_whole: bool = False
    left: bool = False
    chunks: int = 0


@dataclass
class Load:
    """Callers that go to whichever gateway `choose` names, and again elsewhere when nobody listens there, as a balancer
    does it. `said` has all that has ended."""

    choose: Callable[[], str]
    tries: int = 3
    patience: float = PATIENCE_SECONDS
    trust: ssl.SSLContext | bool = True
    said: list[Said] = field(default_factory=list)
    streams: list[Said] = field(default_factory=list)  # that have begun and not ended

    async def __aenter__(self) -> Load:
        connector = aiohttp.TCPConnector(limit=0, force_close=True, ssl=self.trust)
        timeout = aiohttp.ClientTimeout(total=self.patience)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def run(self, asks: Iterable[Ask], *, at_once: int, pause: Callable[[], float] = lambda: 0.0) -> list[Said]:
        """All calls, so many at a time; `pause` is how long a caller waits before its next one."""
        waiting = iter(asks)
        done: list[Said] = []

        async def caller() -> None:
            for ask in waiting:
                done.append(await self.call(ask))
                await asyncio.sleep(BREATH_SECONDS if done[-1].status in (503, 529) else pause())

        await asyncio.gather(*(caller() for _ in range(at_once)))
        return done

    async def during(self, change: Callable[[], None], ask: Callable[[int], Ask], *, at_once: int) -> list[Said]:
        """What callers are told who call again and again while something changes: `ask` of the caller's number."""
        over = asyncio.Event()

        async def caller(number: int) -> None:
            while not over.is_set():
                await self.call(ask(number))

        callers = asyncio.gather(*(caller(number) for number in range(at_once)))
        try:
            await asyncio.to_thread(change)
        finally:
            over.set()
        await callers
        return self.said

    async def call(self, ask: Ask) -> Said:
        said = Said(ask)
        for _ in range(self.tries):
            said.code = ""
            try:
                await self._call(ask, said)
            except aiohttp.ClientConnectorError as error:  # nothing was sent
                said.code = type(error).__name__
                await asyncio.sleep(0.1)
                continue
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                said.code = type(error).__name__
            break
        self.said.append(said)
        return said

    async def _call(self, ask: Ask, said: Said) -> None:
        hurry = asyncio.timeout(ask.after / 100 if ask.leave and not ask.stream else None)
        with contextlib.suppress(TimeoutError):
            async with hurry, self._post(ask) as answer:
                said.status = answer.status
                said.request_id = answer.headers.get("x-request-id") or answer.headers.get("request-id") or ""
                said.retry_after = answer.headers.get("retry-after", "")
                if answer.status == 200 and ask.stream:
                    await self._read(answer, ask, said)
                else:
                    body = await answer.read()
                    said.is_whole = answer.status == 200
                    said.code = _code(body)
        if hurry.expired():
            said.left = True

    async def _read(self, answer: aiohttp.ClientResponse, ask: Ask, said: Said) -> None:
        end, tail = _ENDS[ask.dialect], b""
        self.streams.append(said)
        try:
            async for chunk in answer.content.iter_any():
                said.chunks += 1
                tail = (tail + chunk)[-4096:]
                if ask.leave and said.chunks >= ask.after:
                    said.left = True
                    _leave(answer, ask.leave)
                    return
        finally:
            self.streams = [stream for stream in self.streams if stream is not said]
            said.is_whole = end in tail

    def _post(self, ask: Ask) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {"content-type": "application/json"}
        if ask.script:
            headers["x-simulate"] = ask.script
        body: dict[str, object] = {
            "model": ask.model,
            "messages": [{"role": "user", "content": WORDS}],
            "max_tokens": ask.max_tokens,
            "stream": ask.stream,
        }
        if ask.dialect == "anthropic":
            headers |= {"x-api-key": ask.key, "anthropic-version": "2023-06-01"}
        else:
            headers["authorization"] = f"Bearer {ask.key}"
        url = self.choose() + _PATHS[ask.dialect]
        return self._session.post(url, data=json.dumps(body), headers=headers)


def _leave(answer: aiohttp.ClientResponse, how: Leave) -> None:
    transport = answer.connection.transport if answer.connection else None
    if how == "rst" and transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTIVE)
        transport.abort()
    answer.close()


def _code(body: bytes) -> str:
    """What an error's body calls it."""
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        error = json.loads(body).get("error") or {}
        return str(error.get("code") or error.get("type") or "")
    return ""
