"""OpenAI's SDK asking for vectors and for legacy completions through the gateway, of upstreams of several dialects."""

from __future__ import annotations

import openai
import pytest

from tests.sdk.callers import everything, resolved

TEXTS = ["a rocket", "a very small rocket"]


@pytest.fixture(params=["gpt-vectors", "llama-vectors"])
def embedder(request):
    return request.param


@pytest.fixture(params=["claude-test", "gpt-test", "llama-test"])
def writer(request):
    return request.param


async def test_vectors_come_as_numbers_with_the_providers_count(gpt, embedder, provider):
    """The SDK asks for base64 and reads it."""
    told = await resolved(gpt.embeddings.create(model=embedder, input=TEXTS))
    assert [entry.index for entry in told.data] == [0, 1]
    assert all(len(entry.embedding) > 100 and isinstance(entry.embedding[0], float) for entry in told.data)
    billed = provider.last().billed
    assert told.usage.prompt_tokens == told.usage.total_tokens == billed.fresh


async def test_either_encoding_tells_the_same_numbers(gpt, embedder):
    packed = await resolved(gpt.embeddings.create(model=embedder, input=TEXTS[0]))
    plain = await resolved(gpt.embeddings.create(model=embedder, input=TEXTS[0], encoding_format="float"))
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, rel=1e-6)


async def test_dimensions_are_asked_for(gpt, embedder):
    told = await resolved(gpt.embeddings.create(model=embedder, input=TEXTS[0], dimensions=64))
    assert len(told.data[0].embedding) == 64


async def test_a_wrong_call_raises_what_openai_raises(gpt):
    with pytest.raises(openai.BadRequestError) as refused:
        await resolved(gpt.embeddings.create(model="llama-vectors", input=[1, 2, 3]))
    assert refused.value.param == "input"
    with pytest.raises(openai.BadRequestError) as refused:
        await resolved(gpt.embeddings.create(model="claude-test", input="a"))
    assert refused.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        await resolved(gpt.embeddings.create(model="nobody", input="a"))


async def test_a_prompt_is_continued_with_the_providers_count(gpt, writer, provider):
    told = await resolved(gpt.completions.create(model=writer, prompt="Say hello.", max_tokens=64))
    (choice,) = told.choices
    assert (told.object, choice.index) == ("text_completion", 0)
    assert len(choice.text) > 3
    billed = provider.last().billed
    assert (told.usage.prompt_tokens, told.usage.completion_tokens) == (billed.fresh, billed.output)


async def test_a_stream_says_what_one_piece_says(gpt, writer):
    asked = {"model": writer, "prompt": "Say hello.", "max_tokens": 64}
    whole = await resolved(gpt.completions.create(**asked))
    chunks = await everything(gpt.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons == [*[None] * (len(reasons) - 1), whole.choices[0].finish_reason]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


async def test_sixteen_tokens_are_enough_unless_more_is_said(gpt, provider):
    await resolved(gpt.completions.create(model="llama-test", prompt="Tell a long story."))
    assert provider.last().billed.output <= 16
