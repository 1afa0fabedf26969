"""Which words of `anthropic-beta` are names of betas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.guardrails import reading
from apps.domain.guardrails.kinds import KINDS
from apps.domain.protocols.bedrock_invoke import betas as known
from apps.domain.providers import betas, registry

NAMES = sorted({*known._KNOWN, *known._KNOWN.values(), *known._ELSEWHERE, *known._OF_MODELS})


@pytest.mark.parametrize("name", [*NAMES, "x", "a-2026", "new-beta-2027-01-01", "model.v2-2027-01-01"])
def test_names_pass_as_they_are(name):
    assert betas.shaped(name.encode()) == name.encode()


def test_a_list_of_names_is_not_changed_and_none_of_them_is_a_finding():
    whole = ", ".join(NAMES).encode()
    assert betas.shaped(whole) == whole
    assert reading.count(b'["anthropic-beta: %b"]' % whole, KINDS) == {}


@pytest.mark.parametrize(
    "word",
    [
        *("mrs.jones@example.com", "4111111111111111", "4111 1111 1111 1111", "card-4111-1111-1111-1111"),
        *("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "AKIAIOSFODNN7EXAMPLE", "DE89370400440532013000", "+4930123456"),
        *("my name is Quagga", "Gr\u00fc\u00dfe", "a\r\nx-api-key: b", "a" * 65, "-", "a--b", ""),
    ],
)
def test_what_is_none_is_left_out(word):
    listed = f"claude-code-20250219, {word} ,a-2026".encode()
    assert betas.shaped(listed).replace(b" ", b"") == b"claude-code-20250219,a-2026"
    assert betas.shaped(word.encode()) == b""
    headers = dict(registry.vendor("anthropic").headers("k", client={b"anthropic-beta": word.encode()}))
    assert "anthropic-beta" not in headers


@given(st.binary(max_size=200))
def test_whatever_passes_is_a_list_of_names(value):
    kept = betas.shaped(value)
    assert betas.shaped(kept) == kept
    assert all(betas._is_name(name.strip(b" \t")) for name in kept.split(b",") if kept)
