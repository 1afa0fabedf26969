"""What is sent to find out what breaks: refused in the caller's dialect, at no cost, and no key is told again."""

from __future__ import annotations

import gzip
import json
import socket

import pytest

from tests.gateway.calls import ANTHROPIC, OPENAI, ask, body_of, told

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("costs_nothing"),
    pytest.mark.once,
]
BOTH = pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
GOOD = body_of(ANTHROPIC, change={"model": "nobody"})  # to be refused by the model's name, if by nothing before

TYPES = [True, 5, -1, 1.5, "x", "", [], [1], {}, {"a": 1}, 10**30, "\0"]
STRINGS = ["", "x", "\0"]
WRONG = {
    "model": [value for value in TYPES if value not in ("x", "\0")],
    "messages": [None, *TYPES, [{}], [[]], [None], [{"role": "x", "content": "y"}], [{"role": "user", "content": 5}]],
    "max_tokens": [value for value in TYPES if value != 5 or value is True],
    "max_completion_tokens": [value for value in TYPES if value != 5 or value is True],
    "stream": [value for value in TYPES if value is not True],
    "stream_options": [True, 5, 1.5, "x", [], [1], {"include_usage": "yes"}, {"include_usage": 1}],
    "n": [value for value in TYPES if value != 5 or value is True],
    "temperature": [True, "x", "", [], {}],
    "top_p": [True, "x", "", [], {}],
    "top_k": [True, 1.5, "x", "", [], {}],
    "seed": [True, 1.5, "x", "", [], {}],
    "stop": [True, 5, [1], {}],
    "stop_sequences": [True, 5, "x", [1], {}],
    "metadata": [True, 5, "x", [], {"user_id": 5}],
    "tools": [True, 5, "x", [1], {}, ["x"], [None]],
    "tool_choice": [True, 5, [], {"type": 5}],
    "thinking": [True, 5, "x", [], {}, {"type": 5}],
    "system": [True, 5, {}, [1], [{}]],
    "response_format": [True, 5, "x", [], {}],
    "user": [True, 5, [], {}],
}
OF_ANTHROPIC = (
    "model messages max_tokens stream temperature top_p top_k stop_sequences metadata tools tool_choice thinking"
)
OF_OPENAI = "model messages max_tokens max_completion_tokens stream stream_options n temperature top_p seed stop tools"
FIELDS = {
    ANTHROPIC: [*OF_ANTHROPIC.split(), "system"],
    OPENAI: [*OF_OPENAI.split(), "tool_choice", "response_format", "user"],
}


@BOTH
def test_every_wrong_value_of_a_named_field_is_refused_with_its_name(gateway, path):
    for name in FIELDS[path]:
        for value in WRONG[name]:
            response = ask(gateway, path, body=json.dumps(json.loads(body_of(path)) | {name: value}).encode())
            said = told(path, response, 400)
            assert name in (said if path == ANTHROPIC else response.json()["error"]["param"]), (name, value)


BODIES = [
    (b"   ", "empty"),
    (b"\xef\xbb\xbf" + GOOD, "byte order mark"),
    (GOOD.decode().encode("utf-16"), "UTF-8"),
    (GOOD + b"\0", "trailing"),
    (GOOD + GOOD, "trailing"),
    (b"model=claude-test&messages=x", "not valid JSON"),
    (b"--x\r\ncontent-disposition: form-data; name=model\r\n\r\nclaude-test\r\n--x--", "not valid JSON"),
    (GOOD.replace(b'"nobody"', b'"\\ud83d"'), "surrogate"),
    (GOOD.replace(b"64", b"NaN"), "not valid JSON"),
    (GOOD.replace(b"64", b'64, "x": [-Infinity]'), "not valid JSON"),
    (GOOD.replace(b"64", b"1" + b"0" * 400), "max_tokens"),
    (GOOD.replace(b'"messages"', b'"Model": "claude-test", "messages"'), "twice"),
    (b'{"messages":' + b"[" * 500_000 + b"]" * 500_000 + b"}", "deep"),
]


@BOTH
@pytest.mark.attack("F19")
def test_a_body_that_no_reader_or_not_every_reader_understands_is_refused(gateway, path):
    for body, said in BODIES:
        assert said in told(path, ask(gateway, path, body=body), 400), body[:100]


@BOTH
@pytest.mark.attack("F18")
def test_a_packed_body_is_refused_by_the_name_of_the_header(gateway, path):
    for encoding in ("gzip", "br", "identity, gzip"):
        response = ask(gateway, path, body=gzip.compress(GOOD), headers={"content-encoding": encoding})
        assert "content-encoding" in told(path, response, 400)


@pytest.mark.attack("F21")
@BOTH
def test_a_strange_models_name_is_told_as_it_was_given_in_the_body_alone_and_not_at_any_length(gateway, path):
    for model in ("ünïcode", "\U0001f4a9", "a\r\nx-evil: 1", "../../etc/passwd", "claude-test\0", "%s{0}"):
        response = ask(gateway, path, model=model)
        assert model in told(path, response, 404)
        assert "x-evil" not in response.headers
    assert len(told(path, ask(gateway, path, model="m" * 100_000), 404)) < 400


@BOTH
def test_a_key_in_the_wrong_place_opens_nothing_and_is_not_told_again(gateway, world, path):
    for value in (f"Bearer {world.key}{world.key}", f"Bearer Bearer {world.key}", f"Basic {world.key}", world.key, ""):
        address = f"{path}?api_key={world.key}&key={world.key}"
        response = gateway.client.post(address, content=GOOD, headers={"authorization": value})
        told(path, response, 401)
        assert world.key[-20:] not in response.text


@BOTH
def test_of_two_keys_that_of_x_api_key_counts(gateway, world, path):
    """A platform in front of the gateway may use `Authorization` for itself."""
    good, bad = world.key, "weir_bad"
    told(path, ask(gateway, path, key=good, headers={"authorization": f"Bearer {bad}"}, model="nobody"), 404)
    told(path, ask(gateway, path, key=bad, headers={"authorization": f"Bearer {good}"}, model="nobody"), 401)


@BOTH
def test_expired_and_revoked_keys_are_refused_in_both_dialects(gateway, world, path):
    for key in (world.expired_key(), world.revoked_key()):
        assert told(path, ask(gateway, path, key=key), 401) == "invalid API key"


@BOTH
def test_a_wrong_method_is_told_in_the_dialect_of_the_path_whatever_the_headers_are(gateway, world, path):
    for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE"):
        response = gateway.client.request(method, path, headers={"x-api-key": world.key})
        assert method in told(path, response, 405)
        assert response.headers["allow"] == "POST"
    head = gateway.client.head(path, headers={"authorization": f"Bearer {world.key}"})
    assert (head.status_code, head.content) == (405, b"")


def exchange(gateway, sent: bytes) -> bytes:
    with socket.create_connection((gateway.host, gateway.port)) as raw:
        raw.settimeout(10)
        raw.sendall(sent)
        return b"".join(iter(lambda: raw.recv(65536), b""))


FRAMINGS = [
    b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    b"content-length: -5\r\n\r\nhello",
    b"content-length: 99999999999999999999999999999\r\n\r\nhello",
    b"x-odd: a\0b\r\ncontent-length: 2\r\n\r\n{}",
]


@pytest.mark.attack("F20")
@BOTH
def test_a_body_framed_ambiguously_ends_the_connection(gateway, world, path):
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {world.key}\r\n".encode()
    for framing in FRAMINGS:
        answer = exchange(gateway, head + framing)
        assert answer.startswith(b"HTTP/1.1 400 "), framing
        assert b"connection: close" in answer.lower()
