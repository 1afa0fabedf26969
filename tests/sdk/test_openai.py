"""OpenAI's SDK through the gateway, to an upstream of its own dialect and to one of Anthropic's."""

from __future__ import annotations

import json
import uuid

import openai
import pydantic
import pytest

from tests.sdk import seed, worlds
from tests.sdk.callers import everything, opened, resolved
from tests.sdk.worlds import simulate


class Person(pydantic.BaseModel):
    name: str
    age: int
    tags: list[str]


async def spoken(gpt, *, streamed, **asked):
    """The whole completion, however it came."""
    if not streamed:
        return await resolved(gpt.chat.completions.create(**asked))
    async with opened(gpt.chat.completions.stream(**asked, stream_options={"include_usage": True})) as stream:
        return await resolved(stream.get_final_completion())


@pytest.mark.parametrize("streamed", [False, True])
async def test_text_comes_with_the_upstreams_own_counts(gpt, model, provider, streamed):
    messages = [{"role": "system", "content": "Be brief."}, *worlds.HELLO]
    completion = await spoken(gpt, streamed=streamed, model=model, messages=messages)
    (choice,) = completion.choices
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert "Hello there, says Ada." in choice.message.content
    billed = provider.last().billed
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (billed.fresh, billed.output)
    assert completion.usage.total_tokens == billed.fresh + billed.output


async def test_a_stream_has_the_grammar_and_says_what_one_piece_says(gpt, model):
    asked = {"model": model, "messages": worlds.HELLO}
    whole = await resolved(gpt.chat.completions.create(**asked))
    chunks = await everything(gpt.chat.completions.create(**asked, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    assert [delta.role for delta in deltas if delta.role] == ["assistant"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_usage_is_streamed_only_when_asked_for(gpt, model, provider):
    asked = {"model": model, "messages": worlds.HELLO, "stream": True}
    silent = await everything(gpt.chat.completions.create(**asked))
    assert not any(chunk.usage for chunk in silent)
    telling = await everything(gpt.chat.completions.create(**asked, stream_options={"include_usage": True}))
    assert [bool(chunk.usage) for chunk in telling] == [False] * (len(telling) - 1) + [True]
    assert telling[-1].choices == []
    assert telling[-1].usage.completion_tokens == provider.last().billed.output


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_and_its_result_understood(gpt, model, streamed):
    asked = {"model": model, "tools": worlds.OPENAI_TOOLS, "streamed": streamed}
    first = (await spoken(gpt, **asked, messages=worlds.WEATHER)).choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris", "unit": "celsius"}
    history = [*worlds.WEATHER, _said(first), {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}]
    last = (await spoken(gpt, **asked, messages=history)).choices[0]
    assert last.finish_reason == "stop"
    assert "21 degrees" in last.message.content


def _said(choice):
    """The assistant's turn as a caller sends it back."""
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in choice.message.tool_calls
    ]
    return {"role": "assistant", "content": choice.message.content, "tool_calls": calls}


@pytest.mark.parametrize("streamed", [False, True])
async def test_parallel_calls_stay_apart_and_both_results_return(gpt, model, streamed):
    asked = {"model": model, "tools": worlds.OPENAI_TOOLS, "streamed": streamed}
    first = (await spoken(gpt, **asked, messages=worlds.BOTH)).choices[0]
    calls = first.message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("get_weather", {"city": "Paris", "unit": "celsius"}),
        ("get_time", {"zone": "Paris"}),
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"result of {call.function.name}"} for call in calls
    ]
    last = (await spoken(gpt, **asked, messages=[*worlds.BOTH, _said(first), *results])).choices[0]
    assert "result of get_weather" in last.message.content
    assert "result of get_time" in last.message.content


@pytest.mark.parametrize(
    ("choice", "parallel", "names"),
    [
        ("required", True, ["get_weather", "get_time"]),
        ("required", False, ["get_weather"]),
        ({"type": "function", "function": {"name": "get_time"}}, False, ["get_time"]),
        ("none", True, []),
    ],
)
async def test_the_choice_of_a_tool_is_kept(gpt, model, choice, parallel, names):
    completion = await resolved(
        gpt.chat.completions.create(
            model=model,
            tools=worlds.OPENAI_TOOLS,
            tool_choice=choice,
            parallel_tool_calls=parallel,
            messages=worlds.BOTH,
        )
    )
    assert [call.function.name for call in completion.choices[0].message.tool_calls or []] == names


@pytest.mark.parametrize("streamed", [False, True])
async def test_reasoning_is_shown_and_counted(gpt, model, streamed):
    completion = await spoken(gpt, streamed=streamed, model=model, messages=worlds.HELLO, reasoning_effort="medium")
    message = completion.choices[0].message
    assert message.reasoning_content.startswith("The user wrote")
    assert "Hello there, says Ada." in message.content
    details = completion.usage.completion_tokens_details
    assert 0 < details.reasoning_tokens < completion.usage.completion_tokens


async def test_the_parse_helper_gets_its_schema(gpt, model):
    completion = await resolved(gpt.chat.completions.parse(model=model, messages=worlds.PERSON, response_format=Person))
    assert completion.choices[0].message.parsed == Person(name="Ada Lovelace", age=36, tags=["Ada Lovelace"])


