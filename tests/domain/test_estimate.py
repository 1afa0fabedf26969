"""Tokens nobody has counted."""

import base64
import json

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


def prompt(*parts):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": list(parts)}]}).encode()


PICTURE = base64.b64encode(bytes(3_000_000)).decode()
SOURCE = {"type": "base64", "media_type": "image/png", "data": PICTURE}
URL = f"data:image/webp;base64,{PICTURE}"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": SOURCE},
        {"source": dict(reversed(SOURCE.items())), "type": "image"},
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": {"detail": "low", "url": URL}},
        {"type": "image_url", "image_url": URL},
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image", "source": SOURCE}]},
    ],
)
def test_an_inline_image_counts_as_what_it_may_cost_and_not_by_its_bytes(part):
    body = prompt(part, {"type": "text", "text": "What is it?"})
    frame = len(body) - len(PICTURE)
    assert frame <= estimate.prompt_bytes(body) <= frame + 2 * estimate.IMAGE_TOKENS
    assert estimate.most(estimate.prompt_bytes(body), max_tokens=1, model_cap=1).in_fresh >= estimate.IMAGE_TOKENS


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": URL},
        {"type": "text", "text": f"See: {URL}"},
        {"type": "text", "text": json.dumps({"type": "image", "source": SOURCE})},
        {"type": "text", "text": "x", "source": SOURCE, "image_url": {"url": URL}},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"type": "image", "source": SOURCE}},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"image_url": {"url": URL}}},
        {"type": "tool_result", "tool_use_id": "a", "content": URL},
        {"type": "document", "source": {"type": "text", "media_type": "image/png;base64,", "data": PICTURE}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PICTURE}},
        {"type": "image_url", "image_url": URL.replace("image/webp", "application/pdf")},
        {"type": "image_url", "image_url": 5},
        {"type": "image", "source": [URL]},
    ],
)
def test_what_only_looks_like_an_image_counts_by_its_bytes(part):
    body = prompt(part)
    assert estimate.prompt_bytes(body) == len(body)


def test_a_message_that_is_text_counts_by_its_bytes():
    body = json.dumps({"system": URL, "messages": [{"role": "user", "content": f'"image {URL}'}]}).encode()
    assert estimate.prompt_bytes(body) == len(body)
    assert estimate.prompt_bytes(b"{}") == 2


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {"type": "url"}}]}},
    ],
)
def test_an_image_that_lies_elsewhere_counts_as_what_it_may_cost(part):
    body = prompt(part)
    assert estimate.prompt_bytes(body) == len(body) + 2 * estimate.IMAGE_TOKENS


def test_an_image_whose_name_is_escaped_is_found():
    body = prompt({"type": "image_url", "image_url": "https://example.com/a.png"}).replace(b"image", b"\\u0069mage")
    assert estimate.prompt_bytes(body) == len(body) + 2 * estimate.IMAGE_TOKENS


def test_a_small_image_counts_by_its_bytes():
    body = prompt({"type": "image", "source": SOURCE | {"data": "aGVsbG8="}})
    assert estimate.prompt_bytes(body) == len(body)
