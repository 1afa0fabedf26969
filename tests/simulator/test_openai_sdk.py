"""OpenAI's own SDK is the judge of the Chat Completions dialect."""

from __future__ import annotations

import json

import openai
import pytest

from tests.sdk import worlds
from tests.sdk.callers import everything, opened, resolved


async def test_it_answers_with_text_and_counts(gpt):
    completion = await resolved(gpt.chat.completions.create(model="gpt-simulated", messages=worlds.HELLO))
    choice = completion.choices[0]
    assert completion.object == "chat.completion"
    assert completion.model == "gpt-simulated"
    assert choice.finish_reason == "stop"
    assert "Hello there, says Ada." in choice.message.content
    usage = completion.usage
    assert usage.prompt_tokens > 5
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert completion._request_id.startswith("req_")


async def test_usage_is_streamed_only_when_asked_for(gpt):
    asked = {"model": "gpt-simulated", "messages": worlds.HELLO, "stream": True}
    silent = await everything(gpt.chat.completions.create(**asked))
    assert all(chunk.choices for chunk in silent)
    assert not any("usage" in chunk.model_fields_set for chunk in silent)
    telling = await everything(gpt.chat.completions.create(**asked, stream_options={"include_usage": True}))
    assert all(chunk.usage is None for chunk in telling[:-1])
    assert telling[-1].choices == []
    assert telling[-1].usage.completion_tokens > 20


