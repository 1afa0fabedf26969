"""nginx as `deploy/nginx` has it, before a real gateway and a real control process. What is streamed is proved by a
provider that gives its next event only when the caller has the one before: nothing on the way can hold one back."""

from __future__ import annotations

import json
import os
import re
import socketserver
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

from apps.gateway import entrance, routes
from tests import services
from tests.deploy import front, tools
from tests.gateway import upstreams
from tests.sdk import gateways
from tests.servers import ROOT, start_process, until

PATIENCE = 60.0  # seconds; nothing waits as long unless it is broken
CONTROL = [sys.executable, "-m", "gateway_site.server", "--role", "control", "--port", "0"]
BODY_BYTES = 32 * 1024 * 1024
FIRST = 3  # with the first word; before it another deployment could be tried, so that nothing is passed on
EVENTS = (*upstreams.EVENTS[:FIRST], *10 * upstreams.EVENTS[FIRST - 1 : FIRST], *upstreams.EVENTS[FIRST:])
MESSAGES = [{"role": "user", "content": "hi"}]


@dataclass
class Held:
    """A provider that sends an event for each `release` of its permits, and notes when its caller has gone."""

    permits: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gone: threading.Event = field(default_factory=threading.Event)
    received: list[int] = field(default_factory=list)  # bytes of each body

    def serve(self) -> socketserver.ThreadingTCPServer:
        held = self

        class Visit(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.permits, self.gone = held.permits, held.gone
                length = 0
                while (line := self.rfile.readline().strip()) != b"":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                held.received.append(len(self.rfile.read(length)))
                threading.Thread(target=self.listen, daemon=True).start()
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
                for event in EVENTS:
                    if not self.permits.acquire(timeout=PATIENCE) or self.gone.is_set():
                        return
                    self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

            def listen(self) -> None:
                try:
                    is_over = self.connection.recv(1) == b""
                except OSError:
                    is_over = True
                if is_over:
                    self.gone.set()

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Visit)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server


@dataclass(frozen=True)
class Site:
    front: front.Front
    held: Held
    key: str
    session: str

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.front.https, verify=self.front.trust, timeout=PATIENCE)

    def allow(self, events: int) -> None:
        self.held.permits.release(events)

    def ask(self, **more: object) -> dict:
        asked = {"model": "claude-test", "max_tokens": 64, "messages": MESSAGES, "stream": True, **more}
        return {"headers": {"x-api-key": self.key}, "json": asked}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    folder, held = tmp_path_factory.mktemp("site"), Held()
    tools.find("nginx")
    provider = held.serve()
    var, address = folder / "var", f"http://127.0.0.1:{provider.server_address[1]}"
    card = gateways.card(var, simulator_url=address, by="tests.deploy.seed")
    # Each of the two says of itself what it serves: nginx has to know it too.
    gateway = gateways.start_gateway("uvicorn", var=var, key=card["key"], settings={"WEIR_ROLE": "gateway"})
    environment = gateways.environment(var)
    control = start_process(CONTROL, ready=gateways.READY, log=folder / "control", env=environment)
    nobody = f"127.0.0.1:{services.free_port()}"  # a gateway that is being restarted
    addresses = [nobody, gateway.base_url.removeprefix("http://")]
    with front.running(folder / "nginx", gateways=addresses, pages=control.announced) as before:
        yield Site(before, held, card["key"], card["session"])
    control.stop()
    gateway.process.stop()
    provider.shutdown()
    provider.server_close()


@pytest.fixture(autouse=True)
def anew(site: Site) -> None:
    """Nothing is left of what an earlier test has allowed, or of callers that went."""
    site.held.permits, site.held.gone = threading.Semaphore(0), threading.Event()


def test_each_event_passes_while_the_next_one_is_held_back(site):
    site.allow(FIRST)
    with site.client() as client, client.stream("POST", "/v1/messages", **site.ask()) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        for number, event in enumerate(EVENTS):
            if number >= FIRST:
                site.allow(1)
            assert f"event: {event['type']}" in lines


def test_a_client_that_goes_is_gone_for_the_provider_too(site):
    site.allow(FIRST)
    with site.client() as client, client.stream("POST", "/v1/messages", **site.ask()) as answer:
        assert "event: content_block_delta" in answer.iter_lines()
    assert site.held.gone.wait(PATIENCE)
    site.allow(1)  # for who waits for it yet, and sees that nobody does


@pytest.mark.parametrize(("beyond", "status"), [(0, 200), (1, 413)])
def test_a_body_may_be_as_long_as_weir_takes_it_and_weir_says_what_is_too_long(site, beyond, status):
    empty = len(json.dumps(site.ask(messages=[{"role": "user", "content": ""}])["json"]).encode())
    padded = [{"role": "user", "content": "word " * BODY_BYTES}]
    padded[0]["content"] = padded[0]["content"][: BODY_BYTES - empty + beyond]
    body = json.dumps(site.ask(messages=padded)["json"]).encode()
    assert len(body) == BODY_BYTES + beyond
    if status == 200:
        site.allow(len(EVENTS))
    with site.client() as client:
        headers = {"x-api-key": site.key, "content-type": "application/json"}
        answer = client.post("/v1/messages", content=body, headers=headers)
    assert answer.status_code == status, answer.text[:500]
    if status == 200:
        assert site.held.received[-1] > BODY_BYTES - 1024
    else:
        assert answer.json()["error"]["type"] == "request_too_large"


