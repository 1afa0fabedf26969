"""Anthropic's own SDK is the judge of the Messages dialect."""

from __future__ import annotations

import json

import anthropic
import pytest

from tests.sdk import worlds
from tests.sdk.callers import everything, opened, resolved


async def test_it_answers_with_text_and_counts(claude):
    message = await resolved(
        claude.messages.create(model="claude-simulated", max_tokens=200, messages=worlds.HELLO, system="Be brief.")
    )
    assert message.type == "message"
    assert message.role == "assistant"
    assert message.model == "claude-simulated"
    assert message.stop_reason == "end_turn"
    assert "Hello there, says Ada." in message.content[0].text
    assert message.usage.input_tokens > 5
    assert message.usage.output_tokens > 20
    assert message._request_id.startswith("req_01")


async def test_a_stream_says_the_same_as_one_piece(claude):
    asked = {"model": "claude-simulated", "max_tokens": 200, "messages": worlds.HELLO}
    whole = await resolved(claude.messages.create(**asked))
    events = await everything(claude.messages.create(**asked, stream=True))
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == whole.content[0].text
    assert [event.type for event in events[:2]] == ["message_start", "content_block_start"]
    assert [event.type for event in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[-2].usage.output_tokens == whole.usage.output_tokens
    assert events[0].message.usage.input_tokens == whole.usage.input_tokens


async def test_the_stream_helper_builds_the_message(claude):
    async with opened(claude.messages.stream(model="claude-thinking", max_tokens=300, messages=worlds.HELLO)) as stream:
        message = await resolved(stream.get_final_message())
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].signature
    assert message.usage.output_tokens_details.thinking_tokens > 5


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_and_its_result_quoted(claude, streamed):
    asked = {"model": "claude-simulated", "max_tokens": 300, "tools": worlds.ANTHROPIC_TOOLS}

    async def turn(messages):
        if not streamed:
            return await resolved(claude.messages.create(**asked, messages=messages))
        async with opened(claude.messages.stream(**asked, messages=messages)) as stream:
            return await resolved(stream.get_final_message())

    first = await turn(worlds.WEATHER)
    assert first.stop_reason == "tool_use"
    call = first.content[-1]
    assert (call.type, call.name) == ("tool_use", "get_weather")
    assert call.input == {"city": "Paris", "unit": "celsius"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees and sunny"}
    history = [
        *worlds.WEATHER,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    last = await turn(history)
    assert last.stop_reason == "end_turn"
    assert "21 degrees and sunny" in last.content[0].text


async def test_several_tools_may_be_called_at_once_unless_forbidden(claude):
    asked = {
        "model": "claude-simulated",
        "max_tokens": 300,
        "tools": worlds.ANTHROPIC_TOOLS,
        "messages": worlds.BOTH,
    }
    both = await resolved(claude.messages.create(**asked, tool_choice={"type": "any"}))
    assert [block.name for block in both.content] == ["get_weather", "get_time"]
    assert len({block.id for block in both.content}) == 2
    one = await resolved(
        claude.messages.create(**asked, tool_choice={"type": "any", "disable_parallel_tool_use": True})
    )
    assert [block.name for block in one.content] == ["get_weather"]


async def test_a_named_tool_is_the_one_called_and_none_is_none(claude):
    asked = {"model": "claude-tools", "max_tokens": 300, "tools": worlds.ANTHROPIC_TOOLS, "messages": worlds.HELLO}
    named = await resolved(claude.messages.create(**asked, tool_choice={"type": "tool", "name": "get_time"}))
    assert [block.name for block in named.content] == ["get_time"]
    none = await resolved(claude.messages.create(**asked, tool_choice={"type": "none"}))
    assert [block.type for block in none.content] == ["text"]


async def test_thinking_asked_for_is_signed_and_may_come_back_unaltered_only(claude):
    asked = {"model": "claude-simulated", "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    message = await resolved(claude.messages.create(**asked, messages=worlds.HELLO))
    thought = message.content[0]
    history = [
        *worlds.HELLO,
        {"role": "assistant", "content": [{"type": "thinking", "thinking": thought.thinking, "signature": "x"}]},
        {"role": "user", "content": "Go on."},
    ]
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        await resolved(claude.messages.create(**asked, messages=history))
    history[1]["content"][0]["signature"] = thought.signature
    assert (await resolved(claude.messages.create(**asked, messages=history))).stop_reason == "end_turn"


async def test_redacted_thinking_comes_complete_and_costs_tokens(claude):
    async with opened(claude.messages.stream(model="claude-redacted", max_tokens=300, messages=worlds.HELLO)) as stream:
        message = await resolved(stream.get_final_message())
    assert [block.type for block in message.content] == ["redacted_thinking", "text"]
    assert message.usage.output_tokens_details.thinking_tokens == 12


async def test_a_schema_is_answered_with_json_that_fits(claude):
    message = await resolved(
        claude.messages.create(
            model="claude-simulated",
            max_tokens=300,
            messages=worlds.PERSON,
            output_config={"format": {"type": "json_schema", "schema": worlds.PERSON_SCHEMA}},
        )
    )
    assert json.loads(message.content[0].text) == {"name": "Ada Lovelace", "age": 36, "tags": ["Ada Lovelace"]}


async def test_the_cap_is_kept_to_the_token(claude):
    message = await resolved(claude.messages.create(model="claude-simulated", max_tokens=5, messages=worlds.HELLO))
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 5)
    beyond = await resolved(claude.messages.create(model="claude-ignore-max", max_tokens=5, messages=worlds.HELLO))
    assert beyond.usage.output_tokens > 5


async def test_a_stop_string_ends_the_answer_before_itself(claude):
    message = await resolved(
        claude.messages.create(
            model="claude-simulated", max_tokens=99, messages=worlds.HELLO, stop_sequences=["never", "says"]
        )
    )
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "says")
    assert message.content[0].text.endswith("Hello there, ")


async def test_a_refusal_and_the_counters_of_a_cache(claude):
    refusal = await resolved(claude.messages.create(model="claude-refusal", max_tokens=99, messages=worlds.HELLO))
    assert refusal.stop_reason == "refusal"
    cached = await resolved(claude.messages.create(model="claude-cache", max_tokens=99, messages=worlds.HELLO))
    usage = cached.usage
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (1024, 384)
    assert usage.cache_creation.ephemeral_5m_input_tokens == 256
    assert usage.cache_creation.ephemeral_1h_input_tokens == 128


async def test_counting_agrees_with_what_is_charged(claude):
    asked = {"model": "claude-simulated", "messages": worlds.WEATHER, "tools": worlds.ANTHROPIC_TOOLS}
    counted = await resolved(claude.messages.count_tokens(**asked))
    message = await resolved(claude.messages.create(**asked, max_tokens=99))
    assert counted.input_tokens == message.usage.input_tokens


async def test_models_are_listed(claude):
    listed = await everything(claude.models.list())
    assert "claude-simulated" in [model.id for model in listed]
    assert (await resolved(claude.models.retrieve("claude-anything"))).display_name == "Claude Anything"


@pytest.mark.parametrize(
    ("model", "error", "kind"),
    [
        ("claude-400", anthropic.BadRequestError, "invalid_request_error"),
        ("claude-401", anthropic.AuthenticationError, "authentication_error"),
        ("claude-403", anthropic.PermissionDeniedError, "permission_error"),
        ("claude-429", anthropic.RateLimitError, "rate_limit_error"),
        ("claude-500", anthropic.InternalServerError, "api_error"),
        ("claude-529", anthropic.InternalServerError, "overloaded_error"),
        ("claude-overflow", anthropic.BadRequestError, "invalid_request_error"),
    ],
)
async def test_scripted_refusals_are_the_errors_the_sdk_knows(claude, model, error, kind):
    with pytest.raises(error) as raised:
        await resolved(claude.messages.create(model=model, max_tokens=9, messages=worlds.HELLO))
    assert raised.value.body["error"]["type"] == kind
    assert raised.value.body["request_id"] == raised.value.request_id


async def test_a_bad_key_is_no_key(provider):
    async with anthropic.AsyncAnthropic(api_key="bad-key", base_url=provider.base_url, max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
            await client.messages.create(model="claude-simulated", max_tokens=9, messages=worlds.HELLO)


async def test_the_first_call_fails_and_the_retry_succeeds(claude):
    model = f"claude-429-then-ok-{type(claude).__name__.lower()}"
    patient = claude.with_options(max_retries=1)
    message = await resolved(patient.messages.create(model=model, max_tokens=99, messages=worlds.HELLO))
    assert message.stop_reason == "end_turn"
    with pytest.raises(anthropic.RateLimitError):
        await resolved(claude.messages.create(model=f"{model}-2", max_tokens=99, messages=worlds.HELLO))


async def test_an_error_in_the_middle_of_a_stream_is_raised(claude):
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        await everything(
            claude.messages.create(model="claude-error-after-5", max_tokens=99, messages=worlds.HELLO, stream=True)
        )
