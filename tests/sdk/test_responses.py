"""OpenAI's SDK speaking Responses through the gateway, to upstreams of every dialect; and Codex, which is no SDK."""

from __future__ import annotations

import json
import urllib.request

import openai
import pydantic
import pytest
from openai.types.responses import Response

from tests.sdk import worlds
from tests.sdk.callers import everything, opened, resolved
from tests.sdk.gateways import trust
from tests.sdk.worlds import simulate


class Person(pydantic.BaseModel):
    name: str
    age: int
    tags: list[str]


TOOLS = [{"type": "function", "strict": True, **tool["function"]} for tool in worlds.OPENAI_TOOLS]
NAMESPACE = {
    "type": "namespace",
    "name": "mcp__weather",
    "description": "The weather server",
    "tools": [TOOLS[0]],
}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch"'},
}


@pytest.fixture(params=["claude-test", "gpt-test", "responses-test"])
def model(request):
    return request.param


async def spoken(gpt, *, streamed, **asked):
    """The whole response, however it came."""
    if not streamed:
        return await resolved(gpt.responses.create(**asked))
    async with opened(gpt.responses.stream(**asked)) as stream:
        return await resolved(stream.get_final_response())


def strict(response):
    """What the SDK reads leniently, read as its types say."""
    return Response.model_validate(response.to_dict())


@pytest.mark.parametrize("streamed", [False, True])
async def test_text_comes_with_the_upstreams_own_counts(gpt, model, provider, streamed):
    response = await spoken(gpt, streamed=streamed, model=model, instructions="Be brief.", input=worlds.HELLO)
    assert "Hello there, says Ada." in response.output_text
    assert (response.status, response.object) == ("completed", "response")
    billed = provider.last().billed
    assert (response.usage.input_tokens, response.usage.output_tokens) == (billed.fresh, billed.output)
    assert strict(response).output[-1].role == "assistant"


async def test_a_stream_says_what_one_piece_says_and_numbers_its_events(gpt, model):
    asked = {"model": model, "input": "Hello there, says Ada."}
    whole = await resolved(gpt.responses.create(**asked))
    events = await everything(gpt.responses.create(**asked, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text == events[-1].response.output_text


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_and_its_result_understood(gpt, model, streamed):
    asked = {"model": model, "tools": TOOLS, "streamed": streamed}
    first = await spoken(gpt, **asked, input=worlds.WEATHER)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris", "unit": "celsius"})
    strict(first)
    history = [
        *worlds.WEATHER,
        *(item.to_dict() for item in first.output),
        {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"},
    ]
    for item in history:
        item.pop("parsed_arguments", None)
    last = await spoken(gpt, **asked, input=history)
    assert "21 degrees" in last.output_text


async def test_parallel_calls_stay_apart(gpt, model):
    response = await spoken(gpt, streamed=True, model=model, tools=TOOLS, input=worlds.BOTH)
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("get_weather", {"city": "Paris", "unit": "celsius"}),
        ("get_time", {"zone": "Paris"}),
    ]
    assert len({call.call_id for call in calls}) == 2


@pytest.mark.parametrize(
    ("choice", "parallel", "names"),
    [
        ("required", False, ["get_weather"]),
        ({"type": "function", "name": "get_time"}, False, ["get_time"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_time"}]},
            False,
            ["get_time"],
        ),
        ("none", True, []),
    ],
)
async def test_the_choice_of_a_tool_is_kept(gpt, model, choice, parallel, names):
    asked = {"model": model, "tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": parallel}
    response = await spoken(gpt, streamed=False, **asked, input=worlds.BOTH)
    assert [item.name for item in response.output if item.type == "function_call"] == names


@pytest.mark.parametrize("streamed", [False, True])
async def test_reasoning_is_shown_and_counted(gpt, model, streamed):
    asked = {"model": model, "input": worlds.HELLO, "reasoning": {"effort": "medium", "summary": "auto"}}
    response = await spoken(gpt, streamed=streamed, **asked, extra_headers=simulate("thinking"))
    thought = response.output[0]
    assert thought.type == "reasoning"
    assert thought.summary[0].text
    assert 0 < response.usage.output_tokens_details.reasoning_tokens < response.usage.output_tokens
    strict(response)


async def test_the_parse_helper_gets_its_schema(gpt, model):
    response = await resolved(gpt.responses.parse(model=model, input=worlds.PERSON, text_format=Person))
    assert response.output_parsed == Person(name="Ada Lovelace", age=36, tags=["Ada Lovelace"])


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cap_makes_an_answer_incomplete(gpt, model, streamed):
    asked = {"model": model, "input": worlds.HELLO, "max_output_tokens": 16}
    events = await everything(gpt.responses.create(**asked, stream=True, extra_headers=simulate("long")))
    response = events[-1].response
    if not streamed:
        response = await resolved(gpt.responses.create(**asked, extra_headers=simulate("long")))
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.usage.output_tokens == 16


async def test_a_picture_arrives(gpt, model, provider):
    picture = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{worlds.PIXEL}"}
    content = [{"type": "input_text", "text": "What is this, Ada?"}, picture]
    await resolved(gpt.responses.create(model=model, input=[{"role": "user", "content": content}]))
    assert worlds.PIXEL in str(provider.calls(last=1)[0]["body"])


@pytest.mark.parametrize(
    ("words", "error", "status"),
    [
        ("400", openai.BadRequestError, 400),
        ("500", openai.InternalServerError, 502),
        ("529", openai.InternalServerError, 503),
    ],
)
async def test_what_the_upstream_refuses_is_told_in_the_callers_dialect(gpt, model, words, error, status):
    with pytest.raises(error) as raised:
        await resolved(gpt.responses.create(model=model, input="Hello", stream=True, extra_headers=simulate(words)))
    assert raised.value.status_code == status
    assert {"message", "type", "param", "code"} <= raised.value.body.keys()


async def test_an_overlong_prompt_is_told_by_its_code(gpt, model):
    with pytest.raises(openai.BadRequestError) as raised:
        await resolved(gpt.responses.create(model=model, input="Hello", extra_headers=simulate("overflow")))
    assert raised.value.code == "context_length_exceeded"


@pytest.mark.parametrize("words", ["error-after-8", "dies-after-8", "resets-after-8", "ends-after-8"])
async def test_a_broken_stream_ends_as_a_response_that_failed(gpt, model, words):
    asked = {"model": model, "input": worlds.HELLO, "stream": True, "extra_headers": simulate(words)}
    try:
        events = await everything(gpt.responses.create(**asked))
    except openai.InternalServerError:  # it came with the first bytes, and nothing had gone out yet
        return
    last = events[-1]
    if last.type == "error":  # OpenAI's own, relayed
        assert model == "responses-test"
        return
    assert last.type == "response.failed"
    assert last.response.error.code == "server_error"
    assert last.response.id == events[0].response.id
    assert last.sequence_number > events[-2].sequence_number


@pytest.mark.parametrize(
    "field",
    [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True}],
)
async def test_what_needs_a_memory_is_refused_by_its_name(gpt, model, field):
    with pytest.raises(openai.BadRequestError) as raised:
        await resolved(gpt.responses.create(model=model, input="Hello", **field))
    assert (raised.value.param, raised.value.code) == (next(iter(field)), "unsupported_parameter")


# Codex sends no SDK's shapes, and reads the stream by itself.
ENVIRONMENT = "<environment_context><cwd>/src</cwd></environment_context>"
FIRST = [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": ENVIRONMENT}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is the weather in Paris?"}]},
]


