"""An overlong prompt, in every provider's own words, is said in those that each caller's client knows."""

from __future__ import annotations

import json

import pytest

from apps.domain.protocols import exchange, refusal, registry
from apps.domain.protocols.contract import ClientFormat, Target

CALLERS = sorted(name for name, format in registry.CLIENTS.items() if isinstance(format, ClientFormat))
ANTHROPIC = [
    "prompt is too long: 3333404 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length",
]
OPENAI = [
    # OpenAI, Azure, OpenRouter, DeepSeek
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    "This endpoint's maximum context length is 131072 tokens. However, you requested about 150000 tokens (149000 of "
    "text input, 1000 in the output).",
    # vLLM, SGLang, TGI
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, "
    "1000 in the completion).",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "Input length (5000) exceeds model's maximum context length (4096).",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
    "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
    # llama.cpp, LM Studio
    "the request exceeds the available context size, try increasing it",
    "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length "
    "of only 4096 tokens, which is not enough.",
    "Context size has been exceeded.",
    "Requested tokens (2285) exceed context window of 2048",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    # vLLM's older and newer ones
    "The prompt (total length 25938) is too long to fit into the model (context length 4096).",
    "Input prompt (36893 tokens) is too long and exceeds limit of 1000",
    "You passed 10001 input tokens and requested 0 output tokens. However, the model's context length is only 8192.",
    # Mistral, Cerebras, Z.AI, MiniMax, xAI, Google, Moonshot, Copilot
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
    "Prompt exceeds max length",
    "invalid params, context window exceeds limit (2013)",
    "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Invalid request: Your request exceeded model token limit: 131072",
    "prompt token count of 150000 exceeds the limit of 128000",
]
BEDROCK = [
    "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
    "Input is too long for requested model.",
    "This model's maximum context length is 8192 tokens. Please reduce the length of the prompt",
    "400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token count: 9000",
]
OLLAMA = [
    "prompt too long; exceeded max context length by 12 tokens",
    "the input length exceeds the context length",
]
SAID = [
    *(
        ("anthropic_messages", {"type": "error", "error": {"type": "invalid_request_error", "message": m}})
        for m in ANTHROPIC
    ),
    *(("openai_chat", {"error": {"message": m, "type": "invalid_request_error", "code": None}}) for m in OPENAI),
    ("openai_chat", {"error": {"message": "Too much.", "code": "context_length_exceeded"}}),
    ("openai_responses", {"error": {"message": OPENAI[0], "code": "context_length_exceeded", "param": "input"}}),
    *((name, {"message": m}) for name in ("bedrock_invoke", "bedrock_converse") for m in BEDROCK),
    *(("ollama_chat", {"error": m}) for m in OLLAMA),
]
OTHERS = [
    "max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens",
    "Invalid 'stop': array too long. Expected a maximum length of 4, but got 5 instead.",
    "string too long. Expected a maximum length of 64",
    "image exceeds 5 MB maximum",
]


def refused(upstream, told, status=400):
    error = registry.UPSTREAMS[upstream].read_error(status, {}, json.dumps(told).encode())
    error.body = None  # as for a caller of another dialect
    return error


@pytest.mark.parametrize("client", CALLERS)
@pytest.mark.parametrize(("upstream", "told"), SAID)
def test_every_caller_knows_an_overlong_prompt_whoever_says_it(client, upstream, told):
    shape = registry.CLIENTS[client].write_error(refused(upstream, told), request_id="req_1")
    error = json.loads(shape.body)["error"]
    assert (shape.status, error["type"]) == (400, "invalid_request_error")
    if client == "anthropic_messages":
        assert error["message"].startswith("prompt is too long")
    else:
        assert error["code"] == "context_length_exceeded"


@pytest.mark.parametrize("status", [413, 422])
def test_the_status_of_an_overlong_prompt_is_400_whatever_it_was(status):
    error = refused("openai_chat", {"error": {"message": OPENAI[0]}}, status)
    assert {registry.CLIENTS[client].write_error(error, request_id="r").status for client in CALLERS} == {400}


@pytest.mark.parametrize("client", CALLERS)
@pytest.mark.parametrize(("upstream", "told"), SAID)
def test_who_takes_an_overlong_prompt_for_a_fault_of_its_own_is_understood(client, upstream, told):
    error = refused(upstream, told, 500)
    assert (error.retryable, error.upstream_status) == (False, 500)
    assert registry.CLIENTS[client].write_error(error, request_id="r").status == 400


LLAMA = {"code": 500, "message": "too much", "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 5}


@pytest.mark.parametrize("status", [400, 500])
def test_llama_says_it_by_the_errors_type(status):
    error = refused("openai_chat", {"error": LLAMA}, status)
    assert error.code == refusal.OVERFLOW
    assert registry.CLIENTS["openai_chat"].write_error(error, request_id="r").status == 400


def test_a_fault_of_the_providers_own_is_restated_to_callers_of_its_dialect_too():
    raw = json.dumps({"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}})
    error = registry.UPSTREAMS["openai_chat"].read_error(500, {}, raw.encode())
    shape = registry.CLIENTS["openai_chat"].write_error(error, request_id="r")
    assert (shape.status, json.loads(shape.body)["error"]["code"]) == (400, "context_length_exceeded")


def test_a_stream_says_it_under_the_code_500():
    asked = exchange.open(
        registry.CLIENTS["anthropic_messages"].read_request(
            b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"stream":true}'
        ),
        Target(protocol="openai_chat", model="up", max_output_tokens=9),
    )
    assert asked.feed(b"data: %b\n\n" % json.dumps({"error": LLAMA}).encode()) == b""
    assert asked.seen.error is not None
    assert (asked.seen.error.code, asked.seen.error.retryable) == (refusal.OVERFLOW, False)


@pytest.mark.parametrize("status", [429, 503])
def test_who_says_that_it_is_busy_is_busy(status):
    assert refused("openai_chat", {"error": {"message": OPENAI[0]}}, status).retryable


@pytest.mark.parametrize("words", OTHERS)
def test_what_is_too_long_otherwise_is_not_the_prompt(words):
    assert refused("openai_chat", {"error": {"message": words}}).code != refusal.OVERFLOW
