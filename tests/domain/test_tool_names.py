"""Long and odd names of tools, there and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.protocols import exchange, tool_names
from apps.domain.protocols.contract import Target
from tests.domain import grammar, streams
from tests.domain.anthropic_calls import call
from tests.domain.openai_calls import DONE, chunk, part
from tests.domain.streams import OPENAI

LONG = "mcp__a_server_with_a_very_long_name__" + "and_a_tool_with_a_name_that_is_longer_still"
TARGET = Target(protocol=OPENAI, model="up", max_output_tokens=1000)
TOOL = {"name": LONG, "input_schema": {"type": "object", "properties": {}}}
HISTORY = [
    {"role": "user", "content": "go"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": LONG, "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "done"}]},
]


@pytest.mark.parametrize("name", ["weather", "get-weather_2", "a" * 64])
def test_a_name_that_fits_stays(name):
    assert tool_names.fit(name) == name


@given(name=st.text(max_size=200))
def test_any_name_is_made_to_fit(name):
    fitted = tool_names.fit(name)
    assert 0 < len(fitted) <= tool_names.LONGEST
    assert tool_names.fit(fitted) == fitted


def test_names_that_differ_at_their_end_stay_apart():
    assert tool_names.fit(LONG + "1") != tool_names.fit(LONG + "2")
    assert tool_names.fit("a.b") != tool_names.fit("a_b")


def test_the_upstream_sees_one_short_name_everywhere():
    asked = call(messages=HISTORY, tools=[TOOL], tool_choice={"type": "tool", "name": LONG})
    sent = json.loads(exchange.open(asked, TARGET).body)
    short = tool_names.fit(LONG)
    assert sent["tools"][0]["function"]["name"] == short
    assert sent["tool_choice"]["function"]["name"] == short
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == short


def test_the_client_gets_its_own_name_back():
    short = tool_names.fit(LONG)
    streamed = exchange.open(call(tools=[TOOL], stream=True), TARGET, request_id="r", created=1)
    frames = (
        chunk({"role": "assistant"}) + part(0, id="a", name=short, arguments="{}") + chunk(finish="tool_calls") + DONE
    )
    told = grammar.anthropic(b"".join(map(streamed.feed, streams.split(frames, [50, 150]))) + streamed.close())
    assert told.calls == [("a", LONG, "{}")]
    called = {"tool_calls": [{"id": "a", "function": {"name": short, "arguments": "{}"}}]}
    body = {"id": "c", "choices": [{"message": called, "finish_reason": "tool_calls"}]}
    answer = exchange.open(call(tools=[TOOL]), TARGET, request_id="r", created=1).answer(json.dumps(body).encode())
    assert json.loads(answer)["content"][0]["name"] == LONG
