"""Scripted breakage in the dialects that came later: the same words, each in its own envelope."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from tests.sdk import worlds

CHATS = {
    "/v1/responses": {"input": worlds.HELLO},
    "/v1/completions": {"prompt": "x", "max_tokens": 99},
    "/api/chat": {},
}
EMBEDS = ("/v1/embeddings", "/api/embed")
STATUSES = (400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529)
BREAKS = {"dies": httpx2.RemoteProtocolError, "resets": httpx2.ReadError}


@pytest.fixture
def ask(http) -> Callable[..., httpx2.Response]:
    def asked(path: str, words: str, *, seconds: float = 30) -> httpx2.Response:
        own = {"input": "x"} if path in EMBEDS else CHATS[path] | {"stream": True}
        own = {"messages": worlds.HELLO} | own if path == "/api/chat" else own
        return http.post(path, json={"model": f"simulated-{words}", **own}, timeout=seconds)

    return asked


def count(path: str, text: str) -> int:
    return text.count("\n") if path == "/api/chat" else text.count("data: ")


@pytest.mark.parametrize("path", [*CHATS, *EMBEDS])
@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_the_dialects_envelope(ask, path, status):
    answer = ask(path, str(status))
    assert answer.status_code == (503 if status == 529 else status)
    error = answer.json()["error"]
    assert error if path.startswith("/api/") else error["message"]
    assert ("retry-after" in answer.headers) is (status == 429)
    assert ask(path, f"{status}-then-ok-{path.replace('/', '.')}").status_code == answer.status_code
    assert ask(path, f"{status}-then-ok-{path.replace('/', '.')}").status_code == 200


@pytest.mark.parametrize("path", CHATS)
@pytest.mark.parametrize("word", BREAKS)
def test_streams_break_where_they_are_told_to(provider, path, word):
    own = CHATS[path] or {"messages": worlds.HELLO}
    body = {"model": f"simulated-{word}-after-3", "stream": True, **own}
    headers = {"authorization": "Bearer k"}
    received: list[bytes] = []

    def listen() -> None:
        with httpx2.stream("POST", f"{provider.base_url}{path}", json=body, headers=headers, timeout=30) as answer:
            received.extend(answer.iter_bytes())

    with pytest.raises(BREAKS[word]):
        listen()
    assert count(path, b"".join(received).decode()) == 3


@pytest.mark.parametrize("path", CHATS)
def test_streams_end_early_stall_or_lack_their_end(ask, path):
    assert count(path, ask(path, "ends-after-2").text) == 2
    whole = count(path, ask(path, "tokens-5").text)
    assert count(path, ask(path, "tokens-5-no-terminator").text) == whole - 1
    with pytest.raises(httpx2.ReadTimeout):
        ask(path, "stall-after-2", seconds=0.3)


@pytest.mark.parametrize("path", CHATS)
def test_delivery_changes_bytes_and_not_words(ask, path):
    plain = ask(path, "tokens-5").text
    assert "\r" not in plain
    crlf = ask(path, "tokens-5-crlf").text
    assert crlf.count("\r\n") == crlf.count("\n") == plain.count("\n")
    assert count(path, ask(path, "tokens-5-trickle").text) == count(path, plain)


@pytest.mark.parametrize("path", [*CHATS, *EMBEDS])
def test_answers_can_be_no_answers(ask, path):
    assert "not what was asked for" in ask(path, "garbage").text
    page = ask(path, "html-200")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html")
    with pytest.raises(httpx2.RemoteProtocolError):
        ask(path, "dies-before-headers")


@pytest.mark.parametrize("path", CHATS)
@pytest.mark.parametrize("words", ["53", "prebuilt", "53-trickle"])
def test_the_benchmarks_stream_has_53_events(ask, path, words):
    assert count(path, ask(path, words).text) == 53


@pytest.mark.parametrize("path", [*CHATS, *EMBEDS])
def test_neither_takes_what_is_not_json(http, path):
    for body in (b'{"model": ', b"\xff\xfe", b"[]", b"[" * 100_000, b""):
        assert http.post(path, content=body).status_code == 400
    assert http.get(path).status_code == 405
