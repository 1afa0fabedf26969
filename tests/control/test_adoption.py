"""What is known of vendors' models, and models that are taken up from a list."""

from __future__ import annotations

import datetime

import pytest
from django.core.exceptions import ValidationError

from apps.audit.models import Record
from apps.catalog import adoption, known
from apps.catalog.models import Deployment, Model
from apps.outbound.listing import Listed
from tests import factories

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


def test_a_vendors_model_is_known_by_name_window_and_price() -> None:
    found = known.model("claude-sonnet-4-5", at="anthropic", now=NOW)
    assert found is not None
    assert found.label == "Claude Sonnet 4.5"
    assert found.context_tokens is not None
    assert found.context_tokens >= 200_000
    assert (found.prices["input"], found.prices["output"]) == (3_000_000_000, 15_000_000_000)
    assert found.prices["cache_read"] < found.prices["input"] < found.prices["cache_write_5m"]


@pytest.mark.parametrize(("name", "at"), [("claude-sonnet-4-5", ""), ("no-such-model", "openai"), ("", "openai")])
def test_of_others_nothing_is_known(name: str, at: str) -> None:
    assert known.model(name, at=at, now=NOW) is None


def test_the_cheapest_model_that_speaks_is_tried_first() -> None:
    names = ["text-embedding-3-small", "gpt-5", "gpt-5-nano", "made-up"]
    assert known.cheapest(names, at="openai", now=NOW) == "gpt-5-nano"
    assert known.cheapest(names, at="", now=NOW) == "text-embedding-3-small"
    assert known.cheapest([], at="openai", now=NOW) == ""


@pytest.mark.django_db
def test_what_is_known_comes_with_the_model_and_is_recorded() -> None:
    provider = factories.provider()
    models = [
        Listed(name="claude-sonnet-4-5", label="Sonnet", max_output_tokens=64_000),
        Listed(name="claude-new", context_tokens=5_000, max_output_tokens=9_000),
    ]
    first, second = adoption.adopt(provider, actor=None, models=models, with_prices=True)
    price = first.prices.get()
    assert (price.input, price.output) == (3_000_000_000, 15_000_000_000)
    assert (first.model.display_name, first.model.max_output_tokens) == ("Sonnet", 64_000)
    assert not second.prices.exists()
    assert (second.model.context_tokens, second.model.max_output_tokens) == (5_000, 5_000)
    made = list(Record.objects.order_by("pk").values_list("action", flat=True))
    one = ["model.created", "deployment.created"]
    assert made == ["provider.created", *one, "price.set", *one]
    assert adoption.adopt(provider, actor=None, models=models, with_prices=True) == []


@pytest.mark.django_db
def test_an_embedding_model_is_taken_up_as_one_and_at_its_price() -> None:
    provider = factories.provider(vendor="openai", protocol="openai_chat", base_url="https://api.openai.com/v1")
    models = [Listed(name="text-embedding-3-small"), Listed(name="gpt-4o")]
    embeds, chats = adoption.adopt(provider, actor=None, models=models, with_prices=True)
    assert (embeds.model.capabilities, chats.model.capabilities) == (["embeddings"], [])
    price = embeds.prices.get()
    assert (price.input, price.output) == (20_000_000, 0)


@pytest.mark.django_db
def test_a_deployment_of_ones_own_name_is_taken_up_as_the_model_that_it_is() -> None:
    provider = factories.provider(
        vendor="azure_openai", protocol="openai_chat", base_url="https://acme.openai.azure.com/openai/v1"
    )
    models = [Listed(name="ours", kind="gpt-4o"), Listed(name="vectors", kind="text-embedding-3-small")]
    chats, embeds = adoption.adopt(provider, actor=None, models=models, with_prices=True)
    assert (chats.upstream_model, chats.model.name) == ("ours", "ours")
    assert chats.prices.get().input == 2_500_000_000
    assert embeds.model.capabilities == ["embeddings"]


@pytest.mark.parametrize("name", ["nomic-embed-text:latest", "cohere.embed-v4:0", "BAAI/bge-m3", "all-minilm:33m"])
def test_embedding_models_are_known_by_their_names(name: str) -> None:
    assert known.gives_embeddings(name)


@pytest.mark.parametrize("name", ["gpt-5", "claude-opus-4-5", "qwen3:8b", "cambge-1", "amazon.nova-lite-v1:0"])
def test_others_are_not(name: str) -> None:
    assert not known.gives_embeddings(name)


@pytest.mark.django_db
def test_who_may_set_no_prices_gets_models_without_them() -> None:
    models = [Listed(name="claude-sonnet-4-5")]
    (made,) = adoption.adopt(factories.provider(), actor=None, models=models, with_prices=False)
    assert not made.prices.exists()


@pytest.mark.django_db
def test_all_are_taken_up_or_none_and_the_one_that_cannot_be_is_named() -> None:
    provider = factories.provider()
    with pytest.raises(ValidationError, match="two words"):
        adoption.adopt(provider, actor=None, models=[Listed(name="fine"), Listed(name="two words")], with_prices=False)
    assert not Model.objects.exists()
    assert not Deployment.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("vendor", "base_url", "expected"),
    [
        ("ollama", "http://localhost:11434", True),
        ("ollama", "http://ollama.lan:11434", True),
        ("ollama", "https://10.1.2.3", True),
        ("ollama", "https://ollama.com", False),
        ("vllm", "http://10.1.2.3:8000/v1", True),
        ("openai_compatible", "http://[fd00::7]:8000/v1", True),
        ("openai_compatible", "https://models.example/v1", False),
        ("openai", "http://10.1.2.3/v1", False),
    ],
)
def test_a_server_of_ones_own_may_be_free(vendor, base_url, expected) -> None:
    provider = factories.provider()
    provider.vendor, provider.base_url = vendor, base_url
    assert adoption.may_be_free(provider) is expected
