"""Vendors: addresses, credentials, whose headers go on."""

import re
from pathlib import Path

import msgspec
import pytest

from apps.domain.chat import Reasoning
from apps.domain.protocols.contract import Target
from apps.domain.protocols.openai_chat import reasoning
from apps.domain.protocols.openai_chat.request import read_request, to_chat, write
from apps.domain.providers import registry, speech
from apps.domain.snapshot import Deployment, Provider

CLIENT = {
    b"anthropic-beta": b"context-1m-2025-08-07,made-up-2027-01-01",
    b"anthropic-workspace-id": b"wrkspc_1",
    b"authorization": b"Bearer weir_key",
    b"x-api-key": b"weir_key",
    b"openai-organization": b"org-of-the-caller",
    b"x-simulate": b"slow",
    b"cookie": b"session=1",
}


@pytest.mark.parametrize(
    ("slug", "base_url", "protocol", "url"),
    [
        ("anthropic", "https://api.anthropic.com", "anthropic_messages", "https://api.anthropic.com/v1/messages"),
        ("anthropic", "https://api.anthropic.com/v1/", "anthropic_messages", "https://api.anthropic.com/v1/messages"),
        (
            "anthropic_compatible",
            "https://api.synthetic.new/anthropic/v1",
            "anthropic_messages",
            "https://api.synthetic.new/anthropic/v1/messages",
        ),
        (
            "anthropic_compatible",
            "https://api.minimax.io/anthropic",
            "anthropic_messages",
            "https://api.minimax.io/anthropic/v1/messages",
        ),
        ("openai", "https://api.openai.com/v1", "openai_chat", "https://api.openai.com/v1/chat/completions"),
        (
            "openai_compatible",
            "https://api.z.ai/api/paas/v4",
            "openai_chat",
            "https://api.z.ai/api/paas/v4/chat/completions",
        ),
        ("simulated", "http://127.0.0.1:9/sim", "openai_chat", "http://127.0.0.1:9/sim/v1/chat/completions"),
        ("simulated", "http://127.0.0.1:9/sim/v1", "openai_chat", "http://127.0.0.1:9/sim/v1/chat/completions"),
        ("simulated", "http://127.0.0.1:9/sim", "anthropic_messages", "http://127.0.0.1:9/sim/v1/messages"),
    ],
)
def test_a_base_url_is_joined_as_the_vendor_writes_it(slug, base_url, protocol, url):
    assert registry.vendor(slug).url(base_url, protocol) == url


HOMES = {
    "anthropic": {"anthropic_messages": "https://api.anthropic.com/v1/messages"},
    "openai": {
        "openai_chat": "https://api.openai.com/v1/chat/completions",
        "openai_responses": "https://api.openai.com/v1/responses",
        "openai_embeddings": "https://api.openai.com/v1/embeddings",
    },
    "azure_openai": {
        "openai_chat": "https://acme.openai.azure.com/openai/v1/chat/completions",
        "openai_responses": "https://acme.openai.azure.com/openai/v1/responses",
        "openai_embeddings": "https://acme.openai.azure.com/openai/v1/embeddings",
    },
    "cerebras": {"openai_chat": "https://api.cerebras.ai/v1/chat/completions"},
    "zai": {
        "openai_chat": "https://api.z.ai/api/paas/v4/chat/completions",
        "anthropic_messages": "https://api.z.ai/api/anthropic/v1/messages",
    },
    "minimax": {
        "anthropic_messages": "https://api.minimax.io/anthropic/v1/messages",
        "openai_chat": "https://api.minimax.io/v1/chat/completions",
    },
    "synthetic": {
        "openai_chat": "https://api.synthetic.new/openai/v1/chat/completions",
        "anthropic_messages": "https://api.synthetic.new/anthropic/v1/messages",
        "openai_embeddings": "https://api.synthetic.new/openai/v1/embeddings",
    },
    "bedrock": {
        "bedrock_invoke": "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/invoke",
        "bedrock_converse": "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse",
        "bedrock_embed": "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/invoke",
    },
    "ollama": {
        "ollama_chat": "http://localhost:11434/api/chat",
        "ollama_embed": "http://localhost:11434/api/embed",
    },
    "openrouter": {
        "openai_chat": "https://openrouter.ai/api/v1/chat/completions",
        "anthropic_messages": "https://openrouter.ai/api/v1/messages",
    },
}


@pytest.mark.parametrize("slug", HOMES)
def test_a_vendor_is_called_where_its_documents_say(slug):
    vendor = registry.vendor(slug)
    home = vendor.home({"resource": "acme", "region": "eu-west-1"})
    assert {protocol: vendor.url(home, protocol, model="m") for protocol in HOMES[slug]} == HOMES[slug]


