"""Ollama's own client is the judge of its dialect."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import ollama
import pytest

from tests.sdk import worlds
from tests.sdk.callers import everything, resolved
from tests.servers import Simulator, until

TOOLS = [
    {"type": "function", "function": {"name": t["name"], "description": t["description"], "parameters": schema}}
    for t, schema in zip(worlds.ANTHROPIC_TOOLS, (worlds.WEATHER_SCHEMA, worlds.CLOCK_SCHEMA), strict=True)
]
LONG = worlds.user("word " * 200)


@pytest.fixture(params=["sync", "async"])
async def llama(request: pytest.FixtureRequest, provider: Simulator) -> AsyncIterator[Any]:
    kind = ollama.Client if request.param == "sync" else ollama.AsyncClient
    client = kind(host=provider.base_url)
    yield client
    await resolved(client.close())


async def test_it_answers_with_text_counts_and_durations(llama):
    answer = await resolved(llama.chat(model="llama3.2", messages=worlds.HELLO))
    assert (answer.model, answer.done, answer.done_reason) == ("llama3.2", True, "stop")
    assert "Hello there, says Ada." in answer.message.content
    assert (answer.message.thinking, answer.message.tool_calls) == (None, None)
    assert answer.prompt_eval_count > 5
    assert answer.total_duration >= answer.load_duration + answer.eval_duration > 0


async def test_a_stream_says_the_same_as_one_piece(llama):
    whole = await resolved(llama.chat(model="llama3.2", messages=worlds.HELLO))
    lines = await everything(llama.chat(model="llama3.2", messages=worlds.HELLO, stream=True))
    assert "".join(line.message.content for line in lines) == whole.message.content
    assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
    assert {line.message.role for line in lines} == {"assistant"}
    assert lines[-1].eval_count == whole.eval_count == len(lines) - 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_with_an_object_and_its_result_quoted(llama, streamed):
    asked = {"model": "llama3.2", "tools": TOOLS, "stream": streamed}
    answered = llama.chat(**asked, messages=worlds.WEATHER)
    first, *rest = await everything(answered) if streamed else [await resolved(answered)]
    (call,) = first.message.tool_calls
    assert call.function.name == "get_weather"
    assert call.function.arguments == {"city": "Paris", "unit": "celsius"}
    assert (rest[-1] if streamed else first).done_reason == "stop"
    returned = {"role": "tool", "tool_name": "get_weather", "content": "21 degrees and sunny"}
    last = await resolved(llama.chat(**asked | {"stream": False}, messages=[*worlds.WEATHER, first.message, returned]))
    assert "21 degrees and sunny" in last.message.content


async def test_parallel_calls_come_one_a_line(llama):
    lines = await everything(llama.chat(model="llama3.2", tools=TOOLS, messages=worlds.BOTH, stream=True))
    calls = [call.function.name for line in lines for call in line.message.tool_calls or []]
    assert calls == ["get_weather", "get_time"]
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("model", "think", "is_shown"),
    [
        ("qwen3:8b", None, True),
        ("qwen3:8b", False, False),
        ("qwen3:8b", "low", True),
        ("gpt-oss:20b", False, True),
        ("simulated", None, False),
        ("simulated", True, True),
        ("llama3.2", False, False),
        ("llama-thinking", None, True),
    ],
)
async def test_a_model_thinks_as_it_can_and_is_told(llama, model, think, is_shown):
    answer = await resolved(llama.chat(model=model, messages=worlds.HELLO, think=think))
    assert bool(answer.message.thinking) is is_shown
    lines = await everything(llama.chat(model=model, messages=worlds.HELLO, think=think, stream=True))
    thought = "".join(line.message.thinking or "" for line in lines)
    assert thought == (answer.message.thinking or "")
    assert lines[-1].eval_count == answer.eval_count


async def test_what_a_model_cannot_do_is_refused(llama):
    async def refused(**asked):
        with pytest.raises(ollama.ResponseError) as raised:
            await resolved(llama.chat(**{"model": "llama3.2", "messages": worlds.HELLO} | asked))
        assert raised.value.status_code == 400
        return raised.value.error

    assert await refused(think=True) == '"llama3.2" does not support thinking'
    assert await refused(model="nomic-embed-text") == '"nomic-embed-text" does not support chat'
    assert (
        await refused(model="gemma2:2b", tools=TOOLS) == "registry.ollama.ai/library/gemma2:2b does not support tools"
    )


async def test_an_answer_has_the_form_asked_for(llama):
    asked = {"model": "llama3.2", "messages": worlds.PERSON}
    person = await resolved(llama.chat(**asked, format=worlds.PERSON_SCHEMA))
    assert json.loads(person.message.content)["name"] == "Ada Lovelace"
    anything = await resolved(llama.chat(**asked, format="json"))
    assert isinstance(json.loads(anything.message.content), dict)


async def test_caps_and_stop_strings_are_options(llama):
    asked = {"model": "llama3.2", "messages": worlds.HELLO}
    capped = await resolved(llama.chat(**asked, options={"num_predict": 5}))
    assert (capped.done_reason, capped.eval_count) == ("length", 5)
    stopped = await resolved(llama.chat(**asked, options={"stop": ["says"], "num_predict": -1}))
    assert stopped.message.content.endswith("Hello there, ")
    assert stopped.done_reason == "stop"


async def test_images_are_bytes_and_count(llama):
    pictured = [worlds.HELLO[0] | {"images": [worlds.PIXEL]}]
    bare = await resolved(llama.chat(model="llava", messages=worlds.HELLO))
    answer = await resolved(llama.chat(model="llava", messages=pictured))
    assert answer.prompt_eval_count == bare.prompt_eval_count + 100


async def test_a_prompt_beyond_the_window_is_cut_in_silence(llama):
    asked = {"model": "llama3.2", "messages": [*LONG, *worlds.HELLO]}
    cut = await resolved(llama.chat(**asked, options={"num_ctx": 64}))
    whole = await resolved(llama.chat(**asked, options={"num_ctx": 8192}))
    assert cut.prompt_eval_count < 64 < 200 < whole.prompt_eval_count


def test_or_refused_when_that_is_asked_for(http):
    body = {"model": "llama3.2", "messages": LONG, "truncate": False, "options": {"num_ctx": 100}}
    answer = http.post("/api/chat", json=body)
    assert answer.status_code == 400
    assert answer.json() == {"error": "prompt too long; exceeded max context length by 104 tokens"}
    body["options"]["num_ctx"] = 300
    assert http.post("/api/chat", json=body).status_code == 200


async def test_texts_are_embedded(llama):
    answer = await resolved(llama.embed(model="nomic-embed-text", input=["one text", "two texts", "one text"]))
    first, second, third = answer.embeddings
    assert len(first) == 768
    assert first == third != second
    assert answer.prompt_eval_count == 6
    short = await resolved(llama.embed(model="nomic-embed-text", input="one text", dimensions=64))
    assert [len(vector) for vector in short.embeddings] == [64]
    assert (await resolved(llama.embed(model="nomic-embed-text", input=[]))).embeddings == []


async def test_models_are_listed_and_described(llama):
    listed = (await resolved(llama.list())).models
    assert "llama3.2:latest" in [model.model for model in listed]
    shown = await resolved(llama.show("qwen3:8b"))
    assert shown.modelinfo["qwen3.context_length"] == 131_072
    assert shown.capabilities == ["completion", "tools", "thinking"]
    assert (await resolved(llama.show("nomic-embed-text"))).capabilities == ["embedding"]
    assert list((await resolved(llama.ps())).models) == []


def test_it_tells_its_version(http):
    assert http.get("/api/version").json()["version"]


@pytest.mark.parametrize(
    ("words", "status"), [("400", 400), ("401", 401), ("404", 404), ("429", 429), ("529", 503), ("overflow", 400)]
)
async def test_scripted_refusals_are_errors_of_the_client(llama, words, status):
    with pytest.raises(ollama.ResponseError) as raised:
        await resolved(llama.chat(model=f"simulated-{words}", messages=worlds.HELLO))
    assert raised.value.status_code == status
    assert ("exceeded max context length" in raised.value.error) is (words == "overflow")


async def test_a_stream_that_fails_says_so_in_a_line(llama):
    with pytest.raises(ollama.ResponseError, match="unexpected EOF"):
        await everything(llama.chat(model="simulated-error-after-5", messages=worlds.HELLO, stream=True))


async def test_a_stream_may_lack_its_end_or_its_counts(llama):
    lines = await everything(llama.chat(model="simulated-no-terminator", messages=worlds.HELLO, stream=True))
    assert not lines[-1].done
    uncounted = await resolved(llama.chat(model="simulated-nousage", messages=worlds.HELLO))
    assert (uncounted.prompt_eval_count, uncounted.eval_count) == (None, None)


@pytest.mark.parametrize("model", ["simulated-53", "simulated-53-crlf", "simulated-prebuilt"])
async def test_a_stream_of_53_lines_has_53(llama, model):
    assert len(await everything(llama.chat(model=model, messages=worlds.HELLO, stream=True))) == 53


async def test_a_refusal_is_a_text_and_cached_tokens_are_in_the_count(llama):
    declined = await resolved(llama.chat(model="simulated-refusal", messages=worlds.HELLO))
    assert declined.message.content.startswith("I'm sorry")
    cached = await resolved(llama.chat(model="simulated-cache", messages=worlds.HELLO))
    assert cached.prompt_eval_count > 1024 + 384


def test_it_streams_unless_told_not_to_and_wants_no_key(provider):
    body = {"model": "llama3.2", "messages": worlds.HELLO}
    streamed = httpx2.post(f"{provider.base_url}/api/chat", json=body)
    assert streamed.headers["content-type"] == "application/x-ndjson"
    assert streamed.text.count("\n") > 5
    whole = httpx2.post(f"{provider.base_url}/api/chat", json=body | {"stream": False})
    assert whole.json()["done"] is True
    bad = httpx2.post(f"{provider.base_url}/api/chat", json=body, headers={"authorization": "Bearer bad-key"})
    assert (bad.status_code, bad.json()) == (401, {"error": "unauthorized"})


def test_a_model_is_loaded_by_a_call_without_messages(http):
    lines = http.post("/api/chat", json={"model": "llama3.2", "messages": []}).text.splitlines()
    (line,) = map(json.loads, lines)
    assert (line["done"], line["done_reason"]) == (True, "load")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", ["llama3.2", "llama-redacted", "llama-tools", "llama-53", "qwen3", "llama-tokens-20"])
def test_what_is_emitted_is_what_is_counted(provider, http, model, stream):
    body = {"model": model, "messages": worlds.HELLO, "stream": stream, "tools": TOOLS, "options": {"num_predict": 40}}
    answer = http.post("/api/chat", json=body)
    counted = json.loads(answer.text.splitlines()[-1])["eval_count"]
    name = answer.headers["x-request-id"]
    reading = until(lambda: next((r for r in provider.readings() if r.id == name and r.outcome != "open"), None))
    assert reading.emitted == reading.billed.output == counted > 0
    assert (reading.dialect, reading.stream) == ("ollama", stream)


CALLED = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "a", "arguments": "{}"}}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": ""}, "model is required"),
        ({"messages": "x"}, "cannot unmarshal string into Go struct field ChatRequest.messages"),
        ({"messages": [{"content": "x"}]}, "invalid role"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "field ChatRequest.messages.content of type"),
        ({"messages": [CALLED]}, "tool_calls.function.arguments of type map"),
        ({"messages": [worlds.HELLO[0] | {"images": [f"data:image/png;base64,{worlds.PIXEL}"]}]}, "illegal base64"),
        ({"options": {"num_ctx": "big"}}, 'option "num_ctx" must be of type integer'),
        ({"options": {"stop": "x"}}, 'option "stop" must be of type array'),
        ({"think": "very"}, 'invalid think value: "very"'),
        ({"format": "xml"}, 'invalid format: "xml"'),
        ({"stream": "no"}, "of type bool"),
    ],
)
def test_what_its_decoder_cannot_read_is_refused(http, change, message):
    answer = http.post("/api/chat", json={"model": "simulated", "messages": worlds.HELLO} | change)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_what_it_does_not_know_is_ignored(http):
    body = {"model": "simulated", "messages": worlds.HELLO, "tool_choice": "auto", "options": {"wishes": 3}}
    assert http.post("/api/chat", json=body).status_code == 200
    assert http.post("/api/chat", content=b"").json() == {"error": "missing request body"}
    assert "invalid character" in http.post("/api/chat", content=b"{").json()["error"]
