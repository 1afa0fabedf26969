"""`POST /v1/embeddings`, from key to ledger."""

from __future__ import annotations

import base64
import json
import struct

import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, openai_error

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
EMBEDDINGS = "/v1/embeddings"
UPSTREAMS = {  # a model's name: its name at the provider, and how that is asked for embeddings
    "gpt-vectors": ("text-embedding-3-small", "openai_embeddings"),
    "llama-vectors": ("nomic-embed-text", "ollama_embed"),
    "titan-vectors": ("amazon.titan-embed-text-v2:0", "bedrock_embed"),
    "titan-cohere": ("cohere.embed-v4:0", "bedrock_embed"),
}


def body(model, **fields):
    return json.dumps({"model": model, "input": "hello there"} | fields).encode()


@pytest.fixture
def vectors(world, gateway):
    for name, (upstream, _) in UPSTREAMS.items():
        model = world.model(name, capabilities=["embeddings"])
        world.deploy(name, upstream=upstream, model=model)
    gateway.refresh()


@pytest.mark.parametrize("model", UPSTREAMS)
def test_every_kind_of_provider_gives_vectors_and_is_booked(gateway, simulator, vectors, model):
    calls = len(simulator.readings())
    response = ask(gateway, EMBEDDINGS, body=body(model))
    assert response.status_code == 200, response.text
    told = response.json()
    (entry,) = told["data"]
    assert entry["index"] == 0
    assert len(entry["embedding"]) > 100
    assert all(isinstance(number, float | int) for number in entry["embedding"])
    gateway.settle()
    row = Entry.objects.get()
    (metered,) = simulator.readings()[calls:]
    assert (row.status, row.state, row.usage_source) == ("ok", "settled", "provider")
    assert (row.in_fresh, row.out_total) == (metered.billed.fresh, 0)
    assert told["usage"] == {"prompt_tokens": row.in_fresh, "total_tokens": row.in_fresh}
    assert row.cost_nano == gateway.world.price_of(model, row) > 0
    assert (row.client_protocol, row.upstream_protocol) == ("openai_embeddings", UPSTREAMS[model][1])
    assert (row.endpoint, row.stream) == ("embeddings", False)
    assert response.headers["x-request-id"] == f"req_{row.request_id.hex}"


@pytest.mark.parametrize("model", UPSTREAMS)
def test_either_encoding_holds_the_same_numbers(gateway, vectors, model):
    plain = ask(gateway, EMBEDDINGS, body=body(model)).json()["data"][0]["embedding"]
    packed = ask(gateway, EMBEDDINGS, body=body(model, encoding_format="base64")).json()["data"][0]["embedding"]
    assert struct.unpack(f"<{len(plain)}f", base64.b64decode(packed)) == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("model", ["gpt-vectors", "llama-vectors"])
def test_several_texts_get_as_many_vectors(gateway, vectors, model):
    told = ask(gateway, EMBEDDINGS, body=body(model, input=["a", "b", "c"])).json()
    assert [entry["index"] for entry in told["data"]] == [0, 1, 2]


def test_only_input_is_reserved_of_a_budget(gateway, world, vectors):
    """No answer of these models could be paid for: their longest has 4,096 tokens at 15 dollars a million."""
    world.budget(key=world.key_row, amount=10_000_000)
    gateway.refresh()
    assert ask(gateway, EMBEDDINGS, body=body("gpt-vectors")).status_code == 200
    refused = ask(gateway, EMBEDDINGS, body=body("gpt-vectors", input="word " * 10_000))
    openai_error(refused, 429)


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
def test_who_gives_vectors_is_not_asked_to_chat(gateway, vectors, path):
    response = ask(gateway, path, model="gpt-vectors")
    assert response.status_code == 400
    assert "/v1/embeddings" in response.json()["error"]["message"]


def test_who_gives_none_is_not_asked_for_vectors(gateway):
    error = openai_error(ask(gateway, EMBEDDINGS, body=body("claude-test")), 400)
    assert (error["param"], "no embeddings" in error["message"]) == ("model", True)


def test_errors_are_in_openais_words(gateway, vectors):
    assert openai_error(ask(gateway, EMBEDDINGS, body=body("nobody")), 404)["code"] == "model_not_found"
    assert openai_error(ask(gateway, EMBEDDINGS, body=body("titan-vectors", input=["a", "b"])), 400)["param"] == "input"
    assert openai_error(ask(gateway, EMBEDDINGS, body=body("llama-vectors", input=[1, 2])), 400)["param"] == "input"
    assert openai_error(ask(gateway, EMBEDDINGS, key="weir_nobody", body=body("gpt-vectors")), 401)
    assert openai_error(gateway.client.get(EMBEDDINGS), 405)["code"] == "method_not_allowed"


def test_a_key_may_be_confined_to_embeddings(gateway, world, vectors):
    key = world.issue(endpoints=["embeddings"])
    assert ask(gateway, EMBEDDINGS, key=key, body=body("gpt-vectors")).status_code == 200
    assert ask(gateway, OPENAI, key=key).status_code == 403
