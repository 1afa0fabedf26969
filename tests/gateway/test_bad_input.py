"""What bad input gets: the caller's dialect, before any upstream call, at no cost."""

from __future__ import annotations

import socket

import pytest

from apps.catalog import services as catalog
from apps.catalog.models import Model
from apps.domain import keys as key_format
from tests.gateway.calls import ANTHROPIC, OPENAI, anthropic_error, ask, openai_error

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("costs_nothing"),
    pytest.mark.once,
]


def forged(public_id):
    """A well-formed key that nobody issued."""
    key = key_format.mint(public_bits=1, secret_bits=2)
    return key if public_id is None else key.replace(key[5:17], public_id)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic abc"},
        {"x-api-key": "weir_junk"},
        {"x-api-key": "sk-ant-something"},
        {"x-api-key": forged(None)},
        {"authorization": "Bearer \x80\xff"},
    ],
)
def test_a_call_without_a_valid_key_is_refused_alike_whatever_the_cause(gateway, headers):
    anthropic_error(ask(gateway, ANTHROPIC, headers=headers, key=None), 401, "authentication_error")
    openai_error(ask(gateway, OPENAI, headers=headers, key=None), 401, "invalid_api_key")


@pytest.mark.attack("F26")
def test_a_malformed_key_is_refused_by_its_checksum_without_a_look_up(gateway, world):
    before = gateway.look_ups()
    for position in range(5, len(world.key), 7):
        letter = "a" if world.key[position] != "a" else "b"
        mutated = world.key[:position] + letter + world.key[position + 1 :]
        assert ask(gateway, ANTHROPIC, key=mutated).status_code == 401
    assert gateway.look_ups() == before


def test_an_expired_and_a_revoked_key_are_refused(gateway, world):
    anthropic_error(ask(gateway, ANTHROPIC, key=world.expired_key()), 401, "authentication_error")
    anthropic_error(ask(gateway, ANTHROPIC, key=world.revoked_key()), 401, "authentication_error")


def test_a_key_confined_to_other_endpoints_or_networks_is_refused(gateway, world):
    confined = world.issue(endpoints=["chat_completions"])
    anthropic_error(ask(gateway, ANTHROPIC, key=confined), 403, "permission_error")
    elsewhere = world.issue(networks=["203.0.113.0/24"])
    openai_error(ask(gateway, OPENAI, key=elsewhere), 403)


def test_a_model_is_for_callers_in_its_networks(gateway, world):
    model = Model.objects.get(name="claude-test")
    catalog.update_model(model, actor=None, networks=["203.0.113.0/24"])
    gateway.refresh()
    told = anthropic_error(ask(gateway, ANTHROPIC), 403, "permission_error")
    assert told == "the model claude-test may not be used from this address"
    openai_error(ask(gateway, OPENAI, model="claude-test"), 403)
    assert "claude-test" not in gateway.client.get("/v1/models", headers={"x-api-key": world.key}).text
    catalog.update_model(model, actor=None, networks=["203.0.113.0/24", "127.0.0.0/8"])
    gateway.refresh()
    listed = gateway.client.get("/v1/models", headers={"x-api-key": world.key})
    assert "claude-test" in listed.text


def test_a_model_that_the_key_may_not_use_is_not_there(gateway, world):
    confined = world.issue(models=["gpt-test"])
    message = anthropic_error(ask(gateway, ANTHROPIC, key=confined), 404, "not_found_error")
    assert "claude-test" in message
    error = openai_error(ask(gateway, OPENAI, model="no-such-model"), 404, "model_not_found")
    assert error["param"] == "model"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b'{"model": "claude-test", "max_tokens": 5, "messages": [\xff]}',
        b'{"model": "claude-test", "model": "gpt-test", "max_tokens": 5, "messages": [{"role":"user","content":"x"}]}',
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b'{"model": "claude-test", "max_tokens": 5, "messages": [{"role":"user","content":"x"}], "x": %b}'
        % (b"[" * 64 + b"]" * 64),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(gateway, body):
    anthropic_error(ask(gateway, ANTHROPIC, body=body), 400, "invalid_request_error")
    openai_error(ask(gateway, OPENAI, body=body), 400)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "content"),
        ({"messages": [{"role": "user", "content": 5}]}, "content"),
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"tools": "hammer"}, "tools"),
    ],
)
def test_a_missing_or_wrong_typed_field_is_named_to_anthropic_clients(gateway, change, named):
    message = anthropic_error(ask(gateway, ANTHROPIC, change=change), 400, "invalid_request_error")
    assert named in message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "content"),
        ({"model": None}, "model"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stream": 1}, "stream"),
        ({"n": 0}, "n"),
    ],
)
def test_a_missing_or_wrong_typed_field_is_named_to_openai_clients(gateway, change, named):
    error = openai_error(ask(gateway, OPENAI, change=change), 400)
    assert named in (error["param"] or "")


