"""Asking a server that the installation itself names, not a person in the admin: where its keyring is kept.

So no guard against private addresses: such servers live there. Everything else is as strict: TLS, except on the
loopback address; no redirects, no proxies from the environment, a bounded answer in a bounded time.
"""

from __future__ import annotations

import ipaddress
import ssl
import time
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
        until = time.monotonic() + self._seconds
        options: dict[str, Any] = {"verify": self._tls, "trust_env": False, "timeout": self._seconds}
        try:
            with (
                httpx2.Client(follow_redirects=False, **options) as client,
                client.stream(method, self.origin + path, headers=headers, content=body) as answer,
            ):
                return answer.status_code, _bounded(answer, until=until)
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise AuthorityUnreachable(f"{self.host}: {type(error).__name__}") from None


def _bounded(answer: httpx2.Response, *, until: float) -> bytes:
    found = b""
    for chunk in answer.iter_bytes():
        found += chunk
        if len(found) > _MOST_BYTES or time.monotonic() > until:
            raise ValueError("the answer is too long, or takes too long")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