def test_live_pages_have_their_sockets(site):
    address = site.front.https.replace("https", "wss") + "/live/feed/"
    headers = {"cookie": site.session}
    with connect(
        address, ssl=site.front.trust, origin=site.front.https, additional_headers=headers, open_timeout=PATIENCE
    ) as feed:
        assert json.loads(feed.recv(timeout=PATIENCE))


@pytest.mark.parametrize("path", [*routes.ROUTES, "/wrong/v1/chat/completions", f"{entrance.PREFIX}none/v1/messages"])
def test_calls_go_to_gateways(site, path):
    """A control process would say that it takes none."""
    method = "POST" if "POST" in routes.ROUTES.get(path, {"POST": None}) else "GET"
    with site.client() as client:
        answer = client.request(method, path)
    assert answer.status_code in (400, 401, 404), answer.text
    assert "no calls" not in answer.text
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(("path", "header"), [("/v1/messages", "request-id"), ("/v1/responses", "x-request-id")])
def test_the_log_has_the_ids_that_callers_are_told_whatever_their_dialect_calls_them(site, path, header):
    with site.client() as client:
        told = client.post(path, json={}).headers

    def logged() -> list[dict]:
        lines = [json.loads(line) for line in site.front.log.read_text().splitlines()]
        return [line for line in lines if line["trace_id"] == told["x-trace-id"]]

    (line,) = until(logged)
    assert (line["path"], line["request_id"], line["status"]) == (path, told[header], 401)


@pytest.mark.parametrize("path", ["/sign-in/", "/api/v1/models", "/static/portal/call.js", "/admin/login/"])
def test_pages_come_from_the_control_process_with_each_header_once(site, path):
    with site.client() as client:
        answer = client.get(path, headers={"accept": "text/html, */*"})
    assert answer.status_code in (200, 302, 401)
    named = [name.lower() for name, _ in answer.headers.raw]
    assert b"x-content-type-options" in named
    assert sorted({name for name in named if named.count(name) > 1} - {b"set-cookie", b"vary"}) == []


def test_what_is_for_operators_is_not_to_be_had_from_outside(site):
    hidden = re.search(r"\^/\(\?:(.*)\)/\?\$", (front.CONFIGURATION / "weir" / "hidden.conf").read_text())[1]
    from apps.status.urls import urlpatterns

    told = {str(each.pattern).rstrip("/") for each in urlpatterns}
    assert told <= set(hidden.split("|"))
    with site.client() as client:
        for path in sorted(told):
            answer = client.get(f"/{path}", headers={"authorization": "Bearer any"})
            assert (answer.status_code, answer.headers["server"]) == (404, "nginx")
        assert client.get("/health/ready").status_code == 200
        unknown = client.get("/metrics", headers={"host": "pinned.example.org"})
        assert unknown.headers["server"] == "nginx"


def test_a_host_that_is_not_the_installations_sees_the_gateways_alone(site):
    with site.client() as client:
        answer = client.get("/sign-in/", headers={"host": "pinned.example.org"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/json")


def test_nothing_is_said_in_the_clear(site):
    with httpx2.Client(base_url=site.front.http, timeout=PATIENCE) as client:
        page = client.get("/admin/?a=1")
        assert (page.status_code, page.headers["location"]) == (301, "https://localhost/admin/?a=1")
        assert client.post("/v1/messages", **site.ask()).status_code == 403


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modern_tls_and_http_2_are_spoken(site, version):
    assert front.negotiated(site.front, version=version) == ("h2", version.name.replace("_", "."))


def test_old_tls_is_not(site):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises((ssl.SSLError, OSError)):
            front.negotiated(site.front, version=ssl.TLSVersion.TLSv1_1)


def tried(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(front.command(folder, "-t"), capture_output=True, text=True, timeout=60, check=False)


def test_a_configuration_with_ports_of_pinned_endpoints_is_sound_and_a_planted_fault_is_found(tmp_path):
    ports = {"# include weir/pinned-ports.conf;": "include weir/pinned-ports.conf;", "192.0.2.10": "127.0.0.1"}
    unprivileged = {} if os.geteuid() == 0 else {"listen 443 ": "listen 8443 ", "listen 80 ": "listen 8080 "}
    unprivileged |= {} if os.geteuid() == 0 else {"[::]:443": "[::]:8443", "[::]:80": "[::]:8080"}
    folder = front.moved(tmp_path / "nginx", changes=ports | unprivileged)
    said = tried(folder)
    assert said.returncode == 0, said.stderr
    assert "warn" not in said.stderr
    (folder / "weir" / "limits.conf").write_text("client_max_body_size plenty;\n")
    assert tried(folder).returncode != 0


def test_the_limits_are_those_of_weir(settings):
    text = "\n".join(path.read_text() for path in sorted(front.CONFIGURATION.rglob("*.conf")))
    assert int(re.search(r"client_max_body_size (\d+)m;", text)[1]) * 1024 * 1024 > settings.WEIR_MAX_BODY_BYTES
    assert all(int(seconds) < 10 for seconds in re.findall(r"^    keepalive_timeout (\d+)s;", text, re.MULTILINE))
    assert int(re.search(r"send_timeout (\d+)s", text)[1]) > settings.WEIR_STALL_SECONDS
    assert int(re.search(r"worker_shutdown_timeout (\d+)s", text)[1]) >= settings.WEIR_DRAIN_SECONDS + 25
    assert ROOT / "deploy" / "nginx" == front.CONFIGURATION