@pytest.mark.parametrize("stream", [False, True])
def test_a_cap_above_the_models_own_is_refused_as_its_provider_would(gateway, stream):
    asked = {"max_tokens": 4097, "stream": stream}
    message = anthropic_error(ask(gateway, ANTHROPIC, change=asked), 400, "invalid_request_error")
    assert message == "max_tokens: 4097 > 4096, which is the maximum allowed number of output tokens for claude-test"
    for name in ("max_tokens", "max_completion_tokens"):
        error = openai_error(ask(gateway, OPENAI, change={name: 4097, "stream": stream}), 400, "invalid_value")
        assert error["param"] == name


@pytest.mark.attack("F18")
def test_a_declared_body_over_the_limit_is_refused_before_it_is_read(gateway):
    with socket.create_connection((gateway.host, gateway.port)) as raw:
        raw.sendall(
            b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: " + gateway.world.key.encode() + b"\r\n"
            b"content-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{"
        )
        raw.settimeout(10)
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b" 413 " in answer.split(b"\r\n", 1)[0]
    assert b"request_too_large" in answer


@pytest.mark.attack("F18")
def test_who_sends_all_of_a_body_that_is_too_long_before_it_listens_is_told_so_too(gateway):
    """What is refused by its declared length is on its way all the same: closing on it would take the answer back."""
    length = 40 * 1024 * 1024
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {gateway.world.key}\r\ncontent-length: {length}\r\n\r\n"
    )
    with socket.create_connection((gateway.host, gateway.port)) as raw:
        raw.settimeout(60)
        raw.sendall(head.encode())
        for _ in range(length // 65536):
            raw.sendall(b"x" * 65536)
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b" 413 " in answer.split(b"\r\n", 1)[0]


@pytest.mark.attack("F18")
def test_an_undeclared_body_over_the_limit_is_refused_while_it_comes(gateway):
    def flood():
        for _ in range(2048):
            yield b"x" * 65536

    response = ask(gateway, ANTHROPIC, body=flood())
    anthropic_error(response, 413, "request_too_large")


def test_an_unknown_path_and_a_wrong_method_are_told_in_the_dialect(gateway):
    anthropic_error(gateway.client.get("/v1/messages"), 405, "invalid_request_error")
    assert gateway.client.get("/v1/messages").headers["allow"] == "POST"
    anthropic_error(gateway.client.post("/anthropic/v1/nothing"), 404, "not_found_error")
    openai_error(gateway.client.post("/v1/nothing"), 404)
    openai_error(gateway.client.delete("/v1/chat/completions"), 405)


def test_a_model_without_a_deployment_is_unavailable(gateway, world):
    world.model("claude-nowhere")
    gateway.refresh()
    anthropic_error(ask(gateway, ANTHROPIC, model="claude-nowhere"), 529, "overloaded_error")
    openai_error(ask(gateway, OPENAI, model="claude-nowhere"), 503)


def test_a_spent_budget_refuses_in_both_dialects(gateway, world):
    world.budget(key=world.key_row, amount=0)
    gateway.refresh()
    response = ask(gateway, ANTHROPIC)
    message = anthropic_error(response, 429, "billing_error")
    assert message.startswith("spend limit reached (monthly; resets ")
    assert response.headers["x-should-retry"] == "false"
    assert int(response.headers["retry-after"]) > 0
    openai_error(ask(gateway, OPENAI), 429, "insufficient_quota")


def test_a_call_too_dear_for_what_is_left_of_a_budget_is_told_so_in_both_dialects(gateway, world):
    world.budget(key=world.key_row, amount=61_000_000)  # 4096 tokens of an answer cost more
    gateway.refresh()
    response = ask(gateway, ANTHROPIC, change={"max_tokens": 4096})
    message = anthropic_error(response, 429, "billing_error")
    assert message.startswith("this call could cost up to $0.06")
    assert "$0.061 is all of the monthly budget of this key" in message
    assert "lower max_tokens" in message
    assert response.headers["x-should-retry"] == "false"
    error = openai_error(ask(gateway, OPENAI), 429, "insufficient_quota")  # which sets no cap
    assert error["message"].startswith("this call could cost up to $0.06")
    assert "set or lower max_tokens (OpenAI: max_completion_tokens)" in error["message"]
