"""The ASGI application: whom a path belongs to, keys, and a log of the calls it has seen."""

from __future__ import annotations

import sys
import time
import traceback
from collections import deque
from collections.abc import Iterable
from itertools import islice
from urllib.parse import parse_qsl

import msgspec

from apps.simulator import places
from apps.simulator.ask import Object, Refused
from apps.simulator.complete import REMEMBERED, Call, Desk
from apps.simulator.dialect import Headers, Place, Request
from apps.simulator.meter import Meter
from apps.simulator.pace import Pace
from apps.simulator.wire import Gone, Receive, Scope, Send, Wire

REMEMBERED_BODY_BYTES = 256 * 1024
CREDENTIAL_HEADERS = {b"authorization", b"x-api-key", b"api-key", b"cookie", b"x-amz-security-token"}


class Simulator:
    """One provider. GET /simulator/calls tells the last calls with their credentials masked; ?last=n no more than n.

    It remembers the last `REMEMBERED`; its header `x-simulator-seen` says how many there have been. PUT
    /simulator/moods takes scripts by model's name, {"gpt-5": "500"}: of calls without one, until the next PUT.
    """

    def __init__(self, *, meter: Meter, pace: Pace, burst: int = 1) -> None:
        self.desk = Desk(meter=meter, pace=pace, burst=burst)
        self.calls: deque[tuple[float, str, Request]] = deque(maxlen=REMEMBERED)
        self.seen = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire = Wire(scope, receive, send)
        headers = dict(scope["headers"])
        path = scope["raw_path"].decode("latin-1")
        place = places.find(path, headers=headers)
        dialect = place.dialect if place else places.nearest(path, headers=headers)
        request_id = dialect.new_request_id()
        try:
            request = Request(
                method=scope["method"],
                path=path,
                query=scope["query_string"].decode("latin-1"),
                headers=headers,
                body=await wire.body(),
            )
            if path == "/simulator/calls":
                seen = (b"x-simulator-seen", b"%d" % self.seen)
                told = [self._told(*call) for call in self._last(request.query)]
                return await _send_json(wire, 200, told, headers=[seen])
            if path == "/simulator/moods" and request.method == "PUT":
                self.desk.moods = msgspec.json.decode(request.body, type=dict[str, str])
                return await _send_json(wire, 200, self.desk.moods, headers=[])
            self.seen += 1
            self.calls.append((time.time(), request_id, request))
            key = dialect.authenticate(request)
            call = Call(wire=wire, dialect=dialect, request=request, key=key, request_id=request_id)
            await self._serve(call, place=place)
        except Gone:
            return
        except Refused as error:
            failure = dialect.failure(error, request_id)
            own = [*dialect.headers(request_id), *failure.headers, *_retry(error)]
            await _send_json(wire, failure.status, failure.document, headers=own)
        except Exception:
            sys.stderr.write(traceback.format_exc())
            raise

    async def _serve(self, call: Call, *, place: Place | None) -> None:
        request = call.request
        if place is None:
            raise Refused(f"Invalid URL ({request.method} {request.path})", status=404)
        if place.method != request.method:
            raise Refused(f"Method {request.method} is not allowed.", status=405)
        if place.document is None:
            return await self.desk.complete(call)
        await _send_json(call.wire, 200, place.document(request), headers=call.dialect.headers(call.request_id))

    def _last(self, query: str) -> Iterable[tuple[float, str, Request]]:
        last = int(dict(parse_qsl(query)).get("last", REMEMBERED))
        return islice(self.calls, max(0, len(self.calls) - last), None)

    def _told(self, at: float, request_id: str, request: Request) -> Object:
        """`understood` is what its dialect made of it, in words that all dialects share; null: it was refused."""
        return {
            "at": at,
            "id": request_id,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": dict(_masked(name, value) for name, value in request.headers.items()),
            "body": _decoded(request),
            "understood": self.desk.asks.get(request_id),
        }


def _decoded(request: Request) -> object:
    document: object = None
    if len(request.body) <= REMEMBERED_BODY_BYTES:
        try:
            document = msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            document = request.body.decode("utf-8", "replace")
    return document


def _masked(name: bytes, value: bytes) -> tuple[str, str]:
    text = value.decode("latin-1")
    return name.decode("latin-1"), f"…{text[-4:]}" if name in CREDENTIAL_HEADERS else text


def _retry(error: Refused) -> Headers:
    return [] if error.retry_after is None else [(b"retry-after", b"%d" % error.retry_after)]


async def _send_json(wire: Wire, status: int, document: object, *, headers: Headers) -> None:
    body = msgspec.json.encode(document)
    length = (b"content-length", b"%d" % len(body))
    await wire.head(status, [(b"content-type", b"application/json"), length, *headers])
    await wire.finish(body)
