"""A provider of a few lines, which answers Anthropic's callers with the very bytes that a test knows."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator

START = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
EVENTS = (
    {"type": "message_start", "message": {**START, "usage": {"input_tokens": 5, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
MESSAGE = json.dumps(
    {**START, "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 5, "output_tokens": 2}}
).encode()
STREAM = b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in EVENTS)


@contextlib.contextmanager
def upstream(
    answer: bytes = STREAM,
    *,
    head: bytes = b"",
    end: bytes = b"0\r\n\r\n",
    hangs_up: bool = False,
    heard: list[bytes] | None = None,
    heads: list[bytes] | None = None,
    status: bytes = b"200 OK",
    media: bytes = b"text/event-stream",
) -> Iterator[str]:
    """Answers each connection with one whole answer, `head` added to its headers and `end` as its last chunk. If it
    `hangs_up`, then when another request comes on it, else at once. The bodies that it was sent are added to `heard`,
    as far as they come at once, and what came before them to `heads`."""

    class Visit(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            request = self.request.recv(65536)
            while b"content-length: " in request.lower() and request.endswith(b"\r\n\r\n"):
                request += self.request.recv(65536)
            if heard is not None:
                heard.append(request.partition(b"\r\n\r\n")[2])
            if heads is not None:
                heads.append(request.partition(b"\r\n\r\n")[0])
            self.request.sendall(
                b"HTTP/1.1 %b\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n" % (status, media)
                + head
                + b"\r\n%x\r\n%b\r\n%b" % (len(answer), answer, end)
            )
            if hangs_up:
                self.request.recv(65536)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Visit) as server:
        server.daemon_threads = True  # one may wait as long as the gateway keeps its connection
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
