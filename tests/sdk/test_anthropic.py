"""Anthropic's SDK through the gateway, to an upstream of its own dialect and to one of OpenAI's."""

from __future__ import annotations

import uuid

import anthropic
import pydantic
import pytest

from tests.sdk import seed, worlds
from tests.sdk.callers import everything, opened, resolved
from tests.sdk.worlds import simulate


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str
    age: int
    tags: list[str]


async def spoken(claude, *, streamed, **asked):
    """The whole message, however it came."""
    if not streamed:
        return await resolved(claude.messages.create(**asked))
    async with opened(claude.messages.stream(**asked)) as stream:
        return await resolved(stream.get_final_message())


@pytest.mark.parametrize("streamed", [False, True])
async def test_text_comes_with_the_upstreams_own_counts(claude, model, provider, streamed):
    asked = {"model": model, "max_tokens": 200, "messages": worlds.HELLO, "system": "Be brief."}
    message = await spoken(claude, streamed=streamed, **asked)
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert [block.type for block in message.content] == ["text"]
    assert "Hello there, says Ada." in message.content[0].text
    billed = provider.last().billed
    assert (message.usage.input_tokens, message.usage.output_tokens) == (billed.fresh, billed.output)


async def test_a_stream_has_the_grammar_and_says_what_one_piece_says(claude, model):
    asked = {"model": model, "max_tokens": 200, "messages": worlds.HELLO}
    whole = await resolved(claude.messages.create(**asked))
    events = await everything(claude.messages.create(**asked, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == whole.content[0].text
    assert events[-2].usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_and_its_result_understood(claude, model, streamed):
    asked = {"model": model, "max_tokens": 300, "tools": worlds.ANTHROPIC_TOOLS, "streamed": streamed}
    first = await spoken(claude, **asked, messages=worlds.WEATHER)
    assert first.stop_reason == "tool_use"
    call = first.content[-1]
    assert (call.type, call.name, call.input) == ("tool_use", "get_weather", {"city": "Paris", "unit": "celsius"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "21 degrees"}]}
    history = [
        *worlds.WEATHER,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result, {"type": "text", "text": "In Celsius, please."}]},
    ]
    last = await spoken(claude, **asked, messages=history)
    assert last.stop_reason == "end_turn"
    assert "21 degrees" in last.content[0].text


@pytest.mark.parametrize("streamed", [False, True])
async def test_parallel_calls_stay_apart_and_both_results_return(claude, model, streamed):
    asked = {"model": model, "max_tokens": 300, "tools": worlds.ANTHROPIC_TOOLS, "streamed": streamed}
    first = await spoken(claude, **asked, messages=worlds.BOTH)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [
        ("get_weather", {"city": "Paris", "unit": "celsius"}),
        ("get_time", {"zone": "Paris"}),
    ]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"result of {call.name}", "is_error": False}
        for call in calls
    ]
    history = [
        *worlds.BOTH,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    last = await spoken(claude, **asked, messages=history)
    assert "result of get_weather" in last.content[0].text
    assert "result of get_time" in last.content[0].text


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"type": "any"}, ["get_weather", "get_time"]),
        ({"type": "any", "disable_parallel_tool_use": True}, ["get_weather"]),
        ({"type": "tool", "name": "get_time", "disable_parallel_tool_use": True}, ["get_time"]),
        ({"type": "none"}, []),
    ],
)
async def test_the_choice_of_a_tool_is_kept(claude, model, choice, names):
    message = await resolved(
        claude.messages.create(
            model=model,
            max_tokens=300,
            tools=worlds.ANTHROPIC_TOOLS,
            tool_choice=choice,
            messages=worlds.BOTH,
        )
    )
    assert [block.name for block in message.content if block.type == "tool_use"] == names
    assert message.stop_reason == ("tool_use" if names else "end_turn")


@pytest.mark.parametrize("streamed", [False, True])
async def test_thinking_is_shown_signed_and_can_be_sent_back(claude, model, streamed):
    asked = {
        "model": model,
        "max_tokens": 3000,
        "thinking": {"type": "enabled", "budget_tokens": 1500},
        "streamed": streamed,
    }
    first = await spoken(claude, **asked, messages=worlds.HELLO)
    assert [block.type for block in first.content] == ["thinking", "text"]
    assert first.content[0].thinking.startswith("The user wrote")
    assert first.content[0].signature
    history = [*worlds.HELLO, {"role": "assistant", "content": first.content}, *worlds.user("Go on, Ada.")]
    second = await spoken(claude, **asked, messages=history)
    assert "Go on, Ada." in second.content[-1].text


async def test_thinking_of_another_vendor_never_reaches_claude(claude):
    thinking = {"type": "enabled", "budget_tokens": 1500}
    foreign = await resolved(
        claude.messages.create(model="gpt-test", max_tokens=3000, thinking=thinking, messages=worlds.HELLO)
    )
    assert foreign.content[0].type == "thinking"
    history = [*worlds.HELLO, {"role": "assistant", "content": foreign.content}, *worlds.user("Go on.")]
    message = await resolved(
        claude.messages.create(model="claude-test", max_tokens=3000, thinking=thinking, messages=history)
    )
    assert message.stop_reason == "end_turn"


async def test_the_parse_helper_gets_its_schema(claude, model):
    message = await resolved(
        claude.messages.parse(model=model, max_tokens=300, messages=worlds.PERSON, output_format=Person)
    )
    assert message.parsed_output == Person(name="Ada Lovelace", age=36, tags=["Ada Lovelace"])


