"""Vendors: addresses, credentials, whose headers go on."""

import pytest

from apps.domain.providers import registry

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
