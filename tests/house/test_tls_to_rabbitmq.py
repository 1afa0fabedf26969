"""Who asks a RabbitMQ by `amqps://` believes only whom the machine trusts, under the name that was asked for."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from kombu import Connection
from kombu.exceptions import OperationalError

import gateway_site.celery  # noqa: F401  # what all of Weir's processes do
from tests.outbound.test_tls import certificate


class Broker(NamedTuple):
    """A listener with a certificate for `localhost`. `heard`: what came by connections that were secured."""

    trusted: Path
    port: int
    heard: list[bytes]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    certificate(tmp_path, host="localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    heard: list[bytes] = []

    def answer(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                line.settimeout(30)
                with contextlib.suppress(OSError), context.wrap_socket(line, server_side=True) as secured:
                    if said := secured.recv(8):
                        heard.append(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=[listener])
        thread.start()
        yield Broker(tmp_path / "cert.pem", listener.getsockname()[1], heard)
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def asked(url: str) -> str:
    """What is said where nobody can be reached; a listener that only listens never can."""
    with Connection(url) as connection, pytest.raises((OperationalError, OSError)) as failed:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=5)
    return str(failed.value)


def test_who_has_its_name_is_spoken_to(broker, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(broker.trusted))
    assert "CERTIFICATE" not in asked(f"amqps://someone:word@localhost:{broker.port}//")
    assert {*broker.heard} == {b"AMQP\x00\x00\x09\x01"}


@pytest.mark.parametrize(("trusts", "host"), [(True, "127.0.0.1"), (False, "localhost")])
def test_who_has_another_name_or_is_unknown_hears_nothing(broker, monkeypatch, trusts, host):
    monkeypatch.setenv("SSL_CERT_FILE", str(broker.trusted) if trusts else "/nowhere")
    assert "certificate verify failed" in asked(f"amqps://someone:word@{host}:{broker.port}//")
    assert broker.heard == []


def test_each_of_several_is_asked_for_its_own_name(broker, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(broker.trusted))
    urls = [f"amqps://someone:word@{host}:{broker.port}//" for host in ("127.0.0.1", "localhost")]
    with Connection(";".join(urls)) as connection, pytest.raises(OperationalError):
        connection.ensure_connection(max_retries=3, interval_start=0, interval_step=0, timeout=5)
    assert {*broker.heard} == {b"AMQP\x00\x00\x09\x01"}
