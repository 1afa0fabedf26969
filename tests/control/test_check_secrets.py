"""Whatever a provider makes of what it was sent, nothing that a check leaves behind or shows has the credential in."""

from __future__ import annotations

import logging
import socketserver
import threading
from collections.abc import Iterator

import pytest

from apps.audit.models import Record
from apps.catalog import connection, health
from apps.catalog.models import AllowedNetwork, CheckKind, HealthCheck, Provider
from apps.catalog.selectors import providers_overview
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.attack("F25")]
SECRET = "vGq7-of-no-shape-that-is-known"
ANSWERS = {
    "a refusal's words": b'HTTP/1.1 401 No\r\nFRAME\r\n\r\n{"error":{"message":"No such key: KEY"}}',
    "a failure's words": b"HTTP/1.1 500 No\r\nFRAME\r\n\r\nSENT",
    "the reason": b"HTTP/1.1 500 SENT\r\nFRAME\r\n\r\n{}",
    "a redirect": b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/?key=KEY\r\nFRAME\r\n\r\n{}",
    "no header": b"HTTP/1.1 200 OK\r\nKEY SENT\r\nFRAME\r\n\r\n{}",
    "no HTTP": b"SENT\r\n\r\nFRAME",
    "no JSON": b"HTTP/1.1 200 OK\r\nFRAME\r\n\r\nSENT",
    "a coding": b"HTTP/1.1 200 OK\r\ncontent-encoding: KEY\r\nFRAME\r\n\r\n{}",
    "a model's name": b'HTTP/1.1 200 OK\r\nFRAME\r\n\r\n{"model":"KEY","data":[{"id":"KEY"}],"choices":[{"index":0,'
    b'"finish_reason":"stop","message":{"role":"assistant","content":"KEY"}}],"usage":{"prompt_tokens":1}}',
    "an error under 200": b'HTTP/1.1 200 OK\r\nFRAME\r\n\r\n{"error":{"message":"SENT","type":"KEY","code":"KEY"}}',
    "another type": b'HTTP/1.1 200 OK\r\nFRAME\r\n\r\n{"data":"KEY","choices":"KEY","usage":"KEY"}',
}


class _Echo(socketserver.ThreadingTCPServer):
    """Answers with `answer`, KEY in it being the credential that it was sent, SENT the header that this came in."""

    allow_reuse_address = daemon_threads = True
    answer = b""


class _Asked(socketserver.StreamRequestHandler):
    server: _Echo

    def handle(self) -> None:
        sent, size = b"", 0
        while (line := self.rfile.readline().strip()) != b"":
            name, _, value = line.lower().partition(b":")
            sent = line if name in (b"authorization", b"x-api-key") else sent
            size = int(value) if name == b"content-length" else size
        self.rfile.read(size)
        told = self.server.answer.replace(b"KEY", sent.split()[-1]).replace(b"SENT", sent)
        length = len(told.partition(b"\r\n\r\n")[2])
        self.wfile.write(told.replace(b"FRAME", b"connection: close\r\ncontent-length: %d" % length))


@pytest.fixture
def echo() -> Iterator[_Echo]:
    with _Echo(("127.0.0.1", 0), _Asked) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_provider_that_repeats_what_it_was_sent_has_the_credential_told_nowhere(echo, desk, caplog, capfd):
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")
    url = f"http://127.0.0.1:{echo.server_address[1]}"
    row = factories.provider("Echo", vendor="openai_compatible", protocol="openai_chat", base_url=url)
    factories.credential(row, secret=SECRET)
    factories.deployment(at=row)
    caplog.set_level(logging.INFO)
    for name, echo.answer in ANSWERS.items():
        found = []
        for kind in (CheckKind.MODELS, CheckKind.CALL):
            Provider.objects.update(check_kind=kind)
            row.refresh_from_db()
            found.append(health.check_now(row, actor=None))
        tried = {"actor": None, "credential": row.credentials.get(), "model": "m", "stream": True}
        found.append(connection.try_model(row, **tried))
        kept = [list(rows.objects.values()) for rows in (HealthCheck, Provider, Record)]
        assert SECRET not in repr((found, kept, providers_overview())), name
    assert HealthCheck.objects.count() >= 2 * len(ANSWERS), "they have been asked"
    assert "vGq7" not in desk.text("catalog_provider_change", row.pk) + desk.text("catalog_provider_changelist")
    assert "vGq7" not in caplog.text + repr(capfd.readouterr())