def test_a_server_of_ones_own_is_called_below_its_version():
    vllm = registry.vendor("vllm")
    for home in ("http://10.0.0.1:8000", "http://10.0.0.1:8000/v1"):
        assert vllm.url(home, "anthropic_messages") == "http://10.0.0.1:8000/v1/messages"
    assert vllm.url("http://10.0.0.1:8000/v1", "openai_chat") == "http://10.0.0.1:8000/v1/chat/completions"


@pytest.mark.parametrize(
    ("protocol", "url"),
    [
        ("openai_chat", "/openai/deployments/gpt%2F5/chat/completions?api-version=2024-10-21"),
        ("openai_embeddings", "/openai/deployments/gpt%2F5/embeddings?api-version=2024-10-21"),
        ("openai_responses", "/openai/responses?api-version=2024-10-21"),
    ],
)
def test_azures_dated_api_has_the_deployment_in_its_path(protocol, url):
    azure = registry.vendor("azure_openai")
    options = {"resource": "acme", "api_version": "2024-10-21"}
    home = azure.home(options)
    assert azure.url(home, protocol, model="gpt/5", options=options) == f"https://acme.openai.azure.com{url}"
    assert azure.list_url(home, "openai_chat", options=options) == (
        "https://acme.openai.azure.com/openai/models?api-version=2024-10-21"
    )


def test_zais_coding_plan_has_a_path_of_its_own():
    zai = registry.vendor("zai")
    found = {protocol: zai.url(zai.base_url, protocol, options={"plan": "coding"}) for protocol in zai.protocols}
    assert found == {
        "openai_chat": "https://api.z.ai/api/coding/paas/v4/chat/completions",
        "anthropic_messages": "https://api.z.ai/api/anthropic/v1/messages",
    }


def test_a_vendor_is_at_home_nowhere_while_an_option_is_missing():
    azure = registry.vendor("azure_openai")
    assert azure.home({}) == azure.home({"resource": ""}) == ""
    assert registry.vendor("openai").home({}) == "https://api.openai.com/v1"


LISTS = {
    "anthropic": "https://api.anthropic.com/v1/models?limit=1000",
    "openai": "https://api.openai.com/v1/models",
    "azure_openai": "https://acme.openai.azure.com/openai/v1/models",
    "cerebras": "https://api.cerebras.ai/v1/models",
    "zai": "https://api.z.ai/api/paas/v4/models",
    "minimax": "https://api.minimax.io/anthropic/v1/models",
    "synthetic": "https://api.synthetic.new/openai/v1/models",
    "openrouter": "https://openrouter.ai/api/v1/models",
    "bedrock": "https://bedrock.eu-west-1.amazonaws.com/foundation-models",
    "ollama": "http://localhost:11434/api/tags",
}


@pytest.mark.parametrize("slug", LISTS)
def test_a_vendors_models_are_listed_beside_its_calls(slug):
    vendor = registry.vendor(slug)
    home = vendor.home({"resource": "acme", "region": "eu-west-1"})
    assert vendor.list_url(home, vendor.protocols[0]) == LISTS[slug]


def test_a_vendor_says_what_one_has_to_know_before_choosing_it():
    for vendor in registry.VENDORS.values():
        assert vendor.summary.endswith("."), vendor.slug
        assert len(vendor.summary) < 70, vendor.slug
        assert vendor.key_page.startswith("https://") or not vendor.needs_key, vendor.slug
        assert all(option.label for option in vendor.options), vendor.slug
        assert set(vendor.beside) <= set(vendor.protocols), vendor.slug


@pytest.mark.parametrize(
    ("slug", "said"),
    [
        ("openai", {"max_completion_tokens": 9, "parallel_tool_calls": True, "reasoning_effort": "low"}),
        ("azure_openai", {"max_completion_tokens": 9, "parallel_tool_calls": True, "reasoning_effort": "low"}),
        ("cerebras", {"max_completion_tokens": 9, "reasoning_effort": "low"}),
        ("zai", {"max_tokens": 9, "tool_stream": True, "thinking": {"type": "enabled"}}),
        ("minimax", {"max_completion_tokens": 9, "reasoning_effort": "low"}),
        ("openrouter", {"max_tokens": 9, "parallel_tool_calls": True, "reasoning_effort": "low"}),
        ("vllm", {"max_tokens": 9, "parallel_tool_calls": True, "reasoning_effort": "low"}),
    ],
)
def test_a_vendor_is_asked_in_its_own_words(slug, said):
    call = read_request(CHAT)
    target = Target(protocol="openai_chat", model="m", max_output_tokens=100, quirks=registry.vendor(slug).quirks)
    body = msgspec.json.decode(msgspec.json.encode(write(to_chat(call), target)))
    usual = {"model", "messages", "tools", "stream", "stream_options"}
    assert {name: value for name, value in body.items() if name not in usual} == said


CHAT = msgspec.json.encode(
    {
        "model": "any",
        "stream": True,
        "max_tokens": 9,
        "reasoning_effort": "low",
        "parallel_tool_calls": True,
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    }
)


