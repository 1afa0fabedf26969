"""OpenAI's own SDK is the judge of the Embeddings dialect and of legacy Completions."""

from __future__ import annotations

import base64
import math
import struct

import openai
import pytest

from tests.sdk import worlds
from tests.sdk.callers import everything, resolved
from tests.simulator.test_strictness import ABSENT, changed

SMALL = "text-embedding-3-small"
INSTRUCT = "gpt-3.5-turbo-instruct"


def length(vector):
    return math.sqrt(sum(number * number for number in vector))


async def test_a_text_becomes_a_vector_of_length_one(gpt):
    answer = await resolved(gpt.embeddings.create(model=SMALL, input="Hello there"))
    (found,) = answer.data
    assert len(found.embedding) == 1536
    assert length(found.embedding) == pytest.approx(1, abs=1e-5)
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == (SMALL, 2, 2)


async def test_the_sdk_reads_base64_as_the_same_numbers(gpt):
    plain = await resolved(gpt.embeddings.create(model=SMALL, input="Hello", encoding_format="float"))
    packed = await resolved(gpt.embeddings.create(model=SMALL, input="Hello", encoding_format="base64"))
    numbers = struct.unpack("<1536f", base64.b64decode(packed.data[0].embedding))
    assert numbers == pytest.approx(plain.data[0].embedding, abs=1e-6)


async def test_several_texts_keep_their_order_and_like_ones_are_near(gpt):
    texts = ["the cat sat on the mat", "the cat sat on a mat", "budgets are whole numbers"]
    answer = await resolved(gpt.embeddings.create(model=SMALL, input=texts))
    assert [found.index for found in answer.data] == [0, 1, 2]
    cat, like, other = (found.embedding for found in answer.data)
    near, far = (sum(a * b for a, b in zip(cat, each, strict=True)) for each in (like, other))
    assert near > 0.7 > 0.3 > far
    again = await resolved(gpt.embeddings.create(model=SMALL, input=texts[2]))
    assert again.data[0].embedding == other


async def test_dimensions_tokens_and_larger_models(gpt):
    short = await resolved(gpt.embeddings.create(model=SMALL, input="x", dimensions=256))
    assert len(short.data[0].embedding) == 256
    large = await resolved(gpt.embeddings.create(model="text-embedding-3-large", input="x"))
    assert len(large.data[0].embedding) == 3072
    numbered = await resolved(gpt.embeddings.create(model=SMALL, input=[[1, 2, 3], [4]]))
    assert (len(numbered.data), numbered.usage.prompt_tokens) == (2, 4)
    one = await resolved(gpt.embeddings.create(model=SMALL, input=[1, 2, 3]))
    assert (len(one.data), one.usage.prompt_tokens) == (1, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": ABSENT}, "Missing required parameter: 'input'"),
        ({"input": ""}, "cannot be an empty string"),
        ({"input": []}, "expected one of a string"),
        ({"input": ["a", 1]}, "expected one of a string"),
        ({"input": [""] * 2049}, "Expected a maximum length of 2048"),
        ({"input": "word " * 8200}, "maximum context length is 8192 tokens"),
        ({"encoding_format": "hex"}, "Invalid value: 'hex'"),
        ({"dimensions": 9999}, "Expected a value <= 1536"),
        ({"model": "text-embedding-ada-002", "dimensions": 9}, "does not support specifying dimensions"),
        ({"truncate": True}, "Unknown parameter: 'truncate'"),
    ],
)
def test_embeddings_are_refused_as_the_vendor_does(http, change, message):
    answer = http.post("/v1/embeddings", json=changed({"model": SMALL, "input": "x"}, change))
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


async def test_scripts_are_played_for_embeddings_too(gpt):
    with pytest.raises(openai.RateLimitError):
        await resolved(gpt.embeddings.create(model="embed-429", input="x"))
    with pytest.raises(openai.APIConnectionError):
        await resolved(gpt.embeddings.create(model="embed-dies-before-headers", input="x"))
    lies = await resolved(gpt.embeddings.create(model="embed-lies", input="x"))
    assert lies.usage.prompt_tokens > 10**17
    assert (await resolved(gpt.embeddings.create(model="embed-nousage", input="x"))).usage is None
    assert len((await resolved(gpt.embeddings.create(model="embed-prebuilt", input="x"))).data) == 1


async def test_embeddings_are_billed_for_what_went_in(provider, gpt):
    await resolved(gpt.embeddings.create(model="embed-billed", input=["one two", "three"]))
    reading = provider.last()
    assert (reading.dialect, reading.emitted, reading.billed.fresh) == ("embeddings", 0, 3)
    assert reading.prompt


async def test_a_prompt_is_continued(gpt):
    asked = {"model": INSTRUCT, "prompt": "Hello there, says Ada.", "max_tokens": 200}
    whole = await resolved(gpt.completions.create(**asked))
    assert whole.object == "text_completion"
    assert "Hello there" in whole.choices[0].text
    assert whole.choices[0].finish_reason == "stop"
    chunks = await everything(gpt.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage


async def test_a_continuation_is_short_unless_a_cap_is_named(gpt):
    answer = await resolved(gpt.completions.create(model=INSTRUCT, prompt="Hello there, says Ada."))
    assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (16, "length")


async def test_several_prompts_copies_echo_and_tokens(gpt):
    asked = {"model": INSTRUCT, "max_tokens": 4}
    several = await resolved(gpt.completions.create(**asked, prompt=["one", "two"], n=2, echo=True))
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    assert [choice.text[:3] for choice in several.choices] == ["one", "one", "two", "two"]
    assert several.usage.completion_tokens == 16
    numbered = await resolved(gpt.completions.create(**asked, prompt=[[1, 2], [3]]))
    assert (len(numbered.choices), numbered.usage.prompt_tokens) == (2, 3)
    stopped = await resolved(gpt.completions.create(model=INSTRUCT, prompt="Ada says so", max_tokens=99, stop="says"))
    assert stopped.choices[0].text.endswith("Ada ")


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"messages": []}, 400, "Unrecognized request argument supplied: messages"),
        ({"model": "gpt-4o"}, 404, "This is a chat model"),
        ({"prompt": 7}, 400, "expected one of a string"),
        ({"temperature": 3}, 400, "Expected a value <= 2"),
        ({"n": 2, "best_of": 1}, 400, "more choices than it will generate"),
        ({"best_of": 2, "stream": True}, 400, "Cannot stream results with best_of"),
        ({"stream_options": {}}, 400, "only allowed when 'stream' is enabled"),
    ],
)
def test_completions_are_refused_as_the_vendor_does(http, change, status, message):
    answer = http.post("/v1/completions", json={"model": "simulated", "prompt": "x"} | change)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


async def test_scripts_are_played_for_completions_too(gpt):
    asked = {"prompt": worlds.HELLO[0]["content"], "stream": True}
    with pytest.raises(openai.APIError, match="server had an error"):
        await everything(gpt.completions.create(model="instruct-error-after-5", **asked))
    chunks = await everything(gpt.completions.create(model="instruct-53", **asked))
    assert len(chunks) == 52  # and `data: [DONE]`
    with pytest.raises(openai.BadRequestError) as raised:
        await everything(gpt.completions.create(model="instruct-overflow", **asked))
    assert raised.value.code == "context_length_exceeded"
