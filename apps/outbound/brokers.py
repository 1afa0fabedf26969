"""Publishing to a RabbitMQ (AMQP 0-9-1): confirmed by it, and to no address that is not for us."""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from amqp import Connection
from amqp import Message as Frame
from amqp.exceptions import AMQPError

from apps.outbound.guard import AddressRefused, Guard, literal

CONNECT_SECONDS = 5.0
GOODBYE_SECONDS = 1.0
_PORTS = {"amqp": 5672, "amqps": 5671}
_PERSISTENT = 2


class BrokerAway(Exception):
    """It does not answer, does not let us in, or has not confirmed in time. The text is for people."""


class Broker(NamedTuple):
    """What a URL such as `amqps://user@host:5671/vhost` says. `vhost` is unquoted; "/" where the URL has none."""

    is_encrypted: bool
    host: str
    port: int
    user: str
    vhost: str

    def bound(self, *, ca: str) -> str:
        """Whom a password may be shown to, and under which safeguards. `ca`: as for a Publisher."""
        scheme = "amqps" if self.is_encrypted else "amqp"
        by = f"|{hashlib.sha256(ca.encode()).hexdigest()}" if ca else ""
        return f"{scheme}://{self.user}@{self.host}:{self.port}{by}"


class Publication(NamedTuple):
    id: str
    routing_key: str
    content_type: str
    body: bytes


class Outcome(NamedTuple):
    """`why` is for people; "": it was confirmed, and, where that was asked for, put into a queue."""

    why: str = ""


def parse(url: str) -> Broker:
    """Raises ValueError, which repeats nothing of the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("The URL cannot be read.") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("Give a URL like amqps://user@rabbitmq.example:5671/vhost.")
    if parts.password is not None:
        raise ValueError("The password does not belong into the URL: give it as the secret.")
    vhost = unquote(parts.path[1:]) or "/"
    user = unquote(parts.username or "")
    return Broker(parts.scheme == "amqps", parts.hostname, port or _PORTS[parts.scheme], user, vhost)


def check_host(broker: Broker) -> None:
    """Raises ValueError where it can be no host's: what was stored once may be such a one, and is still parsed."""
    try:
        literal(broker.host, bracketed=":" in broker.host)
    except AddressRefused:
        raise ValueError("The URL's host is no name and not the plain spelling of an address.") from None


def address_of(broker: Broker, *, networks: Sequence[str]) -> str:
    """One that may be called. Raises BrokerAway, and AddressRefused where none of the host's addresses may be."""
    guard, refused = Guard(networks), None
    try:
        found = socket.getaddrinfo(broker.host, broker.port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):  # the latter: it cannot be written in a question for it
        raise BrokerAway(f"{broker.host} has no address") from None
    for *_, place in found:
        try:
            guard.check_address(str(place[0]), encrypted=broker.is_encrypted)
        except AddressRefused as error:
            refused = error
        else:
            return str(place[0])
    raise refused or BrokerAway(f"{broker.host} has no address")


class Publisher:
    """One connection with one channel, on which everything is confirmed. For one thread. `ca`: PEM of the authorities
    that its certificate is trusted by; "": the machine's."""

    def __init__(self, broker: Broker, *, password: str, networks: Sequence[str], ca: str = "") -> None:
        """Raises BrokerAway."""
        try:
            address = address_of(broker, networks=networks)
        except AddressRefused as error:
            raise BrokerAway(str(error)) from None
        tls: Any = False
        if broker.is_encrypted:
            tls = {"server_hostname": broker.host, "context": {"check_hostname": True, "cadata": ca or None}}
        self._is_well = False
        self._unconfirmed: dict[int, str] = {}
        self._refused: dict[str, str] = {}
        self._next = 1
        self._connection = Connection(
            host=f"[{address}]:{broker.port}" if ":" in address else f"{address}:{broker.port}",
            virtual_host=broker.vhost,
            userid=broker.user or "guest",
            password=password,
            login_method="PLAIN",
            ssl=tls,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=CONNECT_SECONDS,
            write_timeout=CONNECT_SECONDS,
            client_properties={"product": "weir"},
        )
        try:
            self._connection.connect()
            self._channel = self._connection.channel()
            self._channel.confirm_select()
        except (OSError, AMQPError) as error:
            self.close()
            raise BrokerAway(f"{broker.host}:{broker.port} {_words(error)}") from None
        self._is_well = True
        events: Any = vars(self._channel)["events"]  # its stubs do not know them
        events["basic_ack"].add(self._acked)
        events["basic_nack"].add(self._nacked)
        events["basic_return"].add(self._returned)

    def declare(self, exchange: str) -> None:
        """A durable topic exchange. Raises BrokerAway, as where one of another type has its name."""
        try:
            self._channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
        except (OSError, AMQPError) as error:
            raise BrokerAway(f"the exchange is refused: {_words(error)}") from None

    def publish(
        self, messages: Sequence[Publication], *, exchange: str, mandatory: bool, seconds: float
    ) -> list[Outcome]:
        """All of them, persistent; then waits until each is confirmed: `seconds` for all of it. `mandatory`: one that
        no queue takes counts as refused. Raises BrokerAway; then nothing is known of any, and nothing more can be sent
        here."""
        self._refused.clear()
        self._unconfirmed.clear()
        deadline = time.monotonic() + seconds
        self._is_well = False
        if not self._connection.connected:
            raise BrokerAway("has ended the connection")
        try:
            for message in messages:
                with self._connection.transport.having_timeout(_left(deadline, "has not taken them in time")):
                    self._send(message, exchange=exchange, mandatory=mandatory)
            while self._unconfirmed:
                self._connection.drain_events(timeout=_left(deadline, "has not confirmed in time"))
        except (OSError, AMQPError) as error:
            is_late = time.monotonic() >= deadline
            raise BrokerAway("has not taken them in time" if is_late else _words(error)) from None
        self._is_well = True
        return [Outcome(self._refused.get(message.id, "")) for message in messages]

    def close(self) -> None:
        """With a goodbye, unless it is gone or late already: a broker logs connections that end without one."""
        try:
            if self._is_well and self._connection.connected:
                with self._connection.transport.having_timeout(GOODBYE_SECONDS):
                    self._connection.close()
        except (OSError, AMQPError):
            pass
        finally:
            self._connection.collect()

    def _send(self, message: Publication, *, exchange: str, mandatory: bool) -> None:
        frame = Frame(
            message.body,
            message_id=message.id,
            content_type=message.content_type,
            delivery_mode=_PERSISTENT,
            timestamp=int(time.time()),
            app_id="weir",
        )
        self._channel.basic_publish(frame, exchange=exchange, routing_key=message.routing_key, mandatory=mandatory)
        self._unconfirmed[self._next] = message.id
        self._next += 1

    def _acked(self, tag: int, multiple: bool) -> None:
        self._confirmed(tag, multiple=multiple)

    def _nacked(self, tag: int, multiple: bool) -> None:
        for message in self._confirmed(tag, multiple=multiple):
            self._refused[message] = "the broker did not take it"

    def _confirmed(self, tag: int, *, multiple: bool) -> list[str]:
        tags = [each for each in self._unconfirmed if each <= tag] if multiple else [tag]
        return [self._unconfirmed.pop(each) for each in tags if each in self._unconfirmed]

    def _returned(self, _error: Exception, _exchange: str, _key: str, message: Any) -> None:
        """It is acknowledged too, afterwards."""
        self._refused[message.properties["message_id"]] = "no queue takes it"


def _left(deadline: float, why: str) -> float:
    """Seconds. Raises BrokerAway where there are none."""
    if (left := deadline - time.monotonic()) <= 0:
        raise BrokerAway(why)
    return left


def _words(error: Exception) -> str:
    """Without what a server could have put there of a secret: its reply's code and our own name for it."""
    if isinstance(error, TimeoutError):
        return "does not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "refused the connection"
    if isinstance(error, ssl.SSLError):
        return f"is not trusted: {error.reason or type(error).__name__}"
    code = getattr(error, "code", 0) or getattr(error, "reply_code", 0)
    return f"{type(error).__name__}{f' {code}' if code else ''}"