@pytest.mark.parametrize(
    ("wanted", "switch"),
    [
        (Reasoning(), None),
        (Reasoning(mode="disabled"), {"type": "disabled"}),
        (Reasoning(mode="adaptive"), {"type": "enabled"}),
        (Reasoning(budget=1000), {"type": "enabled"}),
    ],
)
def test_a_switch_of_thinking_is_thrown_only_for_who_asks(wanted, switch):
    assert reasoning.switch(wanted) == switch


def test_every_vendor_has_its_row_in_the_documents():
    page = (Path(__file__).parents[2] / "docs/providers.md").read_text(encoding="utf-8")
    rows = {row.split(" | ")[0].removeprefix("| "): row for row in page.splitlines() if row.startswith("| ")}
    assert list(rows)[1:] == [vendor.label for vendor in registry.VENDORS.values()]
    for vendor in registry.VENDORS.values():
        switches = rows[vendor.label].rstrip(" |").split(" | ")[3:]
        assert re.findall(r"`(\w+)`", "".join(switches)) == sorted(vendor.quirks), vendor.label


@pytest.mark.parametrize(
    ("slug", "protocol", "embeds"),
    [
        ("openai", "openai_chat", "openai_embeddings"),
        ("ollama", "ollama_chat", "ollama_embed"),
        ("minimax", "openai_chat", None),
        ("anthropic", "anthropic_messages", None),
    ],
)
def test_embeddings_are_asked_of_those_only_who_make_them(slug, protocol, embeds):
    provider = Provider(id=1, name="p", vendor=slug, protocol=protocol, base_url="https://a", host="a")
    deployment = Deployment(id=1, provider=provider, upstream_model="m")
    assert speech.protocol_of(deployment, client="openai_embeddings") == embeds


def test_azure_takes_its_key_in_a_header_of_its_own():
    assert registry.vendor("azure_openai").headers("k1", client=CLIENT) == [("api-key", "k1")]
    assert registry.vendor("azure_openai").headers("", client={}) == []


@pytest.mark.parametrize("slug", ["zai", "minimax", "synthetic"])
def test_vendors_of_both_dialects_get_the_key_in_both_ways_and_the_callers_betas(slug):
    headers = dict(registry.vendor(slug).headers("k1", client=CLIENT))
    assert (headers["x-api-key"], headers["authorization"]) == ("k1", "Bearer k1")
    assert headers["anthropic-beta"] == CLIENT[b"anthropic-beta"].decode()
    assert "openai-organization" not in headers


def test_every_vendors_own_base_url_can_be_joined():
    for vendor in registry.VENDORS.values():
        for protocol in vendor.protocols:
            assert vendor.url(vendor.base_url or "https://example.com", protocol).startswith("http")


def test_anthropic_gets_the_callers_anthropic_headers_and_nothing_else_of_his():
    headers = registry.vendor("anthropic").headers("sk-ant-api03-x", client=CLIENT)
    assert dict(headers) == {
        "x-api-key": "sk-ant-api03-x",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": CLIENT[b"anthropic-beta"].decode(),
        "anthropic-workspace-id": "wrkspc_1",
    }


def test_the_callers_anthropic_version_wins_over_the_default():
    headers = registry.vendor("anthropic").headers("k", client={b"anthropic-version": b"2026-01-01"})
    assert [value for name, value in headers if name == "anthropic-version"] == ["2026-01-01"]


def test_an_oauth_token_goes_to_anthropic_as_a_bearer_token():
    headers = dict(registry.vendor("anthropic").headers("sk-ant-oat01-x", client={}))
    assert headers["authorization"] == "Bearer sk-ant-oat01-x"
    assert "x-api-key" not in headers


@pytest.mark.parametrize("slug", ["openai", "openai_compatible"])
def test_openai_gets_none_of_the_callers_headers(slug):
    assert registry.vendor(slug).headers("sk-1", client=CLIENT) == [("authorization", "Bearer sk-1")]


def test_a_vendor_without_a_credential_gets_no_empty_one():
    assert registry.vendor("openai_compatible").headers("", client={}) == []
    assert registry.vendor("anthropic_compatible").headers("", client={}) == [("anthropic-version", "2023-06-01")]


def test_only_the_simulator_hears_the_gateways_id_and_the_callers_script():
    simulated = registry.vendor("simulated")
    assert simulated.trace_header == "x-weir-request"
    assert ("x-simulate", "slow") in simulated.headers("k", client=CLIENT)
    for slug, vendor in registry.VENDORS.items():
        if slug != "simulated":
            assert vendor.trace_header is None
            assert "x-simulate" not in dict(vendor.headers("k", client=CLIENT))


def test_slugs_are_the_registrys_keys():
    assert all(vendor.slug == slug for slug, vendor in registry.VENDORS.items())
    with pytest.raises(KeyError):
        registry.vendor("nobody")
