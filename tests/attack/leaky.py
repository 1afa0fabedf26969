"""A provider that tells whoever asks all that it was told: the credential, the prompt, its form. What its model is
called decides where; what it says for itself has canaries of its own in it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STATUSES = ("400", "401", "403", "404", "422", "429", "500", "529")
# How a model can end besides those: whole, in the middle of a stream, or by none of the rules.
ENDS = ("fine", "halfway", "broken", "garbage", "words", "silent", "header", "redirect")
KEYS = ("authorization", "x-api-key", "api-key")
_STREAM, _JSON = "text/event-stream", "application/json"


class Leaky:
    """`said` is what fine answers hold, `reasoned` what was thought before, `called` the arguments of a tool."""

    def __init__(self, *, said: str, reasoned: str, called: str) -> None:
        self.said, self.reasoned, self.called = said, reasoned, called
        self.asked: list[str] = []
        self.told: list[bytes] = []  # heads and bodies of what it was asked
        self.url = ""
        self.is_over = threading.Event()


@contextlib.contextmanager
def leaking(**said: str) -> Iterator[Leaky]:
    leaky = Leaky(**said)
    handler = type("Handler", (_Handler,), {"leaky": leaky})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    leaky.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield leaky
    finally:
        leaky.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    leaky: Leaky
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.leaky.told.append(f"{self.path}\n{self.headers}\n".encode())
        if self.path.endswith("/.well-known/openid-configuration"):
            return self._say(200, _JSON, json.dumps(self._discovery()).encode())
        self._tell(500, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.leaky.told.append(f"{self.path}\n{self.headers}\n".encode() + body)
        try:
            asked = json.loads(body)
            model = asked.get("model", "")
        except ValueError:
            asked, model = {}, ""
        kind = model.rpartition("-")[2] if isinstance(model, str) else ""
        if kind not in (*STATUSES, *ENDS):
            kind = "fine" if "messages" in asked else "400"
        self.leaky.asked.append(f"{self.path} {model}")
        if kind in STATUSES:
            return self._tell(int(kind), body)
        if kind in ENDS and "embeddings" not in self.path:
            return getattr(self, f"_{kind}")(asked, body)
        if "embeddings" in self.path:
            return self._tell(500, body)
        self._tell(400, body)

    # --- what it does --------------------------------------------------------------------------------------------

    def _tell(self, status: int, body: bytes) -> None:
        self._say(status, _JSON, json.dumps(self._error(body)).encode())

    def _fine(self, asked: dict[str, Any], body: bytes) -> None:
        if asked.get("stream"):
            return self._say(200, _STREAM, b"".join(self._events()))
        self._say(200, _JSON, json.dumps(self._answer()).encode())

    def _halfway(self, asked: dict[str, Any], body: bytes) -> None:
        """An error behind what has been answered already."""
        error = f"event: error\ndata: {json.dumps(self._error(body))}\n\n".encode()
        whole = b"".join([*self._events()[:3], error])
        self._say(200, _STREAM, whole) if asked.get("stream") else self._tell(200, body)

    def _broken(self, asked: dict[str, Any], body: bytes) -> None:
        self._begin(200, _STREAM if asked.get("stream") else _JSON, length=100_000)
        self.wfile.write(b"".join(self._events()[:3]) if asked.get("stream") else body[:50])
        self.close_connection = True

    def _garbage(self, asked: dict[str, Any], body: bytes) -> None:
        self._say(200, "text/html", f"<p>{self._key()}</p>".encode() + body)

    def _words(self, asked: dict[str, Any], body: bytes) -> None:
        """A stream that is none."""
        self._say(200, _STREAM if asked.get("stream") else _JSON, f"data: {{{self._key()}".encode() + body + b"\n\n")

    def _silent(self, asked: dict[str, Any], body: bytes) -> None:
        self.leaky.is_over.wait(60)
        self.close_connection = True

    def _header(self, asked: dict[str, Any], body: bytes) -> None:
        headers = dict.fromkeys(("request-id", "x-request-id", "retry-after", "anthropic-x", "set-cookie"), self._key())
        self._say(400, _JSON, json.dumps(self._error(body)).encode(), **headers)

    def _redirect(self, asked: dict[str, Any], body: bytes) -> None:
        self._say(307, _JSON, json.dumps(self._error(body)).encode(), location=f"/elsewhere?key={self._key()}")

    # --- in whose words ------------------------------------------------------------------------------------------

    def _key(self) -> str:
        return " ".join(value for name, value in self.headers.items() if name.lower() in KEYS)

    def _error(self, body: bytes) -> dict[str, Any]:
        words = f"No such key: {self._key()}. You sent {body.decode('utf-8', 'replace')[:3000]}"
        return {"type": "error", "error": {"type": "invalid_request_error", "code": self._key(), "message": words}}

    @property
    def _is_anthropic(self) -> bool:
        return self.path.endswith("/messages")

    def _answer(self) -> dict[str, Any]:
        leaky = self.leaky
        if self._is_anthropic:
            tool = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"word": leaky.called}}
            thought = {"type": "thinking", "thinking": leaky.reasoned, "signature": "c2ln"}
            content = [thought, {"type": "text", "text": leaky.said}, tool]
            usage = {"input_tokens": 9, "output_tokens": 9}
            head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
            return head | {"content": content, "stop_reason": "tool_use", "stop_sequence": None, "usage": usage}
        call = {"id": "call_1", "type": "function"}
        call |= {"function": {"name": "look", "arguments": json.dumps({"word": leaky.called})}}
        message = {
            "role": "assistant",
            "content": leaky.said,
            "reasoning_content": leaky.reasoned,
            "tool_calls": [call],
        }
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        head = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m"}
        return head | {"choices": [choice], "usage": usage}

    def _events(self) -> list[bytes]:
        if self._is_anthropic:
            usage = {"input_tokens": 9, "output_tokens": 1}
            message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
            message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
            events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
            events.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
            delta = {"type": "text_delta", "text": self.leaky.said}
            events.append({"type": "content_block_delta", "index": 0, "delta": delta})
            events.append({"type": "content_block_stop", "index": 0})
            end = {"stop_reason": "end_turn", "stop_sequence": None}
            events += [{"type": "message_delta", "delta": end, "usage": {"output_tokens": 9}}, {"type": "message_stop"}]
            return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
        chunks = []
        for delta, reason in (({"role": "assistant", "content": self.leaky.said}, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            chunks.append({"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        chunks.append({"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [], "usage": usage})
        return [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]

    def _discovery(self) -> dict[str, Any]:
        url = self.leaky.url
        told = {"issuer": url, "authorization_endpoint": f"{url}/authorize", "token_endpoint": f"{url}/token"}
        return told | {"jwks_uri": f"{url}/jwks", "token_endpoint_auth_methods_supported": ["client_secret_post"]}

    # --- on the wire ---------------------------------------------------------------------------------------------

    def _say(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self._begin(status, kind, length=len(body), **headers)
        self.wfile.write(body)

    def _begin(self, status: int, kind: str, *, length: int, **headers: str) -> None:
        self.send_response(status, f"Because of {self._key()}"[:200])
        self.send_header("content-type", kind)
        self.send_header("content-length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass
