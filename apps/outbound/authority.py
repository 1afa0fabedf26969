"""Asking a server that the installation itself names, not a person in the admin: where its keyring is kept.

So no guard against private addresses: such servers live there. Everything else is as strict: TLS, except on the
loopback address; no redirects, no proxies from the environment, a bounded answer in a bounded time.
"""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

import httpx2

_MOST_BYTES = 256 * 1024


class AuthorityUnreachable(Exception):
    """No whole answer in time. The message names the server and the kind of failure, nothing that was said."""


class Authority:
    """Synchronous, for any thread. Asked so rarely that no connection is kept. `seconds` bounds a whole question."""

    def __init__(self, origin: str, *, seconds: float = 5.0) -> None:
        """`origin` is scheme, host and port. Raises ValueError for one that is not, or that nothing would encrypt."""
        parts = urlsplit(origin)
        if not parts.hostname or parts.path.strip("/") or parts.query or parts.username is not None:
            raise ValueError(f"{parts.scheme}://{parts.hostname or ''} is not the origin of a server")
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
            raise ValueError(f"{parts.hostname} needs https")
        self.host = parts.netloc
        self.origin = origin.rstrip("/")
        self._seconds = seconds
        self._tls: ssl.SSLContext | None = None

    def ask(self, method: str, path: str, *, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """Status and body. Raises AuthorityUnreachable."""
        if self._tls is None:
            self._tls = ssl.create_default_context()  # the machine's certificates, or those that SSL_CERT_FILE names
        question = _Question(method, self.origin + path, headers=headers, content=body)
        try:
            return question.answer(tls=self._tls, seconds=self._seconds)
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise AuthorityUnreachable(f"{self.host}: {type(error).__name__}") from None


class _Question:
    """One, in a thread of its own: a client's time limits are for each step, and there is none for names."""

    def __init__(self, method: str, url: str, **content: Any) -> None:
        self._request = (method, url)
        self._content = content
        self._told: queue.SimpleQueue[tuple[int, bytes] | Exception] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_given_up = False

    def answer(self, *, tls: ssl.SSLContext, seconds: float) -> tuple[int, bytes]:
        """Raises TimeoutError, and what the client raises."""
        options: dict[str, Any] = {"verify": tls, "trust_env": False, "timeout": seconds, "follow_redirects": False}
        threading.Thread(target=self._run, args=(options,), name="authority", daemon=True).start()
        try:
            told = self._told.get(timeout=seconds)
        except queue.Empty:
            self._give_up()
            raise TimeoutError from None
        if isinstance(told, Exception):
            raise told
        return told

    def _run(self, options: dict[str, Any]) -> None:
        try:
            with (
                httpx2.Client(**options) as client,
                client.stream(*self._request, extensions={"trace": self._connected}, **self._content) as answer,
            ):
                self._told.put((answer.status_code, _bounded(answer)))
        except Exception as error:
            self._told.put(error)
        finally:
            with self._lock:
                if self._socket is not None:
                    self._socket.close()

    def _connected(self, event: str, info: dict[str, Any]) -> None:
        """Keeps a second handle of the connection, to end it from outside whatever it is doing."""
        if event == "connection.connect_tcp.complete":
            with self._lock:
                if self._is_given_up:
                    raise TimeoutError
                self._socket = info["return_value"].get_extra_info("socket").dup()

    def _give_up(self) -> None:
        """So that the thread ends too."""
        with self._lock:
            self._is_given_up = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


def _bounded(answer: httpx2.Response) -> bytes:
    found = b""
    for chunk in answer.iter_bytes():
        found += chunk
        if len(found) > _MOST_BYTES:
            raise ValueError("the answer is too long")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
