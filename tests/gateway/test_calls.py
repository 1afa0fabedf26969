"""One call through the corridor: the answer, its headers, its ledger row."""

from __future__ import annotations

import json
import time

import pytest
from django.conf import settings

from apps.catalog import services as catalog
from apps.catalog.models import Model
from apps.usage.models import Entry
from tests import factories
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, frames
from tests.gateway.upstreams import MESSAGE, STREAM, upstream
from tests.servers import until

pytestmark = pytest.mark.django_db(transaction=True)
PATHS = {ANTHROPIC: "anthropic_messages", OPENAI: "openai_chat"}
MODELS = {"claude-test": "anthropic_messages", "gpt-test": "openai_chat"}


def text_of(path, response, stream):
    if not stream:
        body = response.json()
        return body["content"][0]["text"] if path == ANTHROPIC else body["choices"][0]["message"]["content"]
    parts = []
    for _, data in frames(response.text):
        if path == ANTHROPIC and data["type"] == "content_block_delta":
            parts.append(data["delta"].get("text", ""))
        elif path == OPENAI and data != "[DONE]" and data["choices"]:
            parts.append(data["choices"][0]["delta"].get("content") or "")
    return "".join(parts)


def id_of(path, response, stream):
    if not stream:
        return response.json()["id"]
    _, first = frames(response.text)[0]
    return first["message"]["id"] if path == ANTHROPIC else first["id"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("path", PATHS)
def test_every_dialect_with_every_upstream_answers_and_is_booked(gateway, simulator, path, model, stream):
    calls = len(simulator.readings())
    response = ask(gateway, path, model=model, change={"stream": stream})
    assert response.status_code == 200, response.text
    assert len(text_of(path, response, stream)) > 3
    gateway.settle()
    entry = Entry.objects.get()
    metered = simulator.readings()[calls:]
    assert len(metered) == 1
    assert entry.status == "ok"
    assert entry.state == "settled"
    assert entry.usage_source == "provider"
    assert (entry.in_fresh, entry.out_total) == (metered[0].billed.fresh, metered[0].billed.output)
    assert entry.cost_nano == gateway.world.price_of(model, entry)
    assert (entry.client_protocol, entry.upstream_protocol) == (PATHS[path], MODELS[model])
    assert entry.price_version == gateway.world.prices[model].pk
    assert entry.key_id == gateway.world.key_row.pk
    assert entry.stream is stream
    assert entry.ttft_ms is None or entry.ttft_ms <= entry.latency_ms
    assert entry.message_id
    assert entry.message_id == id_of(path, response, stream) or PATHS[path] != MODELS[model]
    assert response.headers["request-id" if path == ANTHROPIC else "x-request-id"] == f"req_{entry.request_id.hex}"


@pytest.mark.parametrize("answer", [MESSAGE, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("word", ["token", "message", "input_tokens"])
def test_a_word_for_a_credential_changes_no_byte_of_an_answer_and_no_count(gateway, world, word, answer):
    """Local servers take any."""
    with upstream(answer) as url:
        deployment = world.deploy("claude-local", upstream="m", url=url)
        catalog.set_secret(deployment.provider.credentials.get(), actor=None, secret=word)
        gateway.refresh()
        response = ask(gateway, ANTHROPIC, model="claude-local", change={"stream": answer == STREAM})
    assert response.content == answer
    gateway.settle()
    entry = Entry.objects.get()
    assert (entry.usage_source, entry.in_fresh, entry.out_total) == ("provider", 5, 2)


@pytest.mark.parametrize("prefix", ["", "/anthropic"])
def test_both_anthropic_paths_answer_and_the_query_is_ignored(gateway, prefix):
    assert ask(gateway, f"{prefix}/v1/messages?beta=true").status_code == 200


def test_a_key_is_taken_from_either_header(gateway, world):
    bearer = {"authorization": f"Bearer {world.key}"}
    assert ask(gateway, ANTHROPIC, key=None, headers=bearer).status_code == 200
    assert ask(gateway, OPENAI, key=world.key).status_code == 200


def test_a_warm_key_costs_no_look_up(gateway):
    ask(gateway, ANTHROPIC)
    before = gateway.look_ups()
    for _ in range(5):
        assert ask(gateway, ANTHROPIC).status_code == 200
    assert gateway.look_ups() == before == 1


def test_revoking_a_key_takes_effect_soon(gateway, world):
    assert ask(gateway, ANTHROPIC).status_code == 200
    world.revoke()
    began = time.monotonic()
    assert settings.WEIR_REFRESH_SECONDS <= 1.0, "and a look takes less than another"
    until(lambda: ask(gateway, ANTHROPIC).status_code == 401)
    assert time.monotonic() - began < 20  # two, on a machine that does nothing else


def test_models_are_listed_for_both_dialects_and_filtered(gateway, world):
    listed = gateway.client.get("/v1/models", headers={"x-api-key": world.key}).json()
    assert [entry["id"] for entry in listed["data"]] == ["claude-test", "gpt-test"]
    assert listed["object"] == "list"
    assert listed["has_more"] is False
    confined = world.issue(models=["gpt-test"])
    headers = {"authorization": f"Bearer {confined}"}
    assert [e["id"] for e in gateway.client.get("/anthropic/v1/models", headers=headers).json()["data"]] == ["gpt-test"]
    assert gateway.client.get("/v1/models/gpt-test", headers=headers).json()["id"] == "gpt-test"
    assert gateway.client.get("/v1/models/claude-test", headers=headers).status_code == 404


def test_limits_are_shown_on_successes_in_both_dialects(gateway, world):
    world.limit(tenant=world.tenant, requests_per_minute=50, tokens_per_minute=100_000)
    gateway.refresh()
    anthropic = ask(gateway, ANTHROPIC).headers
    assert anthropic["anthropic-ratelimit-requests-limit"] == "50"
    assert int(anthropic["anthropic-ratelimit-requests-remaining"]) < 50
    assert anthropic["anthropic-ratelimit-tokens-reset"].endswith("Z")
    openai = ask(gateway, OPENAI).headers
    assert openai["x-ratelimit-limit-tokens"] == "100000"
    assert openai["x-ratelimit-reset-requests"].endswith("s")


def test_a_reached_limit_says_when_to_come_back(gateway, world):
    world.limit(key=world.key_row, requests_per_minute=2)
    gateway.refresh()
    answers = [ask(gateway, ANTHROPIC) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused = answers[-1]
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["anthropic-ratelimit-requests-remaining"] == "0"
    gateway.settle()
    assert Entry.objects.count() == 2


@pytest.mark.once
def test_a_models_limit_restrains_its_calls_whoever_makes_them_and_a_tenants_share_that_tenants(gateway, world):
    claude, gpt = (Model.objects.get(name=name) for name in ("claude-test", "gpt-test"))
    world.limit(model=claude, requests_per_minute=1)
    world.limit(model=gpt, tenant=factories.tenant(), requests_per_minute=1)
    own = world.limit(model=gpt, tenant=world.tenant, requests_per_minute=2)
    gateway.refresh()
    assert [ask(gateway, ANTHROPIC, key=world.issue()).status_code for _ in range(2)] == [200, 429]
    answers = [ask(gateway, OPENAI, key=world.issue()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert f"{own.requests_per_minute} requests per minute for this model" in answers[-1].json()["error"]["message"]


def test_a_budget_is_charged_what_the_row_says(gateway, world):
    budget = world.budget(tenant=world.tenant, amount=10**12)
    gateway.refresh()
    for _ in range(3):
        assert ask(gateway, ANTHROPIC).status_code == 200
    gateway.settle()
    window = budget.windows.get()
    assert window.settled == sum(entry.cost_nano for entry in Entry.objects.all()) > 0


def test_unknown_fields_and_beta_headers_reach_an_upstream_of_the_same_dialect(gateway, simulator):
    headers = {"anthropic-beta": "a-2026,b-2026", "anthropic-version": "2023-06-01", "anthropic-new-thing": "yes"}
    ask(gateway, ANTHROPIC, change={"surprise": {"kept": [1, 2.50]}}, headers=headers)
    call = simulator.calls()[-1]
    assert call["headers"]["anthropic-beta"] == "a-2026,b-2026"
    assert call["headers"]["anthropic-new-thing"] == "yes"
    assert call["body"]["surprise"] == {"kept": [1, 2.50]}
    assert call["body"]["model"] == "claude-upstream"
    assert gateway.world.key not in json.dumps(call["headers"])


@pytest.mark.parametrize(
    ("path", "model", "name"),
    [(ANTHROPIC, "gpt-test", "max_completion_tokens"), (OPENAI, "claude-test", "max_tokens")],
)
def test_a_cap_above_the_models_own_is_lowered_for_callers_of_another_dialect(gateway, simulator, path, model, name):
    """Claude Code asks for 32,000 of a model that it does not know."""
    assert ask(gateway, path, model=model, change={"max_tokens": 32_000}).status_code == 200
    assert simulator.calls()[-1]["body"][name] == 4096
    gateway.settle()
    assert Entry.objects.get().reserved_nano < 1.1 * 4096 * 15_000


def test_cors_is_granted_to_listed_origins_only(gateway, settings):
    settings.WEIR_CORS_ORIGINS = ["https://app.example"]
    gateway.world.touch_catalog()
    gateway.refresh()
    good, bad = {"origin": "https://app.example"}, {"origin": "https://evil.example"}
    preflight = gateway.client.options("/v1/messages", headers=good)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in gateway.client.options("/v1/messages", headers=bad).headers
    assert ask(gateway, ANTHROPIC, headers=good).headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in ask(gateway, ANTHROPIC, headers=bad).headers
