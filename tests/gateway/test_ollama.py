"""Callers of every dialect, and an Ollama server behind."""

from __future__ import annotations

import json

import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, frames
from tests.gateway.test_calls import text_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture
def llama(world, gateway):
    world.deploy("llama-test", upstream="llama3.2", vendor="ollama", secret="")
    gateway.refresh()
    return "llama-test"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_a_server_that_needs_no_key_answers_in_the_callers_dialect_and_is_booked(
    gateway, simulator, llama, path, stream
):
    calls = len(simulator.readings())
    response = ask(gateway, path, model=llama, change={"stream": stream})
    assert response.status_code == 200, response.text
    assert len(text_of(path, response, stream)) > 3
    gateway.settle()
    entry = Entry.objects.get()
    (metered,) = simulator.readings()[calls:]
    assert (entry.status, entry.state, entry.usage_source) == ("ok", "settled", "provider")
    assert (entry.in_fresh, entry.out_total) == (metered.billed.fresh, metered.billed.output)
    assert entry.cost_nano == gateway.world.price_of(llama, entry)
    assert (entry.upstream_protocol, entry.credential) == ("ollama_chat", "no key")


def scripted(world, gateway, behaviour):
    world.deploy(f"llama-{behaviour}", upstream=f"llama3.2-{behaviour}", vendor="ollama", secret="")
    gateway.refresh()
    return f"llama-{behaviour}"


def test_tools_are_called_in_the_callers_words(gateway, world):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"name": name, "description": "d", "input_schema": schema} for name in ("get_time", "get_weather")]
    model = scripted(world, gateway, "parallel-tools")
    told = [
        data for _, data in frames(ask(gateway, ANTHROPIC, model=model, change={"stream": True, "tools": tools}).text)
    ]
    blocks = [event["content_block"] for event in told if event["type"] == "content_block_start"]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    assert sorted(call["name"] for call in calls) == ["get_time", "get_weather"]
    assert len({call["id"] for call in calls}) == 2
    pieces = [event["delta"].get("partial_json") for event in told if event["type"] == "content_block_delta"]
    assert all("city" in json.loads(piece) for piece in pieces if piece)
    assert told[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("behaviour", ["dies-after-3-chunks-pace-30", "ends-after-3-pace-30", "error-after-3-pace-30"])
def test_a_stream_that_breaks_ends_in_an_error(gateway, world, behaviour):
    model = scripted(world, gateway, behaviour)
    told = [data for _, data in frames(ask(gateway, OPENAI, model=model, change={"stream": True}).text)]
    assert told[-1] == "[DONE]"
    assert told[-2]["error"]["message"]
    gateway.settle()
    assert Entry.objects.get().status in ("upstream_broken", "upstream_error")


def test_what_ollama_cannot_be_given_is_refused_before_it_is_asked(gateway, simulator, llama):
    calls = len(simulator.readings())
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
    change = {"messages": [{"role": "user", "content": [{"type": "file", "file": file}]}]}
    response = ask(gateway, OPENAI, model=llama, change=change)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages"
    assert "no documents but plain text" in response.json()["error"]["message"]
    assert len(simulator.readings()) == calls
