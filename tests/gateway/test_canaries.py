"""Known secrets go through a running gateway by every path there is, and turn up nowhere but where they are due."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.urls import reverse

from apps.accounts import services as accounts
from apps.catalog import health, tasks
from apps.catalog import services as catalog
from apps.catalog.models import Credential, Provider
from apps.keys import services as keys
from apps.status.urls import urlpatterns as told
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, body_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F25", "F31")]

# Of no vendor's shape: what finds it must know it, not guess it.
CREDENTIAL = "Zq" + secrets.token_hex(16)
PASSWORD = "Pw-" + secrets.token_hex(12)
PROMPT = "prompt-" + secrets.token_hex(8)
BEHAVIOURS = (
    *("fine", "400", "401", "403", "404", "429", "500", "529", "leak", "overflow", "garbage", "html-200", "nousage"),
    *("dies-before-headers", "dies-after-3-chunks", "resets-after-3", "error-after-3", "tools", "thinking"),
)
ECHOES = (
    *("400", "401", "403", "404", "429", "500", "529", "garbage", "stream-error", "header", "chunked-junk"),
    *("json-error-200", "error-after-first-event"),
)
FIRST = {  # events, by the end of the path that they answer
    "messages": 'data: {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {}}}',
    "completions": 'data: {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}}]}',
}


class Echo(socketserver.BaseRequestHandler):
    """A provider that tells whoever asks the key it was asked with, in the words of its name."""

    def handle(self) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += self.request.recv(65536)
        head = asked.partition(b"\r\n\r\n")[0].decode("latin-1")
        lines = [line.partition(": ") for line in head.splitlines()[1:]]
        key = next(value for name, _, value in lines if name.lower() in ("x-api-key", "authorization"))
        with contextlib.suppress(OSError):
            self.request.sendall(self.answer(key.removeprefix("Bearer "), path=head.split()[1]))

    def answer(self, key: str, *, path: str) -> bytes:
        kind: str = self.server.kind  # type: ignore[attr-defined]
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": f"your key {key} is no good"}}
        headers, status, content = "content-type: application/json\r\n", "200 OK", json.dumps(error)
        if kind.isdigit():
            status = f"{kind} Whatever"
        elif kind == "garbage":
            content = f"<p>{key}</p>"
        elif kind == "stream-error":
            headers, content = "content-type: text/event-stream\r\n", f"event: error\ndata: {json.dumps(error)}\n\n"
        elif kind == "error-after-first-event":
            headers = "content-type: text/event-stream\r\n"
            content = f"{FIRST.get(path.rpartition('/')[2])}\n\nevent: error\ndata: {json.dumps(error)}\n\n"
        elif kind == "header":
            headers += f"request-id: {key}\r\nx-request-id: {key}\r\nretry-after: {key}\r\nanthropic-x: {key}\r\n"
            status = "400 Bad Request"
        elif kind == "chunked-junk":
            return f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{key}\r\n".encode()
        length = f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
        return f"HTTP/1.1 {status}\r\n{headers}{length}{content}".encode()


@contextlib.contextmanager
def echo(kind: str) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.kind = kind  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Sweep:
    """`seen` is every answer, by what was asked."""

    def __init__(self, gateway: Any, world: Any) -> None:
        self.gateway, self.world = gateway, world
        self.seen: list[tuple[str, str]] = []
        self.canaries = {
            "credential": CREDENTIAL,
            "API key": world.key[18:61],
            "password": PASSWORD,
            "prompt": PROMPT,
        }

    def note(self, what: str, response: Any) -> Any:
        text = response.text if hasattr(response, "text") else response.content.decode()
        headers = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
        self.seen.append((what, f"{headers}\n{text}"))
        return response

    def found_in(self, text: str) -> list[str]:
        return [name for name, canary in self.canaries.items() if canary in text]

    # --- what is done ------------------------------------------------------------------------------------------

    def deploy(self, name: str, **fields: Any) -> None:
        self.world.deploy(name, upstream=name, **fields)

    def call(self, model: str) -> None:
        question = [{"role": "user", "content": PROMPT}]
        for path in (ANTHROPIC, OPENAI):
            for stream in (False, True):
                change = {"messages": question, "stream": stream}
                self.note(f"{path} {model} {stream}", ask(self.gateway, path, model=model, change=change))

    def refusals(self) -> None:
        """Calls that end before any provider hears of them."""
        key = self.world.key
        wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
        for bad in (wrong, self.world.revoked_key(), self.world.expired_key(), f"{key}x", f"Bearer {key}"):
            self.note("a bad key", ask(self.gateway, ANTHROPIC, key=bad))
        self.note("no model", ask(self.gateway, ANTHROPIC, model=f"claude-{PROMPT[7:]}"))
        self.note("no JSON", ask(self.gateway, OPENAI, body=b'{"' + key.encode()))
        self.note("a wrong field", ask(self.gateway, OPENAI, change={"n": "x", "messages": PROMPT}))
        self.note("no path", self.gateway.client.post(f"/v1/lost?key={key}", headers={"x-api-key": key}))
        self.note("no method", self.gateway.client.get(ANTHROPIC, headers={"authorization": f"Bearer {key}"}))
        self.note("models", self.gateway.client.get("/v1/models", headers={"x-api-key": key}))

    def exceptions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Errors of our own, with secrets in their words and in the variables around them."""

        def fail(*_: Any, **__: Any) -> Any:
            credential, key, content = CREDENTIAL, self.world.key, body_of(ANTHROPIC)
            raise RuntimeError(f"x-api-key: {key}, authorization: Bearer {credential} {len(content)}")

        for where in ("apps.gateway.examine.examine", "apps.gateway.relay.relay", "apps.gateway.dispatch.dispatch"):
            with monkeypatch.context() as patch:
                patch.setattr(where, fail)
                self.note(where, ask(self.gateway, ANTHROPIC))

    def pages(self) -> None:
        """Signs in, wrongly and rightly, and opens every list, and the pages of its first and last row."""
        client = Client(raise_request_exception=False)
        for password in (f"{PASSWORD}x", PASSWORD):
            form = {"username": "warden", "password": password}
            response = self.note("sign in", client.post(reverse("sign_in"), form))
        assert response.status_code == 302
        for pattern in told:
            self.note(str(pattern.pattern), client.get(f"/{pattern.pattern}"))
        self.note("index", client.get(reverse("admin:index")))
        for model in admin.site._registry:
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            self.note(name, client.get(reverse(f"{name}_changelist")))
            self.note(name, client.get(reverse(f"{name}_add")))
            rows = model._default_manager.order_by("pk")
            for row in {row.pk: row for row in (rows.first(), rows.last()) if row}.values():
                for page in ("change", "history"):
                    self.note(f"{name} {row}", client.get(reverse(f"{name}_{page}", args=[row.pk])))
        for provider in Provider.objects.filter(name__contains="echo"):
            url = reverse("admin:catalog_provider_test_connection", args=[provider.pk])
            self.note(f"test {provider}", client.post(url))

    # --- where it could have gone ------------------------------------------------------------------------------

    def rows(self) -> Iterator[tuple[str, str]]:
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f'SELECT * FROM "{table}"')
                for row in cursor.fetchall():
                    yield table, " ".join(_text(value) for value in row)

    def files(self) -> Iterator[tuple[str, str]]:
        """All that the process writes: journal, broker, logs."""
        for path in Path(settings.VAR_DIR).rglob("*"):
            if path.is_file() and "static" not in path.parts:
                yield str(path), path.read_bytes().decode("latin-1")

    def redis(self) -> Iterator[tuple[str, str]]:
        if settings.REDIS_URL:
            import redis

            with redis.Redis.from_url(settings.REDIS_URL) as client:
                for key in client.scan_iter():
                    yield "redis", f"{key!r} {client.dump(key)!r}"


