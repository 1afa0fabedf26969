"""What Claude thinks is seen by OpenAI's callers who asked it to, also where the model shows it only when asked."""

from __future__ import annotations

import anthropic
import openai
import pytest

MODEL = "reticent"
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def gpt(gateway):
    with openai.OpenAI(api_key=gateway.key, base_url=f"{gateway.base_url}/v1", max_retries=0) as client:
        yield client


def test_a_chat_caller_sees_it_whole_and_streamed(gpt):
    asked = {"model": MODEL, "messages": HELLO, "reasoning_effort": "high"}
    assert gpt.chat.completions.create(**asked).choices[0].message.reasoning_content
    with gpt.chat.completions.create(**asked, stream=True) as stream:
        thought = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in stream if chunk.choices]
    assert "".join(piece for piece in thought if piece)


def test_a_responses_caller_sees_it_whole_and_streamed(gpt):
    asked = {"model": MODEL, "input": "Hello", "reasoning": {"effort": "high", "summary": "auto"}}
    assert gpt.responses.create(**asked).output[0].summary[0].text
    with gpt.responses.stream(**asked) as stream:
        thought = [event.delta for event in stream if event.type == "response.reasoning_summary_text.delta"]
    assert "".join(thought)


def test_an_anthropic_caller_is_shown_what_the_model_shows_it(gateway):
    with anthropic.Anthropic(api_key=gateway.key, base_url=gateway.base_url, max_retries=0) as claude:
        asked = {"model": MODEL, "max_tokens": 2000, "messages": HELLO}
        unasked = claude.messages.create(**asked, thinking={"type": "adaptive"})
        shown = claude.messages.create(**asked, thinking={"type": "adaptive", "display": "summarized"})
    assert unasked.content[0].thinking == ""
    assert unasked.content[0].signature
    assert shown.content[0].thinking
