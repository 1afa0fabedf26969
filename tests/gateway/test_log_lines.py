"""What callers, browsers, people and providers say may stand in a log line: it stays one line, one object of JSON, and
none of its fields is theirs to write."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from apps.keys import services as keys
from apps.tenants import services as tenants
from tests.gateway.calls import ANTHROPIC, OPENAI, ask
from tests.house.test_logs import configured, restored  # noqa: F401  # a fixture

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F30")]

FORGED = '{"event": "forged", "level": "error", "tenant_id": 1}'
SIGNS = {
    "a line": f"a\n{FORGED}",
    "a line of another system": f"a\r\n{FORGED}\r\n",
    "a line in Unicode": f"a\u2028{FORGED}\u2029\x85",
    "the end of a text": f'a", "event": "forged", "b": "{FORGED}',
    "a terminal's commands": "a\x1b[2J\x1b]0;forged\x07\x9b31m",
    "text that is turned round": "a\u202e\u2066forged\u2069\u200f\u061c",
    "nothing": "a\x00\x01\x7fb",
    "half a character": "a\ud800b",
    "backspaces": "a" + "\b" * 40 + "forged",
    "a megabyte": "a" * 1_000_000,
    "formats": "%s%d%(event)s{event}{0.__class__}${jndi:ldap://x}",
}
RAW = ("\x1b", "\x9b", "\u2028", "\u2029", "\x85", "\u202e", "\u2066", "\x00", "\x07", "\x08", "\x7f", "\r", "\ud800")
LONGEST = 40_000


class Talker(socketserver.BaseRequestHandler):
    """A provider that says it as an error, in its headers and in its body."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += self.request.recv(65536)
            said = self.server.said  # type: ignore[attr-defined]
            error = {"type": said, "code": said, "message": said}
            content = json.dumps({"type": "error", "error": error}).encode()
            inline = said.encode("utf-8", "replace").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")[:2_000]
            head = b"HTTP/1.1 500 %b\r\ncontent-type: application/json\r\nrequest-id: %b\r\n" % (inline[:99], inline)
            self.request.sendall(head + b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(content), content))


@contextlib.contextmanager
def talker(said: str) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talker) as server:
        server.said = said  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def out(restored: None) -> Iterator[Any]:  # noqa: F811
    """Everything that is written down, down to the least that a level lets through."""
    found = configured(console=False)
    before = logging.raiseExceptions
    yield found
    logging.raiseExceptions = before


def raw(gateway: Any, request: bytes) -> None:
    """Bytes that no client of good manners sends."""
    with contextlib.suppress(OSError), socket.create_connection((gateway.host, gateway.port), timeout=5) as line:
        line.sendall(request)
        while line.recv(65536):
            pass


def call(gateway: Any, key: str, said: str) -> None:
    """By every value that a caller writes."""
    short = quote(said.encode("utf-8", "surrogatepass")[:4_000])
    gateway.client.post(f"/v1/{short}?beta={short}", headers={"x-api-key": short[:99]})
    ask(gateway, ANTHROPIC, key=key, model=said)
    ask(gateway, OPENAI, key=key, change={"messages": said, "user": said, "metadata": {said[:99]: said}})
    ask(gateway, OPENAI, key=key, body=said.encode("utf-8", "surrogatepass"))
    written = said.encode("utf-8", "replace").replace(b"\n", b"").replace(b"\r", b"").replace(b"\0", b"")[:8_000]
    body = b'{"model": "none", "max_tokens": 1, "messages": []}'
    for name in HEADERS:
        head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n" % len(body)
        raw(gateway, head + b"x-api-key: %b\r\n%b: %b\r\n\r\n%b" % (key.encode(), name, written, body))
    for line in (b"GET /%b HTTP/1.1\r\nhost: %b\r\n\r\n", b"%b / HTTP/1.1\r\nhost: %b\r\n\r\n"):
        raw(gateway, line % (written, written))


HEADERS = (b"user-agent", b"x-request-id", b"traceparent", b"tracestate", b"x-forwarded-for", b"anthropic-beta")
HEADERS += (b"x-api-key", b"authorization", b"content-type", b"origin", b"referer", b"x-weir-cache", b"host", b"cookie")


def visit(said: str) -> None:
    """By what a browser sends, and what is logged of those who are refused."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    text = said[:3_000].encode("utf-8", "surrogatepass").decode("latin-1")
    headers = {"user-agent": text, "referer": text, "x-forwarded-for": text}
    for place in (f"/{quote(text)}", f"/t/{quote(text)}/", f"/api/v1/{quote(text)}?a={quote(text)}"):
        client.get(place, headers=headers)
        client.post(place, {"name": said[:3_000].replace("\ud800", "")}, headers=headers)
    client.handler.enforce_csrf_checks = False
    form = {"username": said[:3_000].replace("\ud800", ""), "password": "wrong"}
    client.post("/sign-in/", form, headers=headers)


@pytest.mark.parametrize("what", SIGNS)
def test_whatever_anybody_says_is_one_line_and_forges_no_field(gateway, world, out, what, capfd, figure):
    said = SIGNS[what]
    name = "".join(sign for sign in said[:40] if sign.isprintable()) or "a"
    tenant = tenants.create_tenant(actor=world.alice, name=f"named {name}")
    issued = keys.issue(
        actor=world.alice,
        tenant=tenant,
        project=tenants.create_project(tenant, actor=world.alice, name=name),
        name=name,
    )
    with talker(said) as url:
        world.deploy("claude-said", upstream="claude-said", url=url)
        gateway.refresh()
        for key in (issued.plaintext, world.key):
            ask(gateway, ANTHROPIC, key=key, model="claude-said")
            call(gateway, key, said)
        visit(said)
        logging.getLogger("django.request").warning("Not Found: %s", said)
        gateway.settle()
    text = out.getvalue()
    lines = text.split("\n")
    assert lines.pop() == "", "the last line is whole"
    records = [json.loads(line) for line in lines]
    assert len(records) > 10
    assert [record for record in records if record["event"] == "forged" or record.get("tenant_id") == FORGED] == []
    assert {record["level"] for record in records} <= {"debug", "info", "warning", "error"}
    assert [sign for sign in RAW if sign in text] == []
    assert max(map(len, lines)) < LONGEST
    assert "Logging error" not in capfd.readouterr().err
    figure("F30", f"log lines after {what}", len(records), least=10)
