"""The simulator as a process: how it starts, how it keeps time, what it remembers, how it stops."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import httpx2

from apps.simulator.complete import REMEMBERED
from tests.sdk import worlds
from tests.servers import start_simulator, until

HEADERS = {"x-api-key": "sk-secret-abcd", "anthropic-version": "2023-06-01"}
BODY = {"model": "claude-tokens-20", "max_tokens": 99, "stream": True, "messages": worlds.HELLO}


def test_it_takes_the_time_a_model_takes(tmp_path):
    provider = start_simulator(tmp_path)
    began = time.monotonic()
    with httpx2.stream("POST", f"{provider.base_url}/v1/messages", json=BODY, headers=HEADERS) as answer:
        arrivals = [time.monotonic() - began for line in answer.iter_lines() if line.startswith("data:")]
    provider.stop()
    assert len(arrivals) == 26
    assert arrivals[0] > 0.14
    assert arrivals[-1] - arrivals[0] > 0.010 * 25
    assert sum(later - earlier > 0.005 for earlier, later in pairwise(arrivals)) > 15


def test_it_leaves_with_status_0_and_settles_what_was_open(tmp_path):
    provider = start_simulator(tmp_path, "--fast")
    body = BODY | {"model": "claude-stall-after-4"}
    with httpx2.stream("POST", f"{provider.base_url}/v1/messages", json=body, headers=HEADERS) as answer:
        lines = answer.iter_lines()
        until(lambda: "text_delta" in next(lines))
        provider.stop()
    (reading,) = provider.readings()
    assert (reading.outcome, reading.emitted) == ("aborted", 1)


def test_it_remembers_calls_without_their_credentials(provider):
    httpx2.post(f"{provider.base_url}/v1/messages?beta=true", json=BODY, headers=HEADERS | {"x-mark": "remembered"})
    call = next(call for call in provider.calls() if call["headers"].get("x-mark") == "remembered")
    assert (call["method"], call["path"], call["query"]) == ("POST", "/v1/messages", "beta=true")
    assert call["body"] == BODY
    assert call["headers"]["x-api-key"] == "…abcd"
    assert "sk-secret" not in json.dumps(provider.calls())


def test_it_counts_on_when_it_begins_to_forget(provider):
    before = provider.seen()
    with httpx2.Client(headers=HEADERS) as caller:
        for _ in range(REMEMBERED + 1):
            caller.get(f"{provider.base_url}/v1/models")
    assert provider.seen() == before + REMEMBERED + 1
    told = provider.calls()
    assert len(told) == REMEMBERED
    assert provider.calls(last=2) == told[-2:]


def test_the_limits_and_the_request_id_are_in_the_headers(provider, http):
    claude = http.post("/v1/messages", json=BODY | {"stream": False})
    assert claude.headers["request-id"].startswith("req_")
    assert claude.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
    gpt = http.post("/v1/chat/completions", json={"model": "gpt-429", "messages": worlds.HELLO})
    assert gpt.headers["x-ratelimit-reset-requests"] == "6ms"
    assert gpt.headers["retry-after"] == "1"
    assert http.get("/v1/nothing").status_code == 404


def test_the_model_that_leaks_tells_the_whole_key(http):
    answer = http.post("/v1/messages", json=BODY | {"model": "claude-leak"})
    assert "sk-test-0123456789" in answer.json()["error"]["message"]
