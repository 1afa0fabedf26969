"""What a provider says of one model."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from apps.outbound.asking import asked
from apps.outbound.details import detailed, read
from apps.outbound.listing import Listed

LISTED = Listed(name="a", label="A", context_tokens=7)


def shown(*capabilities: str, window: Any = 4096, architecture: str = "llama") -> bytes:
    information = {"general.architecture": "llama", f"{architecture}.context_length": window}
    return json.dumps({"capabilities": capabilities, "model_info": information, "license": "…"}).encode()


@pytest.mark.parametrize(
    ("body", "abilities", "context"),
    [
        (shown("completion"), ("text",), 4096),
        (shown("completion", "tools", "insert", "thinking", "vision"), ("text", "adaptive_thinking", "vision"), 4096),
        (shown("embedding"), ("embeddings",), 4096),
        (shown("completion", "embedding"), ("text",), 4096),
        (shown("completion", window="much"), ("text",), 7),
        (shown("completion", architecture="other"), ("text",), 7),
        (b'{"model_info":{}}', (), 7),
        (b'{"capabilities":"completion"}', (), 7),
        (b"", (), 7),
        (b"\xff", (), 7),
    ],
)
def test_what_is_said_is_kept_and_what_cannot_be_read_says_nothing(body, abilities, context):
    found = read(body, LISTED)
    assert (found.name, found.label, found.abilities, found.context_tokens) == ("a", "A", abilities, context)


class Ollama(BaseHTTPRequestHandler):
    """Knows `a`, says nothing of `lost`, and takes its time over `slow`."""

    told: threading.Event

    def do_POST(self) -> None:
        name = json.loads(self.rfile.read(int(self.headers["content-length"])))["model"]
        if name == "slow":
            self.told.wait(60)
        body = shown("completion") if name == "a" else b'{"error":"not found"}'
        with contextlib.suppress(ConnectionError):  # who asked may have given up
            self.send_response(200 if name == "a" and self.path == "/api/show" else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def server():
    handler = type("OwnOllama", (Ollama,), {"told": threading.Event()})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    handler.told.set()
    running.shutdown()
    running.server_close()
    thread.join()


def at(server, **others):
    address = f"http://127.0.0.1:{server.server_port}"
    given = {"vendor": "ollama", "protocol": "ollama_chat", "base_url": address, "secret": ""}
    return asked(**given | {"private_networks": ["127.0.0.0/8"]} | others)


def test_each_model_is_asked_for_and_one_that_fails_costs_no_other(server):
    models = [LISTED, Listed(name="lost"), Listed(name="slow")]
    found = detailed(at(server), models, seconds=1.5)
    assert [each.abilities for each in found] == [("text",), (), ()]


def test_where_nothing_more_is_said_nobody_is_asked(server):
    elsewhere = at(server, vendor="openai_compatible", protocol="openai_chat")
    assert detailed(elsewhere, [LISTED]) == [LISTED]


def test_it_keeps_to_the_guard(server):
    assert detailed(at(server, private_networks=[]), [LISTED]) == [LISTED]
