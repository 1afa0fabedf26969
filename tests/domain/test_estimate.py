"""Tokens nobody has counted."""

import base64

import pytest

from apps.domain import estimate
from apps.domain.tokens import TokenUsage


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_an_estimate_is_a_quarter_of_the_bytes_rounded_up(size, tokens):
    assert estimate.output_tokens(size) == tokens
    assert estimate.input_tokens(size) == tokens


def test_the_most_a_call_uses_is_half_its_bytes_and_its_whole_cap_for_every_choice():
    assert estimate.most(101, max_tokens=50, model_cap=8192, choices=3) == TokenUsage(in_fresh=51, out_total=150)


def test_without_a_cap_the_models_own_counts():
    assert estimate.most(100, max_tokens=None, model_cap=8192) == TokenUsage(in_fresh=50, out_total=8192)


def test_a_cap_above_the_models_own_counts_as_the_models():
    assert estimate.most(100, max_tokens=9000, model_cap=4096, choices=2).out_total == 8192


def test_a_rate_limit_is_charged_the_estimate_and_the_cap():
    assert estimate.rate_tokens(400, max_tokens=1000) == 1100
    assert estimate.rate_tokens(400, max_tokens=None) == 100


@pytest.mark.parametrize(
    "part",
    [
        b'{"type":"image","source":{"type":"base64","media_type":"image/png","data":"%b"}}',
        b'{"type": "base64", "media_type": "image/jpeg", "data": "%b"}',
        b'{"type":"image_url","image_url":{"url":"data:image/webp;base64,%b"}}',
    ],
)
def test_an_inline_image_counts_as_what_it_may_cost_and_not_by_its_bytes(part):
    image = base64.b64encode(bytes(3_000_000))
    body = b'{"messages":[' + part % image + b"]}"
    frame = len(body) - len(image)
    assert frame <= estimate.prompt_bytes(body) <= frame + 2 * estimate.IMAGE_TOKENS
    assert estimate.most(estimate.prompt_bytes(body), max_tokens=1, model_cap=1).in_fresh >= estimate.IMAGE_TOKENS


def test_a_small_image_and_a_document_count_by_their_bytes():
    small = b'{"media_type":"image/png","data":"aGVsbG8=","type":"base64"}'
    document = b'{"type":"base64","media_type":"application/pdf","data":"' + b"A" * 100_000 + b'"}'
    assert estimate.prompt_bytes(small) == len(small)
    assert estimate.prompt_bytes(document) == len(document)
    assert estimate.prompt_bytes(b"{}") == 2