@pytest.mark.parametrize("cap", ["max_tokens", "max_completion_tokens"])
async def test_caps_and_stop_strings_are_kept(gpt, model, cap):
    capped = await resolved(gpt.chat.completions.create(model=model, messages=worlds.HELLO, **{cap: 5}))
    assert (capped.choices[0].finish_reason, capped.usage.completion_tokens) == ("length", 5)
    stopped = await resolved(gpt.chat.completions.create(model=model, messages=worlds.HELLO, stop=["says"]))
    assert stopped.choices[0].message.content.rstrip().endswith("Hello there,")
    assert stopped.choices[0].finish_reason == "stop"


async def test_cached_tokens_are_inside_the_prompts(gpt, model, provider):
    completion = await resolved(
        gpt.chat.completions.create(model=model, messages=worlds.HELLO, extra_headers=simulate("cache"))
    )
    billed = provider.last().billed
    assert completion.usage.prompt_tokens == billed.fresh + 1024 + 384
    assert completion.usage.prompt_tokens_details.cached_tokens == 1024


async def test_a_picture_arrives(gpt, model, provider):
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{worlds.PIXEL}"}}
    content = [{"type": "text", "text": "What is this, Ada?"}, picture]
    await resolved(gpt.chat.completions.create(model=model, messages=[{"role": "user", "content": content}]))
    assert worlds.PIXEL in str(provider.calls(last=1)[0]["body"])


async def test_a_refusal_is_a_finish_reason(gpt, model):
    completion = await resolved(
        gpt.chat.completions.create(model=model, messages=worlds.HELLO, extra_headers=simulate("refusal"))
    )
    assert completion.choices[0].finish_reason == "content_filter"


async def test_the_models_are_listed(gpt):
    assert [model.id for model in await everything(gpt.models.list())] == sorted(seed.MODELS)
    assert (await resolved(gpt.models.retrieve("claude-test"))).object == "model"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("words", "error", "status"),
    [
        ("400", openai.BadRequestError, 400),
        ("401", openai.InternalServerError, 502),
        ("429", openai.RateLimitError, 429),
        ("500", openai.InternalServerError, 502),
        ("529", openai.InternalServerError, 503),
    ],
)
async def test_what_the_upstream_refuses_is_told_in_the_callers_dialect(gpt, model, words, error, status, streamed):
    with pytest.raises(error) as raised:
        await spoken(
            gpt,
            streamed=streamed,
            model=worlds.refusing(model, words=words),
            messages=worlds.HELLO,
            extra_headers=simulate(words),
        )
    assert raised.value.status_code == status
    assert {"message", "type", "param", "code"} <= raised.value.body.keys()
    assert raised.value.request_id


async def test_an_overlong_prompt_is_told_by_its_code(gpt, model):
    with pytest.raises(openai.BadRequestError) as raised:
        await resolved(
            gpt.chat.completions.create(model=model, messages=worlds.HELLO, extra_headers=simulate("overflow"))
        )
    assert raised.value.code == "context_length_exceeded"


async def test_a_wrong_key_model_or_request_is_the_callers_fault(gpt, gateway, model):
    asked = {"model": model, "messages": worlds.HELLO}
    stranger = gpt.with_options(api_key=gateway.key[:-1] + ("y" if gateway.key.endswith("x") else "x"))
    with pytest.raises(openai.AuthenticationError) as refused:
        await resolved(stranger.chat.completions.create(**asked))
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as unknown:
        await resolved(gpt.chat.completions.create(**asked | {"model": "nobody-made-this"}))
    assert unknown.value.code == "model_not_found"
    assert unknown.value.body.keys() == {"message", "type", "param", "code"}
    assert unknown.value.response.json()["trace_id"] == unknown.value.response.headers["x-trace-id"]
    with pytest.raises(openai.BadRequestError) as malformed:
        await resolved(gpt.chat.completions.create(**asked | {"messages": []}))
    assert malformed.value.param == "messages"


async def test_several_choices_come_from_one_vendor_only(gpt, model, upstream):
    asked = {"model": model, "messages": worlds.HELLO, "n": 2}
    if upstream == "openai":
        assert len((await resolved(gpt.chat.completions.create(**asked))).choices) == 2
    else:
        with pytest.raises(openai.BadRequestError) as raised:
            await resolved(gpt.chat.completions.create(**asked))
        assert raised.value.param == "n"


@pytest.mark.parametrize("words", ["error-after-8", "dies-after-8", "resets-after-8", "ends-after-8"])
async def test_a_broken_stream_never_looks_complete(gpt, model, words):
    with pytest.raises(openai.APIError):
        await everything(
            gpt.chat.completions.create(model=model, messages=worlds.HELLO, stream=True, extra_headers=simulate(words))
        )


async def test_the_upstream_sees_the_gateways_credential_and_never_the_callers(gpt, gateway, model, provider):
    await resolved(gpt.chat.completions.create(model=model, messages=worlds.HELLO))
    call = provider.calls(last=1)[0]
    secrets = [call["headers"][name] for name in ("x-api-key", "authorization") if name in call["headers"]]
    assert secrets
    assert set(secrets) == {"…0123"}
    assert gateway.key not in str(call)
    assert call["headers"]["x-weir-request"].endswith("/1")


async def test_the_sdks_own_retry_gets_through(gpt, model, provider):
    words = f"429-then-ok,{uuid.uuid4().hex}"
    await resolved(
        gpt.with_options(max_retries=1).chat.completions.create(
            model=model, messages=worlds.HELLO, extra_headers=simulate(words)
        )
    )
    assert provider.last().status == 200
    assert provider.readings()[-2].status == 429