def codex(gateway, model, *, items, choice="auto", words="thinking"):
    """The items and the last event of one call, as Codex reads it."""
    others = [
        {"type": "function", "name": f"tool_{number}", "description": "", "strict": False, "parameters": {
            "type": "object", "properties": {"path": {"type": "string"}}, "additionalProperties": False}}
        for number in range(9)
    ]  # fmt: skip
    body = {
        "model": model,
        "instructions": "You are a coding agent.",
        "input": items,
        "tools": [NAMESPACE, PATCH, {"type": "web_search", "external_web_access": False}, *others],
        "tool_choice": choice,
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199-aaaa",
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-installation-id": "1"},
    }
    headers = {
        "authorization": f"Bearer {gateway.key}",
        "content-type": "application/json",
        "accept": "text/event-stream",
        "x-simulate": words,
    }
    asked = urllib.request.Request(f"{gateway.base_url}/v1/responses", json.dumps(body).encode(), headers)
    items, last = [], None
    with urllib.request.urlopen(asked, timeout=30, context=trust(gateway)) as answer:
        for frame in answer.read().decode().split("\n\n")[:-1]:
            if frame.startswith(":"):
                continue
            name, data = (line.partition(": ")[2] for line in frame.split("\n"))
            last = json.loads(data)
            assert last["type"] == name
            if name == "response.output_item.done":
                items.append(last["item"])
    return items, last


def kept(items):
    """What Codex sends back of an answer: no ids, no states."""
    return [{name: value for name, value in item.items() if name not in ("id", "status")} for item in items]


def test_codex_gets_its_namespaced_call_and_goes_on_with_its_result(gateway, model, provider):
    answered, last = codex(gateway, model, items=FIRST, words="thinking,tools")
    assert last["type"] == "response.completed"
    assert last["response"]["usage"]["total_tokens"] > 0
    thought, call = answered[0], answered[-1]
    assert thought["type"] == "reasoning"
    assert thought["encrypted_content"]
    assert (call["type"], call["name"]) == ("function_call", "get_weather")
    assert call["namespace"] == "mcp__weather"
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "21 degrees, says the server"}
    answered, last = codex(gateway, model, items=[*FIRST, *kept(answered), output], words="")
    assert last["type"] == "response.completed"
    assert "21 degrees" in answered[-1]["content"][0]["text"]
    if model == "claude-test":  # what Claude signed came back to it
        history = provider.calls(last=1)[0]["body"]["messages"]
        assert any(block["type"] == "thinking" for turn in history for block in turn["content"])


@pytest.mark.parametrize("model", ["claude-test", "gpt-test"], indirect=True)  # the third is relayed as it is
def test_codex_gets_its_patch_as_plain_text(gateway, model):
    answered, _ = codex(gateway, model, items=FIRST, choice={"type": "custom", "name": "apply_patch"})
    call = answered[-1]
    assert (call["type"], call["name"]) == ("custom_tool_call", "apply_patch")
    assert call["input"]
    assert not call["input"].startswith("{")
    output = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "Done, says the patch"}
    answered, last = codex(gateway, model, items=[*FIRST, *kept(answered), output])
    assert last["type"] == "response.completed"
    assert "Done, says the patch" in answered[-1]["content"][0]["text"]
