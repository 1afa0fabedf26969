"""Tokens, where nobody has counted them: before the answer is known, and where a provider never says.

A token is about four bytes of text in any language's tokenizer that we serve, and hardly ever less than two: so a
bound is bytes / 2, an estimate bytes / 4, both rounded up. A miss of the bound is booked as an overrun.
"""

from __future__ import annotations

import re

from apps.domain.tokens import TokenUsage

BYTES_PER_TOKEN = 4
FEWEST_BYTES_PER_TOKEN = 2
# No vendor counts an image dearer (Anthropic up to 4,784, OpenAI less), however many bytes it has.
IMAGE_TOKENS = 5_000
_IMAGE = re.compile(rb'image\\?/[a-z]+(?:;base64,|"\s*,\s*"data"\s*:\s*")[A-Za-z0-9+/=\\]*')


def prompt_bytes(body: bytes) -> int:
    """What of a request's body counts as prompt: all of it, an inline image as what it may cost at most."""
    if b"base64" not in body:
        return len(body)
    weight = len(body)
    for image in _IMAGE.finditer(body):
        weight -= max(0, image.end() - image.start() - IMAGE_TOKENS * FEWEST_BYTES_PER_TOKEN)
    return weight


def input_tokens(size: int) -> int:
    """An estimate for a prompt of `size` bytes."""
    return -(-size // BYTES_PER_TOKEN)


def output_tokens(size: int) -> int:
    """An estimate for an answer of `size` bytes of text, thinking and arguments."""
    return -(-size // BYTES_PER_TOKEN)


def most(size: int, *, max_tokens: int | None, model_cap: int, choices: int = 1) -> TokenUsage:
    """The most a call with a prompt of `size` bytes can use: what is reserved before it is sent.

    A cap above the model's own is lowered to it on the way to another dialect, and refused on the way to its own.
    """
    return TokenUsage(in_fresh=_bound(size), out_total=min(max_tokens or model_cap, model_cap) * choices)


def rate_tokens(size: int, *, max_tokens: int | None) -> int:
    """What a call takes from a tokens-a-minute limit until its usage is known."""
    return input_tokens(size) + (max_tokens or 0)


def _bound(size: int) -> int:
    return -(-size // FEWEST_BYTES_PER_TOKEN)
