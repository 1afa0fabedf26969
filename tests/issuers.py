"""An issuer of tokens on a real socket, which lies wherever it is told to.

`pages` is what it answers: by path a status, a body and headers, or a function of the request's form that makes them.
A path in `hanging` is never answered. `asked` counts requests by path.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

KEYS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
_WRITERS = {"rsa": jwt.algorithms.RSAAlgorithm, "ec": jwt.algorithms.ECAlgorithm, "ed": jwt.algorithms.OKPAlgorithm}
LOOPBACK = ("127.0.0.0/8",)
JWKS = "/jwks"
DISCOVERY = "/.well-known/openid-configuration"
Page = tuple[int, bytes]
Form = dict[str, str]


def jwk(kind: str, *, key: Any = None, **more: Any) -> dict[str, Any]:
    """The public half of a key as a JWK whose id is its kind."""
    public = (key or KEYS[kind]).public_key()
    return {**json.loads(_WRITERS[kind].to_jwk(public)), "kid": kind, "use": "sig", **more}


def jwks(*rows: Mapping[str, Any]) -> Page:
    return document({"keys": rows or [jwk(kind) for kind in KEYS]})


def document(value: Any) -> Page:
    return 200, json.dumps(value).encode()


def signed(
    claims: Mapping[str, Any], *, kind: str = "rsa", algorithm: str = "RS256", key: Any = None, **head: Any
) -> str:
    """`head` replaces parts of the header; None takes them out."""
    return jwt.encode(dict(claims), key or KEYS[kind], algorithm=algorithm, headers={"kid": kind, **head})


class Issuer:
    def __init__(self, url: str) -> None:
        self.url = url
        self.pages: dict[str, Page | Callable[[Form], Page]] = {JWKS: jwks()}
        self.hanging: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.released = threading.Event()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a good token; None takes one out."""
        now = int(time.time())
        good = {"iss": self.url, "aud": "weir", "sub": "ada", "iat": now, "exp": now + 300}
        return {name: value for name, value in {**good, **changes}.items() if value is not None}


@contextlib.contextmanager
def issuing() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            self.answer(
                dict(parse_qsl(body, keep_blank_values=True))
                | {"_authorization": self.headers.get("authorization", "")}
            )

        def answer(self, form: Form) -> None:
            path = self.path.partition("?")[0]
            issuer.asked[path] += 1
            if path in issuer.hanging:
                issuer.released.wait()
                return
            page = issuer.pages.get(path, (404, b""))
            status, body = page(form) if callable(page) else page
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        issuer.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
