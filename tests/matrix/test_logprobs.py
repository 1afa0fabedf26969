"""The official SDK asks either of OpenAI's dialects for likelihoods, and gets them from providers of both."""

from __future__ import annotations

import openai
import pytest

INCLUDE = ["message.output_text.logprobs"]
OPENAIS = ["openai", "responses"]


@pytest.fixture(scope="module")
def gpt(gateway):
    with openai.OpenAI(api_key=gateway.key, base_url=f"{gateway.base_url}/v1", max_retries=0) as client:
        yield client


def spelled(tokens):
    assert all(len(token.top_logprobs) == 2 for token in tokens)
    assert all(token.top_logprobs[0].token == token.token for token in tokens)
    return "".join(token.token for token in tokens)


@pytest.mark.parametrize("model", OPENAIS)
def test_chat_callers_are_told_how_likely_each_token_was(gpt, model):
    asked = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "logprobs": True, "top_logprobs": 2}
    (choice,) = gpt.chat.completions.create(**asked).choices
    assert choice.message.content
    assert spelled(choice.logprobs.content) == choice.message.content
    with gpt.chat.completions.stream(**asked) as stream:
        (choice,) = stream.get_final_completion().choices
    assert spelled(choice.logprobs.content) == choice.message.content


@pytest.mark.parametrize("model", OPENAIS)
def test_responses_callers_are_told_how_likely_each_token_was(gpt, model):
    asked = {"model": model, "input": "Hello", "include": INCLUDE, "top_logprobs": 2}
    response = gpt.responses.create(**asked)
    assert spelled(response.output[-1].content[0].logprobs) == response.output_text
    with gpt.responses.stream(**asked) as stream:
        told = [token for event in stream if event.type == "response.output_text.delta" for token in event.logprobs]
        response = stream.get_final_response()
    assert spelled(told) == response.output_text
    assert spelled(response.output[-1].content[0].logprobs) == response.output_text


@pytest.mark.parametrize("model", ["anthropic", "invoke", "converse", "ollama"])
def test_who_has_no_likelihoods_tells_none(gpt, model):
    asked = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "logprobs": True}
    assert gpt.chat.completions.create(**asked).choices[0].logprobs is None
