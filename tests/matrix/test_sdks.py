"""The official SDKs' helpers judge every upstream: streams that are put together, answers that are parsed, and errors
as the exceptions that programs catch."""

from __future__ import annotations

import anthropic
import openai
import pydantic
import pytest

from tests.matrix import seed
from tests.matrix.wishes import CLOCK, WEATHER
from tests.sdk import worlds
from tests.sdk.worlds import simulate

ADA = {"name": "Ada Lovelace", "age": 36, "tags": ["Ada Lovelace"]}
TOOLS = [{"type": "function", "strict": True, **tool["function"]} for tool in worlds.OPENAI_TOOLS]


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str
    age: int
    tags: list[str]


class get_weather(pydantic.BaseModel):  # the name is the tool's
    """The weather of a city"""

    model_config = pydantic.ConfigDict(extra="forbid")
    city: str
    unit: str


@pytest.fixture(params=seed.UPSTREAMS)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def gpt(gateway):
    with openai.OpenAI(api_key=gateway.key, base_url=f"{gateway.base_url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(gateway):
    with anthropic.Anthropic(api_key=gateway.key, base_url=gateway.base_url, max_retries=0) as client:
        yield client


# --- Responses -------------------------------------------------------------------------------------------------------


def test_a_response_is_parsed_whole_and_streamed(gpt, model):
    asked = {"model": model, "input": worlds.PERSON, "text_format": Person}
    assert gpt.responses.parse(**asked).output_parsed == Person(**ADA)
    with gpt.responses.stream(**asked) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert final.output_parsed == Person(**ADA)
    assert "".join(deltas) == final.output_text


def test_a_responses_tool_is_parsed_by_its_model(gpt, model):
    tool = openai.pydantic_function_tool(get_weather)
    flat = {"type": "function", **tool["function"]}
    asked = {"model": model, "input": worlds.WEATHER, "tools": [flat]}
    with gpt.responses.stream(**asked) as stream:
        events = list(stream)
        final = stream.get_final_response()
    for response in (gpt.responses.parse(**asked), final):
        (call,) = [item for item in response.output if item.type == "function_call"]
        assert call.name == "get_weather"
        assert call.parsed_arguments["city"] == "Paris"
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert [event.arguments for event in done] == [call.arguments]


# --- Chat ------------------------------------------------------------------------------------------------------------


def test_a_completion_is_parsed_whole_and_streamed(gpt, model):
    asked = {"model": model, "messages": worlds.PERSON, "response_format": Person}
    assert gpt.chat.completions.parse(**asked).choices[0].message.parsed == Person(**ADA)
    with gpt.chat.completions.stream(**asked) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Person(**ADA)
    assert {"chunk", "content.delta", "content.done"} <= kinds


def test_a_completions_tool_is_parsed_by_its_model(gpt, model):
    asked = {"model": model, "messages": worlds.WEATHER, "tools": [openai.pydantic_function_tool(get_weather)]}
    with gpt.chat.completions.stream(**asked) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    for completion in (gpt.chat.completions.parse(**asked), final):
        (call,) = completion.choices[0].message.tool_calls
        assert call.function.parsed_arguments.city == "Paris"
    assert [event.name for event in done] == ["get_weather"]


# --- Messages --------------------------------------------------------------------------------------------------------


def test_a_message_is_parsed_whole_and_streamed(claude, model):
    asked = {"model": model, "max_tokens": 500, "messages": worlds.PERSON, "output_format": Person}
    assert claude.messages.parse(**asked).parsed_output == Person(**ADA)
    with claude.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert Person.model_validate_json(text) == final.parsed_output == Person(**ADA)


def test_a_messages_tools_are_put_together(claude, model):
    asked = {"model": model, "max_tokens": 500, "messages": worlds.BOTH, "tools": worlds.ANTHROPIC_TOOLS}
    with claude.messages.stream(**asked) as stream:
        ended = [event.content_block for event in stream if event.type == "content_block_stop"]
        final = stream.get_final_message()
    calls = [(block.name, block.input) for block in final.content if block.type == "tool_use"]
    assert calls == [("get_weather", WEATHER), ("get_time", CLOCK)]
    assert [block.name for block in ended if block.type == "tool_use"] == ["get_weather", "get_time"]
    assert final.stop_reason == "tool_use"


# --- errors ----------------------------------------------------------------------------------------------------------


def asking(claude, gpt, model, words="", **changes):
    """By the SDK's module: every way to ask it."""
    headers = simulate(words) if words else {}
    said = {"model": model, "extra_headers": headers} | changes
    return (
        (anthropic, lambda **more: claude.messages.create(max_tokens=100, messages=worlds.HELLO, **said, **more)),
        (openai, lambda **more: gpt.chat.completions.create(messages=worlds.HELLO, **said, **more)),
        (openai, lambda **more: gpt.responses.create(input="Hello", **said, **more)),
        (openai, lambda **more: gpt.completions.create(prompt="Hello", **said, **more)),
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("words", "kind", "statuses"),
    [
        ("400", "BadRequestError", (400, 400)),
        ("500", "InternalServerError", (502, 502)),
        ("529", "InternalServerError", (529, 503)),
        ("overflow", "BadRequestError", (400, 400)),
    ],
)
def test_an_upstreams_refusal_is_the_exception_that_programs_catch(claude, gpt, model, words, kind, statuses, stream):
    for sdk, ask in asking(claude, gpt, model, words):
        with pytest.raises(getattr(sdk, kind)) as raised:
            ask(stream=stream)
        assert raised.value.status_code == statuses[sdk is openai]


def test_too_many_calls_are_the_exception_that_programs_wait_for(claude, gpt, model):
    for sdk, ask in asking(claude, gpt, f"busy-{model}", "429"):
        with pytest.raises(sdk.RateLimitError) as raised:
            ask()
        assert raised.value.status_code == 429
        assert raised.value.response.headers["retry-after"]


def test_a_wrong_key_and_a_wrong_model_are_the_callers_fault(claude, gpt, gateway):
    wrong = gateway.key[:-1] + ("y" if gateway.key.endswith("x") else "x")
    for sdk, ask in asking(claude.with_options(api_key=wrong), gpt.with_options(api_key=wrong), "openai"):
        with pytest.raises(sdk.AuthenticationError):
            ask()
    for sdk, ask in asking(claude, gpt, "nobody-made-this"):
        with pytest.raises(sdk.NotFoundError):
            ask()


def ending(sdk, ask):
    try:
        return list(ask(stream=True))[-1].type
    except sdk.APIError:
        return "raised"


@pytest.mark.parametrize("words", ["error-after-6,pace-25", "dies-after-6,pace-25"])
def test_a_stream_that_breaks_raises_or_fails(claude, gpt, model, words):
    messages, chat, responses, completions = (ending(*way) for way in asking(claude, gpt, model, words))
    assert (messages, chat, completions) == ("raised",) * 3
    assert responses in ("raised", "response.failed", "error"), "Responses has an event for it"