def _text(value: Any) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


@pytest.fixture
def sweep(gateway, world) -> Sweep:
    accounts.create_user(actor=None, username="warden", password=PASSWORD, is_staff=True, is_superuser=True)
    return Sweep(gateway, world)


def test_secrets_turn_up_nowhere(sweep, gateway, world, monkeypatch, capfd):
    with contextlib.ExitStack() as stack:
        for behaviour in BEHAVIOURS:
            sweep.deploy(f"claude-{behaviour}")
            sweep.deploy(f"gpt-{behaviour}")
        for kind in ECHOES:
            url = stack.enter_context(echo(kind))
            sweep.deploy(f"claude-echo-{kind}", url=url)
            sweep.deploy(f"gpt-echo-{kind}", url=url)
        for row in Credential.objects.all():
            catalog.set_secret(row, actor=None, secret=CREDENTIAL)
        gateway.refresh()
        for behaviour in BEHAVIOURS:
            sweep.call(f"claude-{behaviour}")
            sweep.call(f"gpt-{behaviour}")
        for kind in ECHOES:
            sweep.call(f"claude-echo-{kind}")
            sweep.call(f"gpt-echo-{kind}")
        sweep.refusals()
        sweep.exceptions(monkeypatch)
        sweep.pages()
        for provider in Provider.objects.all():
            health.check_now(provider, actor=None)
        tasks.check_providers()
        gateway.settle()
    assert len(sweep.seen) > 200
    without_key = [what for what, text in sweep.seen if "your key [removed] is no good" in text]
    for model, path in itertools.product(("claude", "gpt"), (ANTHROPIC, OPENAI)):
        assert f"{path} {model}-echo-json-error-200 False" in without_key
        assert f"{path} {model}-echo-error-after-first-event True" in without_key
    told = {(what, *sweep.found_in(text)) for what, text in sweep.seen if sweep.found_in(text)}
    assert {each for each in told if each[1:] != ("prompt",) or not each[0].startswith("/v1/")} == set()  # its caller's
    logged = "".join(capfd.readouterr())
    assert logged.count("gateway.failed") == 3
    assert [line for line in logged.splitlines() if sweep.found_in(line)] == []
    for sink in (sweep.rows, sweep.files, sweep.redis):
        places = list(sink())
        assert places or sink == sweep.redis
        assert [(place, sweep.found_in(text)) for place, text in places if sweep.found_in(text)] == []


def test_the_sweep_would_find_what_it_looks_for(sweep, gateway, world):
    """Its canaries are in use, and every sink is really read."""
    keys.update(world.key_row, actor=None, name=f"named {PROMPT}")
    (Path(settings.VAR_DIR) / "canary").write_text(CREDENTIAL)
    try:
        assert {"keys_key", "audit_record"} <= {table for table, text in sweep.rows() if sweep.found_in(text)}
        assert ["credential"] in [sweep.found_in(text) for _, text in sweep.files()]
    finally:
        (Path(settings.VAR_DIR) / "canary").unlink()
    sweep.note("key", ask(gateway, ANTHROPIC, key=None, headers={"x-api-key": world.key}))
    assert sweep.seen[0][1].count("message")
