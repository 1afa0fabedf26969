"""Whatever stands where a key, a token or a session's cookie should: refused in the words of whoever is asked, told to
nobody, and looked up nowhere. On both planes, over a real socket."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.calls import ANTHROPIC, OPENAI, body_of

pytestmark = [pytest.mark.once, pytest.mark.attack("F22", "fuzz"), pytest.mark.usefixtures("costs_nothing")]
REFUSED = (400, 401, 403, 431)
DOORS = {  # the body that is sent there; None: it is asked for
    ANTHROPIC: body_of(ANTHROPIC),
    OPENAI: body_of(OPENAI),
    "/v1/responses": b'{"model": "gpt-test", "input": "x"}',
    "/v1/embeddings": b'{"model": "gpt-test", "input": "x"}',
    "/v1/messages/count_tokens": body_of(ANTHROPIC),
    "/v1/models": None,
    "/managed/settings": None,
    "/api/v1/me": None,
    "/api/v1/keys": b'{"name": "x"}',
    "/health/detailed": None,
    "/metrics": None,
    "/t/acme/keys/": None,
    "/account/": None,
}
PAGES = ("/t/", "/account/")
HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "proxy-authorization")
WORDS = [
    *(b"' OR '1'='1' --", b"'; DROP TABLE keys_key; --", b"1 UNION SELECT digest FROM keys_keysecret", b"\\' OR 1=1#"),
    *(
        b"${jndi:ldap://127.0.0.1/a}",
        b"{{7*7}}",
        b"%00%0d%0aset-cookie: a=b",
        b"../../etc/passwd",
        b"$(id)",
        b"*",
        b"%",
    ),
    *(b"null", b"undefined", b"None", b"true", b"0", b"-1", b"[object Object]", b"{}", b'{"$gt": ""}', b"weir_", b"."),
    *(b"weir_" + b"0" * 61, b"weirapi_" + b"A" * 61, b"weirat_" + b"z" * 61, b"..", b"eyJhbGciOiJub25lIn0.e30."),
    *(
        b"e30.e30.e30",
        b"\xff\xfe\xfd",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        "кл\u0443ч".encode(),
        b"\xf0\x9f\x94\x91",
        b"\x85",
    ),
]
letters = st.binary(max_size=300).map(lambda raw: bytes(one for one in raw if one not in b"\r\n\0"))
fragment = st.sampled_from(WORDS) | letters
secret = st.lists(fragment, min_size=1, max_size=3).map(b"".join)
basic = st.tuples(secret, secret).map(lambda both: b"Basic " + base64.b64encode(b":".join(both)))
SCHEMES = [
    b"Bearer ",
    b"bearer ",
    b"BEARER\t",
    b"Bearer  ",
    b"Bearer",
    b"Basic ",
    b"Digest ",
    b"Negotiate ",
    b"Token ",
    b"",
]
schemed = st.tuples(st.sampled_from(SCHEMES), secret).map(b"".join)
cookie = st.tuples(st.sampled_from([b"sessionid=", b"csrftoken=", b"__Host-sessionid=", b"a="]), secret).map(b"".join)
value = basic | schemed | secret | cookie
sent = st.lists(st.tuples(st.sampled_from(HEADERS), value), min_size=1, max_size=3)


class Line:
    """One connection, made anew where the server has ended it."""

    def __init__(self, gateway: Any) -> None:
        self.connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=30)

    def ask(self, path: str, headers: list[tuple[str, bytes]]) -> tuple[int, str, bytes]:
        body = DOORS[path]
        self.connection.putrequest("POST" if body is not None else "GET", path)
        for name, raw in headers:
            self.connection.putheader(name, raw)
        if body is not None:
            self.connection.putheader("content-type", "application/json")
            self.connection.putheader("content-length", str(len(body)))
        try:
            self.connection.endheaders(body)
            answer = self.connection.getresponse()
            found = (
                answer.status,
                answer.headers.get("content-type", "") + answer.headers.get("location", ""),
                answer.read(),
            )
        except (ConnectionError, http.client.BadStatusLine) as fault:  # refused before it was a request
            raise AssertionError(f"no answer to {headers}") from fault
        if answer.will_close:
            self.connection.close()
        return found


def check_refusal(path: str, status: int, kind: str, body: bytes) -> None:
    """In the dialect of the path."""
    if path.startswith(PAGES):
        assert (status, "/sign-in/" in kind) == (302, True) or status == 400, (path, status)
        return
    assert status in (*REFUSED, 429), (path, status, body[:300])
    if status == 400 and not body.startswith(b"{"):
        return  # the server has refused it before anybody read it
    if path == "/metrics":
        return
    told = json.loads(body)
    if path.startswith("/api/v1"):
        assert kind.startswith("application/problem+json")
        assert told["status"] == status
    elif path.startswith("/v1/messages"):
        assert told["type"] == "error"
    elif path.startswith(("/v1/chat", "/v1/resp", "/v1/emb")):
        assert told["error"]["message"]


def test_whatever_stands_for_a_key_is_refused_and_told_nobody(gateway, world, figure, caplog):
    line, tried = Line(gateway), 0
    before = gateway.look_ups(), gateway.engine.configuration.tokens.loads

    @settings(max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(path=st.sampled_from(sorted(DOORS)), headers=sent)
    def refused(path: str, headers: list[tuple[str, bytes]]) -> None:
        nonlocal tried
        tried += 1
        status, kind, body = line.ask(path, headers)
        check_refusal(path, status, kind, body)
        for _, raw in headers:
            for part in raw.split():
                assert len(part) < 12 or part not in body, "it is told again"

    with contextlib.closing(line.connection):
        refused()
    assert gateway.look_ups() == before[0], "a key was asked for"
    assert "Traceback" not in caplog.text
    figure("fuzz", "fuzzed credentials refused, at both planes", tried, least=400)