async def test_a_stream_says_the_same_as_one_piece(gpt):
    asked = {"model": "gpt-simulated", "messages": worlds.HELLO}
    whole = await resolved(gpt.chat.completions.create(**asked))
    chunks = await everything(gpt.chat.completions.create(**asked, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    assert [delta.role for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_and_its_result_quoted(gpt, streamed):
    asked = {"model": "gpt-simulated", "tools": worlds.OPENAI_TOOLS}

    async def turn(messages):
        if not streamed:
            return (await resolved(gpt.chat.completions.create(**asked, messages=messages))).choices[0]
        async with opened(gpt.chat.completions.stream(**asked, messages=messages)) as stream:
            return (await resolved(stream.get_final_completion())).choices[0]

    first = await turn(worlds.WEATHER)
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris", "unit": "celsius"}
    sent = {"id": call.id, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    history = [
        *worlds.WEATHER,
        {"role": "assistant", "content": None, "tool_calls": [sent]},
        {"role": "tool", "tool_call_id": call.id, "content": "21 degrees and sunny"},
    ]
    last = await turn(history)
    assert last.finish_reason == "stop"
    assert "21 degrees and sunny" in last.message.content


async def test_parallel_calls_have_their_own_indices_and_can_be_forbidden(gpt):
    asked = {"model": "gpt-simulated", "tools": worlds.OPENAI_TOOLS, "messages": worlds.BOTH}
    async with opened(gpt.chat.completions.stream(**asked)) as stream:
        final = await resolved(stream.get_final_completion())
    calls = final.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    one = await resolved(gpt.chat.completions.create(**asked, parallel_tool_calls=False))
    assert len(one.choices[0].message.tool_calls) == 1


async def test_a_named_tool_ends_in_stop_as_the_vendor_documents(gpt):
    choice = {"type": "function", "function": {"name": "get_time"}}
    asked = {"model": "gpt-simulated", "tools": worlds.OPENAI_TOOLS, "messages": worlds.HELLO}
    named = (await resolved(gpt.chat.completions.create(**asked, tool_choice=choice))).choices[0]
    assert (named.message.tool_calls[0].function.name, named.finish_reason) == ("get_time", "stop")
    required = (await resolved(gpt.chat.completions.create(**asked, tool_choice="required"))).choices[0]
    assert required.finish_reason == "tool_calls"
    none = (await resolved(gpt.chat.completions.create(**asked, tool_choice="none"))).choices[0]
    assert none.message.tool_calls is None


@pytest.mark.parametrize(("asked", "shown"), [({"model": "gpt-thinking"}, True), ({"model": "gpt-redacted"}, False)])
async def test_reasoning_is_counted_whether_shown_or_not(gpt, asked, shown):
    completion = await resolved(gpt.chat.completions.create(**asked, messages=worlds.HELLO))
    assert hasattr(completion.choices[0].message, "reasoning_content") is shown
    details = completion.usage.completion_tokens_details
    assert 0 < details.reasoning_tokens < completion.usage.completion_tokens


async def test_a_schema_is_answered_with_json_that_fits(gpt):
    wanted = {"name": "person", "strict": True, "schema": worlds.PERSON_SCHEMA}
    completion = await resolved(
        gpt.chat.completions.create(
            model="gpt-simulated",
            messages=worlds.PERSON,
            response_format={"type": "json_schema", "json_schema": wanted},
        )
    )
    person = json.loads(completion.choices[0].message.content)
    assert person == {"name": "Ada Lovelace", "age": 36, "tags": ["Ada Lovelace"]}


@pytest.mark.parametrize("cap", ["max_tokens", "max_completion_tokens"])
async def test_the_cap_is_kept_to_the_token(gpt, cap):
    asked = {"model": "gpt-simulated", "messages": worlds.HELLO, cap: 5}
    completion = await resolved(gpt.chat.completions.create(**asked))
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 5


async def test_stop_strings_several_choices_refusals_and_the_cache(gpt):
    stopped = await resolved(gpt.chat.completions.create(model="gpt-x", messages=worlds.HELLO, stop="says"))
    assert stopped.choices[0].message.content.endswith("Hello there, ")
    assert stopped.choices[0].finish_reason == "stop"
    three = await resolved(gpt.chat.completions.create(model="gpt-x", messages=worlds.HELLO, n=3, max_tokens=4))
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert three.usage.completion_tokens == 12
    filtered = (await resolved(gpt.chat.completions.create(model="gpt-refusal", messages=worlds.HELLO))).choices[0]
    assert (filtered.finish_reason, filtered.message.content) == ("content_filter", None)
    declined = (await resolved(gpt.chat.completions.create(model="gpt-refusal-stop", messages=worlds.HELLO))).choices[0]
    assert declined.finish_reason == "stop"
    assert declined.message.refusal.startswith("I'm sorry")
    cached = await resolved(gpt.chat.completions.create(model="gpt-cache", messages=worlds.HELLO))
    details = cached.usage.prompt_tokens_details
    assert (details.cached_tokens, details.cache_write_tokens) == (1024, 384)
    assert cached.usage.prompt_tokens > 1024 + 384


async def test_models_are_listed(gpt):
    assert "gpt-simulated" in [model.id for model in await everything(gpt.models.list())]
    assert (await resolved(gpt.models.retrieve("gpt-anything"))).owned_by == "simulator"


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("gpt-400", openai.BadRequestError, None),
        ("gpt-401", openai.AuthenticationError, "invalid_api_key"),
        ("gpt-403", openai.PermissionDeniedError, "permission_denied"),
        ("gpt-404", openai.NotFoundError, "model_not_found"),
        ("gpt-429", openai.RateLimitError, "rate_limit_exceeded"),
        ("gpt-500", openai.InternalServerError, None),
        ("gpt-529", openai.InternalServerError, None),
        ("gpt-overflow", openai.BadRequestError, "context_length_exceeded"),
    ],
)
async def test_scripted_refusals_are_the_errors_the_sdk_knows(gpt, model, error, code):
    with pytest.raises(error) as raised:
        await resolved(gpt.chat.completions.create(model=model, messages=worlds.HELLO))
    assert raised.value.code == code
    assert raised.value.request_id.startswith("req_")


async def test_a_bad_key_is_no_key(provider):
    async with openai.AsyncOpenAI(api_key="bad-key", base_url=f"{provider.base_url}/v1", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            await client.chat.completions.create(model="gpt-simulated", messages=worlds.HELLO)


async def test_an_error_in_the_middle_of_a_stream_is_raised(gpt):
    with pytest.raises(openai.APIError, match="server had an error"):
        await everything(gpt.chat.completions.create(model="gpt-error-after-5", messages=worlds.HELLO, stream=True))


async def test_azures_addresses_and_key_are_taken_too(provider):
    at = {"azure_endpoint": provider.base_url, "api_version": "2024-10-21", "max_retries": 0}
    async with openai.AsyncAzureOpenAI(api_key="k", **at) as client:
        completion = await client.chat.completions.create(model="gpt-simulated", messages=worlds.HELLO)
        assert completion.choices[0].finish_reason == "stop"
        assert (await client.embeddings.create(model="text-embedding-3-small", input="x")).usage.prompt_tokens == 1
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{provider.base_url}/openai/v1") as client:
        assert (await client.responses.create(model="gpt-simulated", input="Hello")).status == "completed"
        assert (await client.models.retrieve("gpt-simulated")).id == "gpt-simulated"
    async with openai.AsyncAzureOpenAI(api_key="bad-key", **at) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="gpt-simulated", messages=worlds.HELLO)
