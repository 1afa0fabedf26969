"""Bodies for Django, bounded: it would have all of one on its disk before it looks at who sends it, and what for."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec

# For what is still on its way of a refused one: who closes a connection on it takes the answer back (RFC 9112, 9.6).
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 64 * 1024 * 1024
_API = "/api/"


def bounded(application: Any, most: int) -> Any:
    """An ASGI application whose requests have bodies of so many bytes at the most; others get a 413."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        taken = _declared(scope)
        if taken <= most:
            taken = 0

            async def part() -> Any:
                """Of one that is too long, Django hears that its client has left."""
                nonlocal taken
                message = await receive()
                taken += len(message.get("body", b""))
                return message if taken <= most else {"type": "http.disconnect"}

            await application(scope, part, send)
        if taken > most:
            await _refuse(scope, receive, send, most)

    return answer


def _declared(scope: Any) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(scope: Any, receive: Any, send: Any, most: int) -> None:
    body, kind = f"{most:,} bytes are the most.".encode(), b"text/plain"
    if scope["path"].startswith(_API):
        from apps.api import problems

        body, kind = msgspec.json.encode(problems.body(413, detail=body.decode())), problems.MEDIA_TYPE.encode()
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    taken = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while taken < _LINGER_BYTES and (message := await receive()).get("more_body"):
                taken += len(message["body"])
    await send({"type": "http.response.body", "body": b""})
