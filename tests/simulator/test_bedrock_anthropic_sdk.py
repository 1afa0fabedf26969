"""Anthropic's SDK for Bedrock is the judge of InvokeModel: it signs, parses frames and builds the message."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from apps.simulator.bedrock import signature
from tests.sdk import worlds
from tests.sdk.callers import everything, opened, resolved
from tests.simulator import aws

# Left to itself the SDK sends a version that these models do not have.
VERSION: dict[str, Any] = {"extra_body": {"anthropic_version": aws.VERSION}}


@pytest.fixture(params=["sync", "async"])
async def claude(request, provider):
    kind = anthropic.AnthropicBedrock if request.param == "sync" else anthropic.AsyncAnthropicBedrock
    client = kind(
        aws_access_key=signature.USER,
        aws_secret_key=signature.SECRETS[signature.USER],
        aws_region=aws.REGION,
        base_url=provider.base_url,
        max_retries=0,
    )
    yield client
    await resolved(client.close())


async def test_a_stream_says_the_same_as_one_piece(claude):
    asked = {"model": aws.CLAUDE, "max_tokens": 200, "messages": worlds.HELLO, **VERSION}
    whole = await resolved(claude.messages.create(**asked))
    assert whole.stop_reason == "end_turn"
    assert "Hello there, says Ada." in whole.content[0].text
    events = await everything(claude.messages.create(**asked, stream=True))
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == whole.content[0].text
    assert [event.type for event in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[-2].usage.output_tokens == whole.usage.output_tokens


async def test_the_stream_helper_builds_thinking_and_calls(claude):
    asked = {
        "model": "us.anthropic.claude-thinking-v1:0",
        "max_tokens": 300,
        "messages": worlds.WEATHER,
        "tools": worlds.ANTHROPIC_TOOLS,
        **VERSION,
    }
    async with opened(claude.messages.stream(**asked)) as stream:
        message = await resolved(stream.get_final_message())
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert message.content[2].input == {"city": "Paris", "unit": "celsius"}
    result = {"type": "tool_result", "tool_use_id": message.content[2].id, "content": "21 degrees and sunny"}
    history = [
        *worlds.WEATHER,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    last = await resolved(claude.messages.create(**asked | {"messages": history}))
    assert "21 degrees and sunny" in last.content[-1].text


async def test_known_betas_travel_in_the_body_and_others_are_refused(claude, provider):
    asked = {"model": aws.CLAUDE, "max_tokens": 99, "messages": worlds.HELLO, **VERSION}
    await resolved(claude.beta.messages.create(**asked, betas=["context-1m-2025-08-07"]))
    assert provider.calls()[-1]["body"]["anthropic_beta"] == ["context-1m-2025-08-07"]
    with pytest.raises(anthropic.BadRequestError, match="invalid beta flag"):
        await resolved(claude.beta.messages.create(**asked, betas=["files-api-2025-04-14"]))


async def test_errors_are_those_that_the_sdk_knows(claude):
    asked = {"max_tokens": 9, "messages": worlds.HELLO, **VERSION}
    for word, error in {
        "429": anthropic.RateLimitError,
        "500": anthropic.InternalServerError,
        "403": anthropic.PermissionDeniedError,
        "overflow": anthropic.BadRequestError,
    }.items():
        with pytest.raises(error):
            await resolved(claude.messages.create(model=f"anthropic.claude-{word}-v1:0", **asked))


async def test_an_exception_in_the_middle_of_a_stream_is_raised(claude):
    with pytest.raises(Exception, match=r"(?i)unexpected error during processing"):
        await everything(
            claude.messages.create(
                model="anthropic.claude-error-after-5-v1:0",
                max_tokens=99,
                messages=worlds.HELLO,
                stream=True,
                **VERSION,
            )
        )


async def test_a_bearers_key_is_taken(provider):
    async with anthropic.AsyncAnthropicBedrock(
        api_key="bedrock-api-key", aws_region=aws.REGION, base_url=provider.base_url, max_retries=0
    ) as client:
        message = await client.messages.create(model=aws.CLAUDE, max_tokens=99, messages=worlds.HELLO, **VERSION)
    assert message.stop_reason == "end_turn"
