"""The relay that Weir is compared with: same server, same router, same transport, and nothing else.

With `--stock` the transport is httpx_aiohttp's own, of which Weir's is a leaner edition; with `--straight` there is no
router, as Weir's completions pass it by.

It reads the JSON, looks the key up in a dict, calls the upstream, passes the bytes on. No limits, no budgets, no
ledger, no time-outs, no failover, no translation.

    python -m benchmarks.bare --port 9001 --upstream http://127.0.0.1:9000 --key secret
"""

from __future__ import annotations

import argparse
from typing import Any

import aiohttp
import httpx2
import msgspec
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import re_path
from httpx_aiohttp.httpx2 import AiohttpTransport
from multidict import CIMultiDict

from apps.outbound.pool import tls_context
from apps.outbound.transport import DirectTransport, Prepared, PreparedURL
from benchmarks.servers import HOST
from benchmarks.wire import PATHS
from gateway_site import server
from gateway_site.connections import Bounds

CONNECT_SECONDS = 5.0
STOCK_TIMEOUTS = {"timeout": {"connect": CONNECT_SECONDS, "read": None, "write": None, "pool": CONNECT_SECONDS}}

Scope = dict[str, Any]
UPSTREAM_HEADERS = {
    PATHS["anthropic"]: [("x-api-key", "upstream"), ("anthropic-version", "2023-06-01")],
    PATHS["openai"]: [("authorization", "Bearer upstream")],
}


class Bare:
    """ASGI application and lifespan."""

    def __init__(self, *, upstream: str, key: str, stock: bool = False) -> None:
        self._keys = {key: "tenant"}
        self._urls = {path: PreparedURL(upstream + path) for path in UPSTREAM_HEADERS}
        self._stock = stock
        self._transport: AiohttpTransport | None = None
        self._session: aiohttp.ClientSession | None = None

    async def lifespan(self, scope: Scope, receive: Any, send: Any) -> None:
        await receive()
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        self._transport = (
            AiohttpTransport(client=self._session) if self._stock else DirectTransport(self._session, tls=tls_context())
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._session.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        path = scope["path"]
        document = msgspec.json.decode(body := await _body(receive))
        if _key(scope) not in self._keys or not document["model"]:
            await _answer(send, 401, b"{}")
            return
        headers = [("content-type", "application/json"), *UPSTREAM_HEADERS[path]]
        request = self._request(path, headers, body)
        assert self._transport is not None
        response = await self._transport.handle_async_request(request)
        if document.get("stream"):
            await _relay(response, send)
        else:
            await _answer(send, response.status_code, b"".join([chunk async for chunk in response.stream]))

    def _request(self, path: str, headers: list[tuple[str, str]], body: bytes) -> httpx2.Request:
        if self._stock:
            return httpx2.Request("POST", self._urls[path], headers=headers, content=body, extensions=STOCK_TIMEOUTS)
        return Prepared("POST", self._urls[path], headers=CIMultiDict(headers), body=body, connect=CONNECT_SECONDS)


async def _body(receive: Any) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body


def _key(scope: Scope) -> str:
    headers = dict(scope["headers"])
    key: bytes = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
    return key.decode()


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _relay(response: Any, send: Any) -> None:
    headers = [(b"content-type", response.headers["content-type"].encode())]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    async for chunk in response.stream:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--straight", action="store_true")
    options = parser.parse_args()

    settings.configure()  # the router resolves paths with Django's patterns
    bare = Bare(upstream=options.upstream, key=options.key, stock=options.stock)
    http = bare if options.straight else URLRouter([re_path(r"^(?:anthropic/)?v1(?:/|$)", bare)])
    application = ProtocolTypeRouter({"http": http, "lifespan": bare.lifespan})
    server.raise_limits()
    bounds = Bounds(of_one=0)  # all streams come from one address
    configuration = server.configuration(application, host=HOST, port=options.port, bounds=bounds)
    server.DrainingServer(configuration, prestop=0.0, drain=1.0).run()


if __name__ == "__main__":
    main()
