"""Every way out of Weir against a name that rebinds, an address spelt in all ways, a redirect, and a proxy that the
environment names. Who must not be called listens on a real socket, and hears nobody."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.domain import errors
from apps.domain.snapshot import Timeouts
from apps.outbound import asking, brokers, details, documents, listing
from apps.outbound.client import Outbound
from apps.outbound.download import NotDownloaded, download
from apps.outbound.guard import AddressRefused
from apps.outbound.lines import Line
from apps.outbound.probe import probe
from apps.outbound.reach import certificate_ends, reach
from apps.outbound.trial import trial
from tests.outbound.test_guard import INWARD, LOOPBACK_SPELLINGS, METADATA_SPELLINGS
from tests.servers import until

pytestmark = pytest.mark.attack("F24")

SECONDS = 5.0
NAME = "rebinding.test"
OURS, INNER = "127.0.0.1", "127.0.0.2"
OPENED = (f"{OURS}/32",)
ENDINGS = (
    AddressRefused,
    documents.Unavailable,
    NotDownloaded,
    errors.GatewayError,
    brokers.BrokerAway,
    OSError,
    ValueError,
)
Networks = tuple[str, ...]


class Listener:
    """Says `answer` to whoever comes; `visits` is what was heard."""

    def __init__(self, host: str, port: int = 0, *, answer: bytes = b"") -> None:
        self.visits: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server((host, port))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    self.visits.append(b"")
                    connection.settimeout(SECONDS)
                    self.visits[-1] = connection.recv(65_536)
                    connection.sendall(self._answer)

    def heard(self) -> list[bytes]:
        """Who only knocks may be gone before they have been heard."""
        return until(lambda: self.visits)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def says(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "content-length: 2", "connection: close", "", "{}"]).encode()


@pytest.fixture
def listening() -> Iterator[Callable[..., Listener]]:
    with contextlib.ExitStack() as held:

        def begun(*where: Any, **how: Any) -> Listener:
            listener = Listener(*where, **how)
            held.callback(listener.stop)
            return listener

        yield begun


# --- the ways --------------------------------------------------------------------------------------------------------


def asked(url: str, networks: Networks) -> asking.Asked:
    whose = {"vendor": "openai_compatible", "protocol": "openai_chat", "secret": "s"}
    return asking.asked(base_url=url, private_networks=networks, **whose)


def calls(url: str, networks: Networks) -> None:
    async def call() -> None:
        outbound = Outbound(private_networks=networks)
        try:
            times = Timeouts(connect=SECONDS, first_byte=SECONDS)
            answer = await outbound.open("POST", url, headers=[], body=b"{}", timeouts=times)
            await answer.read(100)
            await answer.close()
        finally:
            await outbound.close()

    asyncio.run(call())


def lines(url: str, networks: Networks) -> None:
    with Line(networks) as line:
        line.ask("POST", url, headers={}, body=b"x", seconds=SECONDS, most=100)


def broker(url: str, networks: Networks) -> None:
    """As it was stored once, however its host is spelt."""
    place = brokers.parse(f"amqp://somebody@{url.partition('://')[2]}")
    brokers.Publisher(place, password="p", networks=networks).close()


WAYS: dict[str, Callable[[str, Networks], Any]] = {
    "calls": calls,
    "documents of issuers, reports, chats": lambda url, networks: documents.ask(
        "GET", url, networks=networks, seconds=SECONDS
    ),
    "webhooks": lines,
    "pictures": lambda url, networks: asyncio.run(
        download([url], most_bytes=100, networks=networks, seconds=SECONDS)
    ),
    "lists of models": lambda url, networks: probe(
        vendor="openai_compatible", protocol="openai_chat", base_url=url, secret="s", private_networks=networks,
        seconds=SECONDS,
    ),
    "details of models": lambda url, networks: details.detailed(
        asking.asked(vendor="ollama", protocol="ollama_chat", base_url=url, secret="", private_networks=networks),
        [listing.Listed(name="m")],
        seconds=SECONDS,
    ),
    "trials": lambda url, networks: trial(asked(url, networks), model="m", stream=False, seconds=SECONDS),
    "ports": lambda url, networks: reach(url, private_networks=networks, seconds=SECONDS),
    "certificates": lambda url, networks: certificate_ends(
        url.replace("http:", "https:"), private_networks=networks, seconds=SECONDS
    ),
    "RabbitMQ": broker,
}  # fmt: skip
HTTP = [name for name in WAYS if name not in ("ports", "certificates", "RabbitMQ")]
every_way = pytest.mark.parametrize("way", WAYS)


def go(way: str, url: str, networks: Networks) -> None:
    """What comes of it is for others to judge: here, who was called."""
    with contextlib.suppress(*ENDINGS):
        WAYS[way](url, networks)


# --- what is tried ---------------------------------------------------------------------------------------------------


@every_way
def test_an_inward_address_is_called_by_nobody_however_it_is_spelt(way, listening, figure):
    inner = listening("")
    spelt = [*LOOPBACK_SPELLINGS, *METADATA_SPELLINGS, *INWARD]
    for host in spelt:
        go(way, f"http://{host}:{inner.port}/v1", ("10.0.0.0/30",))
    assert inner.visits == []
    figure("F24", f"spellings of inward addresses, {way}", len(spelt), least=40)


@every_way
@pytest.mark.parametrize("told", [[[INNER]], [[OURS], [INNER]], [[OURS, INNER]], [[f"::ffff:{INNER}"]], [["0.0.0.0"]]])
def test_a_name_that_rebinds_leads_nowhere_inward(way, told, listening, monkeypatch):
    ours = listening(OURS, answer=says("200 OK"))
    inner = listening(INNER, ours.port)
    _rebind(monkeypatch, told)
    for _ in range(3):
        go(way, f"http://{NAME}:{ours.port}/v1", OPENED)
    assert inner.visits == []
    if told == [[OURS], [INNER]]:
        assert ours.heard(), "it is called where it may be"


def _rebind(monkeypatch: pytest.MonkeyPatch, told: list[list[str]]) -> None:
    """The name says each of these in turn, and then the last one for ever."""
    usual, left = socket.getaddrinfo, list(told)

    def found(host: Any, port: Any, *how: Any, **options: Any) -> Any:
        if host != NAME:
            return usual(host, port, *how, **options)
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [usual(address, port, type=socket.SOCK_STREAM)[0] for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.parametrize("way", HTTP)
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Again", "308 Gone"])
def test_no_redirect_leads_inward(way, status, listening):
    inner = listening(INNER)
    ours = listening(OURS, answer=says(status, f"location: http://{INNER}:{inner.port}/latest"))
    go(way, f"http://{OURS}:{ours.port}/v1", OPENED)
    assert ours.heard()
    assert inner.visits == []


@pytest.mark.parametrize("way", [way for way in HTTP if way != "pictures"])  # those follow a few, each judged
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Again"])
def test_no_redirect_is_followed_even_where_it_might_be(way, status, listening):
    other = listening(OURS, answer=says("200 OK"))
    ours = listening(OURS, answer=says(status, f"location: http://{OURS}:{other.port}/elsewhere"))
    go(way, f"http://{OURS}:{ours.port}/v1", OPENED)
    assert ours.heard()
    assert other.visits == []


@every_way
def test_a_proxy_that_the_environment_names_sees_nothing(way, listening, monkeypatch, tmp_path):
    proxy, ours = listening(OURS), listening(OURS, answer=says("200 OK"))
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY"):
        monkeypatch.setenv(name, f"http://{OURS}:{proxy.port}")
        monkeypatch.setenv(name.lower(), f"http://{OURS}:{proxy.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    go(way, f"http://{OURS}:{ours.port}/v1", OPENED)
    assert proxy.visits == []
    assert ours.heard()
    assert b"basic" not in ours.visits[0].lower()


def test_who_listens_would_have_heard(listening):
    """Each way, where it may go: so silence means something."""
    for way in WAYS:
        ours = listening(OURS, answer=says("200 OK"))
        go(way, f"http://{OURS}:{ours.port}/v1", OPENED)
        assert ours.heard(), way
