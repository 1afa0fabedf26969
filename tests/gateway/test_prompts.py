"""Legacy completions and the one-line call, from key to ledger."""

from __future__ import annotations

import json

import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ask, frames, openai_error

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
COMPLETIONS, CHAT = "/v1/completions", "/chat"
ENDPOINTS = {COMPLETIONS: ("openai_completions", "completions"), CHAT: ("prompt", "chat")}


def body(model="claude-test", **fields):
    return json.dumps({"model": model, "prompt": "Say hello.", "max_tokens": 64} | fields).encode()


def text_of(path, response, stream):
    if not stream:
        told = response.json()
        return told["text"] if path == CHAT else told["choices"][0]["text"]
    told = [data for _, data in frames(response.text) if data != "[DONE]"]
    if path == CHAT:
        return "".join(data.get("text", "") for data in told)
    return "".join(choice["text"] for data in told for choice in data["choices"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["claude-test", "gpt-test"])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_any_model_continues_a_prompt_and_is_booked(gateway, simulator, path, model, stream):
    calls = len(simulator.readings())
    response = ask(gateway, path, body=body(model, stream=stream))
    assert response.status_code == 200, response.text
    assert len(text_of(path, response, stream)) > 3
    gateway.settle()
    entry = Entry.objects.get()
    (metered,) = simulator.readings()[calls:]
    assert (entry.status, entry.state, entry.usage_source) == ("ok", "settled", "provider")
    assert (entry.in_fresh, entry.out_total) == (metered.billed.fresh, metered.billed.output)
    assert (entry.client_protocol, entry.endpoint) == ENDPOINTS[path]
    assert entry.cost_nano == gateway.world.price_of(model, entry)


def test_one_line_is_enough_where_there_is_one_model(gateway, world):
    key = world.issue(models=["gpt-test"])
    response = ask(gateway, CHAT, key=key, body=b'{"prompt":"Say hello."}')
    assert response.status_code == 200, response.text
    told = response.json()
    assert set(told) == {"text", "model", "stop_reason", "usage"}
    assert told["model"] == "gpt-test"
    assert set(told["usage"]) == {"input_tokens", "output_tokens"}


def test_who_has_to_choose_is_told_between_what(gateway):
    error = openai_error(ask(gateway, CHAT, body=b'{"prompt":"Say hello."}'), 400)
    assert (error["param"], error["code"]) == ("model", "missing_required_parameter")
    assert "claude-test, gpt-test" in error["message"]


def test_who_may_use_none_is_told_so(gateway, world):
    world.deploy("gpt-vectors", upstream="gpt-upstream", model=world.model("gpt-vectors", capabilities=["embeddings"]))
    gateway.refresh()
    key = world.issue(models=["gpt-vectors"])
    error = openai_error(ask(gateway, CHAT, key=key, body=b'{"prompt":"Say hello."}'), 400)
    assert "none" in error["message"]


@pytest.mark.parametrize("path", ENDPOINTS)
def test_errors_are_in_openais_words(gateway, path):
    assert openai_error(ask(gateway, path, body=body("nobody")), 404)["code"] == "model_not_found"
    assert openai_error(ask(gateway, path, body=body(prompt="")), 400)["param"] == "prompt"
    assert openai_error(ask(gateway, path, key=None, body=body()), 401)
    assert openai_error(gateway.client.get(path), 405)["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", [*ENDPOINTS, "/v1/embeddings"])
def test_a_browser_may_ask_whether_it_may(gateway, path):
    response = gateway.client.options(path, headers={"origin": "https://example.com"})
    assert response.status_code == 204


def test_a_trailing_slash_is_forgiven(gateway):
    for path in ENDPOINTS:
        assert ask(gateway, f"{path}/", body=body()).status_code == 200
