"""The ASGI application: paths, keys, models, and a log of the calls it has seen."""

from __future__ import annotations

import sys
import time
import traceback
from collections import deque
from urllib.parse import unquote

import msgspec

from apps.simulator import anthropic, anthropic_request, openai
from apps.simulator.ask import Object, Refused
from apps.simulator.complete import Call, Desk
from apps.simulator.dialect import Dialect, Headers
from apps.simulator.meter import Meter
from apps.simulator.pace import Pace
from apps.simulator.wire import Gone, Receive, Scope, Send, Wire

REMEMBERED_CALLS = 1000
REMEMBERED_BODY_BYTES = 256 * 1024
BAD_KEY = "bad-key"
CREDENTIAL_HEADERS = {"authorization", "x-api-key", "api-key", "cookie"}
# Any name is served; these are listed: the demo's, and some that say what they do.
MODELS = (
    "claude-opus-4-5", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-simulated", "claude-simulated-thinking",
    "gpt-5", "gpt-5-mini", "gpt-4.1", "gpt-simulated", "gpt-simulated-long",
)  # fmt: skip
MODELS_SINCE = 1_767_225_600  # 2026-01-01

DIALECTS: dict[str, Dialect] = {
    "/v1/messages": anthropic.DIALECT,
    "/v1/messages/count_tokens": anthropic.DIALECT,
    "/v1/chat/completions": openai.DIALECT,
}


class Simulator:
    """One provider. GET /simulator/calls tells the last calls with their credentials masked."""

    def __init__(self, *, meter: Meter, pace: Pace, burst: int = 1) -> None:
        self.desk = Desk(meter=meter, pace=pace, burst=burst)
        self.calls: deque[tuple[float, str, Scope, bytes]] = deque(maxlen=REMEMBERED_CALLS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire = Wire(scope, receive, send)
        headers = dict(scope["headers"])
        dialect = DIALECTS.get(scope["path"])
        if dialect is None:
            dialect = anthropic.DIALECT if b"anthropic-version" in headers else openai.DIALECT
        request_id = dialect.new_request_id()
        try:
            body = await wire.body()
            if scope["path"] == "/simulator/calls":
                return await _send_json(wire, 200, [_told(call) for call in self.calls], headers=[])
            self.calls.append((time.time(), request_id, scope, body))
            key = _authenticated(headers, dialect=dialect)
            call = Call(wire=wire, dialect=dialect, headers=headers, body=body, key=key, request_id=request_id)
            await self._route(call, method=scope["method"], path=scope["path"])
        except Gone:
            return
        except Refused as error:
            status, document = dialect.failure(error, request_id)
            await _send_json(wire, status, document, headers=[*dialect.headers(request_id), *_retry(error)])
        except Exception:
            sys.stderr.write(traceback.format_exc())
            raise

    async def _route(self, call: Call, *, method: str, path: str) -> None:
        head = call.dialect.headers(call.request_id)
        if path in DIALECTS and method != "POST":
            raise Refused(f"Method {method} is not allowed.", status=405)
        if path == "/v1/messages/count_tokens":
            ask = anthropic_request.read(call.body, headers=call.headers, counting=True)
            await _send_json(call.wire, 200, {"input_tokens": ask.tokens}, headers=head)
        elif path in DIALECTS:
            await self.desk.complete(call)
        elif path == "/v1/models" and method == "GET":
            await _send_json(call.wire, 200, _models(call.dialect), headers=head)
        elif path.startswith("/v1/models/") and method == "GET":
            model = unquote(path.removeprefix("/v1/models/"))
            await _send_json(call.wire, 200, _model(model, dialect=call.dialect), headers=head)
        else:
            raise Refused(f"Invalid URL ({method} {path})", status=404)


def _authenticated(headers: dict[bytes, bytes], *, dialect: Dialect) -> str:
    """The caller's key: any will do, except none and the bad one. Raises Refused."""
    scheme, _, bearer = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    key = headers.get(b"x-api-key", b"").decode("latin-1") or (bearer.strip() if scheme.lower() == "bearer" else "")
    if not key:
        wanted = "x-api-key header is required" if dialect.name == "anthropic" else "You didn't provide an API key."
        raise Refused(wanted, status=401)
    if key == BAD_KEY:
        told = "" if dialect.name == "anthropic" else f"Incorrect API key provided: {key[:2]}***{key[-2:]}."
        raise Refused(told, status=401)
    return key


def _models(dialect: Dialect) -> Object:
    data = [_model(name, dialect=dialect) for name in MODELS]
    if dialect.name == "openai":
        return {"object": "list", "data": data}
    return {"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}


def _model(name: str, *, dialect: Dialect) -> Object:
    if dialect.name == "openai":
        return {"id": name, "object": "model", "created": MODELS_SINCE, "owned_by": "simulator"}
    title = name.replace("-", " ").title()
    return {
        "type": "model",
        "id": name,
        "display_name": title,
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def _told(call: tuple[float, str, Scope, bytes]) -> Object:
    at, request_id, scope, body = call
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    document: object = None
    if len(body) <= REMEMBERED_BODY_BYTES:
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            document = body.decode("utf-8", "replace")
    return {
        "at": at,
        "id": request_id,
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode("latin-1"),
        "headers": {name: f"…{value[-4:]}" if name in CREDENTIAL_HEADERS else value for name, value in headers},
        "body": document,
    }


def _retry(error: Refused) -> Headers:
    return [] if error.retry_after is None else [(b"retry-after", b"%d" % error.retry_after)]


async def _send_json(wire: Wire, status: int, document: object, *, headers: Headers) -> None:
    body = msgspec.json.encode(document)
    length = (b"content-length", b"%d" % len(body))
    await wire.head(status, [(b"content-type", b"application/json"), length, *headers])
    await wire.finish(body)
