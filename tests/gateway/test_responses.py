"""OpenAI's Responses at the gateway: its path, its errors, its line in the books."""

from __future__ import annotations

import json
import re

import openai
import pytest

from apps.usage.models import Entry
from tests.gateway.calls import anthropic_error, ask, frames, openai_error
from tests.gateway.sockets import call, read_until, rest

pytestmark = pytest.mark.once

PATH = "/v1/responses"
MODELS = ("claude-test", "gpt-test")
HELLO = {"messages": None, "max_tokens": None, "input": "Say hello."}


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_comes_and_is_booked(gateway, model):
    answer = ask(gateway, PATH, model=model, change=HELLO)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["object"], told["status"], told["model"]) == ("response", "completed", model)
    assert answer.headers["x-request-id"]
    gateway.settle()
    row = Entry.objects.get()
    assert (row.endpoint, row.status) == ("responses", "ok")
    assert told["usage"]["total_tokens"] == row.in_fresh + row.out_total


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_has_named_events_and_an_end(gateway, model):
    told = frames(ask(gateway, PATH, model=model, change=HELLO | {"stream": True}).text)
    assert [name for name, _ in told] == [data["type"] for _, data in told]
    assert [data["sequence_number"] for _, data in told] == list(range(len(told)))
    assert told[-1][0] == "response.completed"


@pytest.mark.parametrize("model", ["claude-stall-after-9", "gpt-stall-after-9"])
def test_a_stream_whose_key_ends_is_a_response_that_failed(gateway, world, model):
    world.deploy(model, upstream=model)
    gateway.refresh()
    with call(gateway, PATH, model=model, stream=True, **HELLO) as raw:
        begun = read_until(raw, b"response.output_text.delta")
        world.revoke()
        ended = rest(raw)
    told = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", (begun + ended).partition(b"\r\n\r\n")[2]).decode()
    found = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
    last = found[-1]
    assert last["type"] == "response.failed"
    assert (last["response"]["id"], last["sequence_number"]) == (found[0]["response"]["id"], len(found) - 1)
    assert "stopped working" in last["response"]["error"]["message"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type"),
    ],
)
def test_what_is_wrong_is_named(gateway, change, param, costs_nothing):
    assert openai_error(ask(gateway, PATH, model="claude-test", change=HELLO | change), 400)["param"] == param


def test_a_cap_above_the_models_is_lowered_for_another_dialects_model(gateway, simulator):
    assert ask(gateway, PATH, model="claude-test", change=HELLO | {"max_output_tokens": 10**6}).status_code == 200
    assert simulator.calls()[-1]["body"]["max_tokens"] < 10**6


def test_a_key_may_be_confined_to_it(gateway, world):
    key = world.issue(endpoints=["responses"])
    assert ask(gateway, PATH, key=key, model="claude-test", change=HELLO).status_code == 200
    openai_error(ask(gateway, "/v1/chat/completions", key=key), 403)
    anthropic_error(ask(gateway, "/v1/messages", key=key), 403, "permission_error")


def test_another_method_and_a_wrong_base_url_are_told_so(gateway):
    openai_error(gateway.client.get(PATH), 405)
    assert "did you mean /v1/responses?" in openai_error(gateway.client.post("/responses", json={}), 404)["message"]


def test_the_sdks_stream_helper_hears_of_a_failure_as_an_event(gateway, world):
    world.deploy("claude-dies-after-9", upstream="claude-dies-after-9")
    gateway.refresh()
    gpt = openai.OpenAI(api_key=world.key, base_url=f"{gateway.url}/v1", max_retries=0)
    with gpt, gpt.responses.stream(model="claude-dies-after-9", input="Say hello.") as stream:
        events = list(stream)
    assert events[-1].type == "response.failed"
