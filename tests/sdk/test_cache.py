"""What was answered before, read by the SDKs: whichever way it was asked first, and whichever way it is asked now."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.sdk import worlds
from tests.sdk.callers import everything, opened, resolved

USE = {"extra_headers": {"x-weir-cache": "use"}}
SURE: dict[str, Any] = {**USE, "extra_body": {"temperature": 0}}
BOTH_WAYS = pytest.mark.parametrize("first", [False, True], ids=["whole first", "stream first"])


def turn() -> list[Any]:
    """One that nobody has asked before."""
    return worlds.user(f"What is the weather in Paris? {uuid.uuid4()}")


async def told(create, final, *, streamed: bool, **asked: Any) -> Any:
    if not streamed:
        return await resolved(create(**asked))
    async with opened(final(**asked)) as stream:
        getter = next(name for name in dir(stream) if name.startswith("get_final_") and not name.endswith("text"))
        return await resolved(getattr(stream, getter)())


async def thrice(create, final, *, first: bool, provider, **asked: Any) -> list[Any]:
    """Asked one way, then the other, then as at first: one call upstream."""
    before = provider.seen()
    answers = [await told(create, final, streamed=way, **asked) for way in (first, not first, first)]
    assert provider.seen() == before + 1
    assert len({answer.id for answer in answers}) == 3
    return answers


@BOTH_WAYS
@pytest.mark.parametrize("tools", [False, True], ids=["text", "tool"])
async def test_claudes_sdk(claude, model, provider, first, tools):
    asked = {"model": model, "max_tokens": 300, "messages": turn(), **SURE}
    if tools:
        asked |= {"tools": worlds.ANTHROPIC_TOOLS, "tool_choice": {"type": "any"}}
    answers = await thrice(claude.messages.create, claude.messages.stream, first=first, provider=provider, **asked)
    one, *others = [(blocks(answer), answer.stop_reason, counts(answer.usage)) for answer in answers]
    assert others == [one, one]


def blocks(message: Any) -> list[Any]:
    """Its streams' blocks are of classes of their own."""
    return [block.text if block.type == "text" else (block.id, block.name, block.input) for block in message.content]


def counts(usage: Any) -> tuple[int, int]:
    return usage.input_tokens, usage.output_tokens


@BOTH_WAYS
async def test_openais_sdk_in_chat(gpt, model, provider, first):
    asked = {"model": model, "messages": turn(), "tools": worlds.OPENAI_TOOLS, **SURE}
    create, final = gpt.chat.completions.create, gpt.chat.completions.stream
    answers = await thrice(create, final, first=first, provider=provider, **asked)
    one, *others = [
        (answer.choices[0].message.content or "", calls(answer.choices[0].message), answer.choices[0].finish_reason)
        for answer in answers
    ]
    assert others == [one, one]
    asked |= {"stream": True, "stream_options": {"include_usage": True}}
    chunks = await resolved(create(**asked))
    found = [chunk async for chunk in chunks] if hasattr(chunks, "__aiter__") else list(chunks)
    whole = next(answer for answer in answers if answer.usage is not None)
    assert found[-1].usage.total_tokens == whole.usage.total_tokens


def calls(message: Any) -> list[tuple[str, str, str]]:
    return [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]


@BOTH_WAYS
async def test_openais_sdk_in_responses(gpt, model, provider, first):
    asked = {"model": model, "input": turn(), **SURE}
    answers = await thrice(gpt.responses.create, gpt.responses.stream, first=first, provider=provider, **asked)
    one, *others = [(answer.output_text, answer.status, counts(answer.usage)) for answer in answers]
    assert one[0]
    assert others == [one, one]


@BOTH_WAYS
@pytest.mark.parametrize("echo", [False, True], ids=["", "echo"])
async def test_openais_sdk_in_legacy_completions(gpt, model, provider, first, echo):
    prompt = f"Say hello. {uuid.uuid4()}"
    asked = {"model": model, "prompt": prompt, "max_tokens": 300, "temperature": 0, "echo": echo, **USE}
    before = provider.seen()
    told = [await completed(gpt, streamed=way, **asked) for way in (first, not first, first)]
    assert provider.seen() == before + 1
    one, *others = [rest for _, *rest in told]
    assert others == [one, one]
    assert one[0].count(prompt) == echo + 1, "the simulated provider repeats what it was told"
    assert len({identity for identity, *_ in told}) == 3


async def completed(gpt, *, streamed: bool, **asked: Any) -> tuple[str, str, str, int]:
    """Its id, text, reason to end and tokens."""
    if not streamed:
        answer = await resolved(gpt.completions.create(**asked))
        (choice,) = answer.choices
        return answer.id, choice.text, choice.finish_reason, answer.usage.total_tokens
    stream = gpt.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = await everything(stream)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    (identity,) = {chunk.id for chunk in chunks}
    text = "".join(choice.text for choice in choices)
    return identity, text, choices[-1].finish_reason, chunks[-1].usage.total_tokens


async def test_its_headers_are_told(claude, model):
    asked = {"model": model, "max_tokens": 300, "messages": turn(), **SURE}
    for result in ("miss", "hit"):
        raw = await resolved(claude.messages.with_raw_response.create(**asked))
        assert raw.headers["x-weir-cache"] == result
    assert int(raw.headers["age"]) < 100