async def test_caps_and_stop_strings_are_kept(claude, model, upstream):
    capped = await resolved(claude.messages.create(model=model, max_tokens=5, messages=worlds.HELLO))
    assert (capped.stop_reason, capped.usage.output_tokens) == ("max_tokens", 5)
    stopped = await resolved(
        claude.messages.create(model=model, max_tokens=99, messages=worlds.HELLO, stop_sequences=["says"])
    )
    assert stopped.content[0].text.rstrip().endswith("Hello there,")
    known = ("stop_sequence", "says") if upstream == "anthropic" else ("end_turn", None)
    assert (stopped.stop_reason, stopped.stop_sequence) == known


async def test_all_five_counters_arrive(claude, model, upstream, provider):
    message = await resolved(
        claude.messages.create(
            model=model, max_tokens=99, messages=worlds.HELLO, extra_headers=simulate("cache,thinking")
        )
    )
    billed = provider.last().billed
    assert message.usage.input_tokens == billed.fresh
    assert message.usage.cache_read_input_tokens == 1024
    assert message.usage.cache_creation_input_tokens == 384
    assert message.usage.output_tokens == billed.output
    if upstream == "anthropic":
        assert message.usage.cache_creation.ephemeral_1h_input_tokens == 128


async def test_a_picture_arrives(claude, model, provider):
    source = {"type": "base64", "media_type": "image/png", "data": worlds.PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this, Ada?"}]
    await resolved(claude.messages.create(model=model, max_tokens=99, messages=[{"role": "user", "content": content}]))
    assert worlds.PIXEL in str(provider.calls(last=1)[0]["body"])


async def test_a_refusal_is_a_stop_reason(claude, model):
    message = await resolved(
        claude.messages.create(model=model, max_tokens=99, messages=worlds.HELLO, extra_headers=simulate("refusal"))
    )
    assert message.stop_reason == "refusal"


async def test_the_models_are_listed(claude):
    assert [model.id for model in await everything(claude.models.list())] == sorted(seed.MODELS)
    assert (await resolved(claude.models.retrieve("gpt-test"))).display_name == "Gpt-Test"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("words", "error", "status", "kind"),
    [
        ("400", anthropic.BadRequestError, 400, "invalid_request_error"),
        ("401", anthropic.InternalServerError, 502, "api_error"),
        ("429", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("500", anthropic.InternalServerError, 502, "api_error"),
        ("529", anthropic.InternalServerError, 529, "overloaded_error"),
    ],
)
async def test_what_the_upstream_refuses_is_told_in_the_callers_dialect(
    claude, model, words, error, status, kind, streamed
):
    with pytest.raises(error) as raised:
        await spoken(
            claude,
            streamed=streamed,
            model=worlds.refusing(model, words=words),
            max_tokens=99,
            messages=worlds.HELLO,
            extra_headers=simulate(words),
        )
    assert raised.value.status_code == status
    assert raised.value.body["error"]["type"] == kind
    assert raised.value.request_id


async def test_an_overlong_prompt_is_told_in_words_that_clients_know(claude, model):
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long") as raised:
        await resolved(
            claude.messages.create(
                model=model, max_tokens=99, messages=worlds.HELLO, extra_headers=simulate("overflow")
            )
        )
    assert raised.value.body["error"]["type"] == "invalid_request_error"


async def test_a_wrong_key_model_or_request_is_the_callers_fault(claude, gateway, model):
    asked = {"model": model, "max_tokens": 99, "messages": worlds.HELLO}
    stranger = claude.with_options(api_key=gateway.key[:-1] + ("y" if gateway.key.endswith("x") else "x"))
    with pytest.raises(anthropic.AuthenticationError):
        await resolved(stranger.messages.create(**asked))
    with pytest.raises(anthropic.NotFoundError, match="model: nobody-made-this") as unknown:
        await resolved(claude.messages.create(**asked | {"model": "nobody-made-this"}))
    assert unknown.value.body["error"]["type"] == "not_found_error"
    assert unknown.value.body["request_id"] == unknown.value.request_id
    assert unknown.value.body["trace_id"] == unknown.value.response.headers["x-trace-id"]
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        await resolved(claude.messages.create(**asked | {"messages": []}))


@pytest.mark.parametrize("words", ["error-after-8", "dies-after-8", "resets-after-8", "ends-after-8"])
async def test_a_broken_stream_never_looks_complete(claude, model, words):
    with pytest.raises(anthropic.APIError):
        await everything(
            claude.messages.create(
                model=model, max_tokens=99, messages=worlds.HELLO, stream=True, extra_headers=simulate(words)
            )
        )


async def test_the_upstream_sees_the_gateways_credential_and_never_the_callers(claude, gateway, model, provider):
    await resolved(claude.messages.create(model=model, max_tokens=99, messages=worlds.HELLO))
    call = provider.calls(last=1)[0]
    secrets = [call["headers"][name] for name in ("x-api-key", "authorization") if name in call["headers"]]
    assert secrets
    assert set(secrets) == {"…0123"}
    assert gateway.key not in str(call)
    assert call["headers"]["x-weir-request"].endswith("/1")


async def test_the_sdks_own_retry_gets_through(claude, model, provider):
    words = f"429-then-ok,{uuid.uuid4().hex}"
    await resolved(
        claude.with_options(max_retries=1).messages.create(
            model=model, max_tokens=99, messages=worlds.HELLO, extra_headers=simulate(words)
        )
    )
    assert provider.last().status == 200
    assert provider.readings()[-2].status == 429
