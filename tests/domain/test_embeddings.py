"""Vectors: what callers may ask, what goes on to whom, and what comes back."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import errors, estimate
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import ClientCall, Exchange, Target
from apps.domain.tokens import TokenUsage

CLIENT = registry.CLIENTS["openai_embeddings"]
OPENAI, OLLAMA, BEDROCK = "openai_embeddings", "ollama_embed", "bedrock_embed"
COHERE, TITAN = "cohere.embed-v4:0", "amazon.titan-embed-text-v2:0"
ANSWER = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.25]}],
    "model": "up",
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}


def call(**fields: Any) -> ClientCall:
    return CLIENT.read_request(json.dumps({"model": "asked", "input": "hello"} | fields).encode())


def opened(asked: ClientCall, upstream: str, *, context_tokens: int = 0, model: str = "up") -> Exchange:
    target = Target(protocol=upstream, model=model, max_output_tokens=1, context_tokens=context_tokens)
    return exchange.open(asked, target)


def sent(upstream: str, **fields: Any) -> dict[str, Any]:
    return json.loads(opened(call(**fields), upstream).body)


def floats(encoded: str) -> list[float]:
    raw = base64.b64decode(encoded)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


def test_a_call_asks_for_no_output_and_never_streams():
    asked = call(stream=True)
    assert (asked.model, asked.stream, asked.max_tokens, asked.user) == ("asked", False, 0, None)
    most = estimate.most(40, max_tokens=asked.max_tokens, model_cap=4096)
    assert most == TokenUsage(in_fresh=20)
    assert estimate.rate_tokens(40, max_tokens=asked.max_tokens) == 10


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 7]}, "input[1]"),
        ({"input": [7, "a"]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [[]]}, "input[0]"),
        ({"input": {}}, "input"),
        ({"input": 7}, "input"),
        ({"input": None}, "input"),
        ({"model": ""}, "model"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "many"}, "dimensions"),
        ({"user": 7}, "user"),
    ],
)
def test_a_wrong_field_is_named(fields, param):
    with pytest.raises(errors.InvalidRequest) as refused:
        call(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":"m"}', b'{"input":"a"}', b'{"model":"m","Input":"a"}'])
def test_what_is_no_request_is_refused(body):
    with pytest.raises(errors.InvalidRequest):
        CLIENT.read_request(body)


# --- relayed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"asked","input":["a","b"],"encoding_format":"base64"}',
        b'{ "input" :[1, 2,3],\n"model": "asked", "new_field": {"x": 1.0}, "dimensions": 8 }',
        b'{"input": [[1, 2], [3]], "model": "asked", "user": "u"}',
    ],
)
def test_a_request_in_openais_words_changes_in_the_models_name_alone(body):
    assert opened(CLIENT.read_request(body), OPENAI).body == body.replace(b'"asked"', b'"up"')


@given(st.sampled_from([None, 1, 2]), st.integers(0, 10**6))
def test_an_answer_in_openais_words_arrives_untouched(indent, tokens):
    body = json.dumps(ANSWER | {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}, indent=indent).encode()
    relayed = opened(call(), OPENAI)
    assert relayed.answer(body) == body
    assert relayed.seen.usage == TokenUsage(in_fresh=tokens)
    assert relayed.seen.finished
    assert relayed.seen.model == "up"


@pytest.mark.parametrize(
    "usage", [None, 7, {}, {"prompt_tokens": -1}, {"prompt_tokens": 10**12}, {"prompt_tokens": True}]
)
def test_counts_that_cannot_be_believed_are_none(usage):
    relayed = opened(call(), OPENAI)
    relayed.answer(json.dumps(ANSWER | {"usage": usage}).encode())
    assert relayed.seen.usage is None


def test_a_total_stands_for_a_prompts_count():
    relayed = opened(call(), OPENAI)
    relayed.answer(json.dumps(ANSWER | {"usage": {"total_tokens": 5}}).encode())
    assert relayed.seen.usage == TokenUsage(in_fresh=5)


# --- translated ------------------------------------------------------------------------------------------------------


def test_ollama_gets_texts_and_the_models_window():
    body = json.loads(opened(call(input="a", dimensions=64), OLLAMA, context_tokens=8192).body)
    expected = {"model": "up", "input": ["a"], "truncate": False, "dimensions": 64}
    assert body == expected | {"options": {"num_ctx": 8192}}
    assert sent(OLLAMA, input=["a", "b"])["input"] == ["a", "b"]


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2], [3]]])
def test_ollama_is_given_no_tokens(tokens):
    with pytest.raises(errors.InvalidRequest, match="text, not tokens") as refused:
        sent(OLLAMA, input=tokens)
    assert refused.value.param == "input"


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)), min_size=1, max_size=4))
def test_vectors_are_the_same_in_either_encoding(vectors):
    answer = json.dumps({"model": "up", "embeddings": vectors, "prompt_eval_count": 3}).encode()
    texts = [f"text {index}" for index in range(len(vectors))]
    plain = json.loads(opened(call(input=texts), OLLAMA).answer(answer))
    packed = json.loads(opened(call(input=texts, encoding_format="base64"), OLLAMA).answer(answer))
    assert [entry["embedding"] for entry in plain["data"]] == vectors
    assert [floats(entry["embedding"]) for entry in packed["data"]] == vectors
    for told in (plain, packed):
        assert [entry["index"] for entry in told["data"]] == list(range(len(vectors)))
        assert {entry["object"] for entry in told["data"]} == {"embedding"}
        assert (told["object"], told["model"]) == ("list", "asked")
        assert told["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_usage_that_nobody_told_is_estimated_for_the_caller_and_not_for_the_books():
    running = opened(call(input="a" * 38), OLLAMA)
    told = json.loads(running.answer(b'{"model":"up","embeddings":[[1]]}'))
    assert told["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
    assert running.seen.usage is None


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_vectors_come_back_as_texts_went_out(count):
    answer = json.dumps({"model": "up", "embeddings": [[1.0]] * count}).encode()
    with pytest.raises(errors.UpstreamBroken, match=f"{count} embeddings for 2 inputs"):
        opened(call(input=["a", "b"]), OLLAMA).answer(answer)


@pytest.mark.parametrize("upstream", [OPENAI, OLLAMA, BEDROCK])
@pytest.mark.parametrize("body", [b"", b"<html>ok</html>", b"[]", b"{}", b"null", b"\xff", b"[" * 99_999])
def test_a_garbled_answer_is_the_upstreams_fault(upstream, body):
    running = opened(call(), upstream, model="embed")
    with pytest.raises(errors.UpstreamBroken):
        running.answer(body)
    assert not running.seen.finished


@pytest.mark.parametrize("upstream", [OPENAI, OLLAMA])
def test_an_error_under_status_200_is_one(upstream):
    with pytest.raises(errors.UpstreamError, match="so it is"):
        opened(call(), upstream).answer(b'{"error":"so it is"}')


def test_cohere_gets_texts_and_a_purpose():
    body = json.loads(opened(call(input=["a", "b"]), BEDROCK, model=COHERE).body)
    assert body == {"texts": ["a", "b"], "input_type": "search_document", "truncate": "NONE"}
    asked = call(input="a", input_type="search_query", dimensions=256)
    body = json.loads(opened(asked, BEDROCK, model=COHERE).body)
    assert body == {"texts": ["a"], "input_type": "search_query", "truncate": "NONE", "output_dimension": 256}


@pytest.mark.parametrize("embeddings", [[[1.0], [2.0]], {"float": [[1.0], [2.0]], "int8": [[1], [2]]}])
@pytest.mark.parametrize(
    ("count", "tokens"), [("7", 7), ("many", None), (None, None), ("0", None), ("9" * 10, None), ("9" * 5000, None)]
)
def test_cohere_answers_in_either_form_and_counts_in_a_header(embeddings, count, tokens):
    running = opened(call(input=["a", "b"]), BEDROCK, model=COHERE)
    headers = {} if count is None else {"x-amzn-bedrock-input-token-count": count}
    told = json.loads(running.answer(json.dumps({"id": "x", "embeddings": embeddings}).encode(), headers))
    assert [entry["embedding"] for entry in told["data"]] == [[1.0], [2.0]]
    assert running.seen.usage == (None if tokens is None else TokenUsage(in_fresh=tokens))


def test_a_number_that_no_float_of_32_bits_holds_is_the_upstreams_fault():
    with pytest.raises(errors.UpstreamBroken):
        opened(call(encoding_format="base64"), OLLAMA).answer(b'{"embeddings":[[1e300]]}')


def test_titan_gets_one_text_and_counts():
    running = opened(call(input=["a"], dimensions=256), BEDROCK, model=TITAN)
    assert json.loads(running.body) == {"inputText": "a", "dimensions": 256}
    told = json.loads(running.answer(b'{"embedding":[1.5],"inputTextTokenCount":4}'))
    assert told["data"][0]["embedding"] == [1.5]
    assert running.seen.usage == TokenUsage(in_fresh=4)


@pytest.mark.parametrize(
    ("fields", "model", "param"),
    [
        ({"input": ["a", "b"]}, TITAN, "input"),
        ({"input": [1, 2]}, TITAN, "input"),
        ({"input": [[1], [2]]}, COHERE, "input"),
        ({"dimensions": 256}, "amazon.titan-embed-text-v1", "dimensions"),
        ({}, "us.anthropic.claude-sonnet-4-6", "model"),
    ],
)
def test_what_a_model_of_bedrocks_cannot_take_is_refused_by_name(fields, model, param):
    with pytest.raises(errors.InvalidRequest) as refused:
        opened(call(**fields), BEDROCK, model=model)
    assert refused.value.param == param


def test_a_refusal_is_relayed_in_openais_words_and_retold_from_ollamas():
    body = b'{"error":{"message":"too long","type":"invalid_request_error","param":null,"code":null}}'
    assert CLIENT.write_error(opened(call(), OPENAI).refuse(400, {}, body), request_id="r").body == body
    told = opened(call(), OLLAMA).refuse(400, {}, b'{"error":"the input length exceeds the context length"}')
    shape = CLIENT.write_error(told, request_id="r")
    assert shape.status == 400
    assert json.loads(shape.body)["error"]["code"] == "context_length_exceeded"


def test_openais_own_writing_and_reading_agree():
    upstream = registry.UPSTREAMS[OPENAI]
    asked = CLIENT.to_embedding(call(input=[[1, 2]], dimensions=2, user="u"))
    target = Target(protocol=OPENAI, model="up", max_output_tokens=1)
    body = {"model": "up", "input": [[1, 2]], "encoding_format": "float", "dimensions": 2, "user": "u"}
    assert json.loads(upstream.write_request(asked, target)) == body
    packed = base64.b64encode(struct.pack("<2f", 3.0, 4.0)).decode()
    data = [{"embedding": packed, "index": 1}, {"embedding": [1.0, 2.0], "index": 0}]
    read = upstream.read_response(json.dumps(ANSWER | {"data": data}).encode())
    assert [list(vector) for vector in read.vectors] == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(errors.UpstreamBroken):
        upstream.read_response(json.dumps(ANSWER | {"data": [{"embedding": "AAA"}]}).encode())


def test_who_chats_is_not_asked_for_vectors_nor_the_other_way_round():
    chat = registry.CLIENTS["openai_chat"].read_request(b'{"model":"m","messages":[{"role":"user","content":"a"}]}')
    for asked, upstream in ((call(), "openai_chat"), (chat, OLLAMA), (chat, OPENAI)):
        with pytest.raises(errors.InvalidRequest) as refused:
            opened(asked, upstream)
        assert refused.value.param == "model"
