"""Estimates learn what a token of a deployment weighs."""

from __future__ import annotations

import pytest

from apps.domain import estimate
from apps.domain.density import Density


def test_nothing_learned_is_the_usual_density():
    for size in (0, 1, 4, 5, 1_000):
        assert Density().input_tokens(size) == estimate.input_tokens(size)
        assert Density().output_tokens(size) == estimate.output_tokens(size)


def test_a_handful_of_calls_bring_an_estimate_within_a_tenth():
    density = Density()
    for _ in range(5):
        density.note(prompt_bytes=900, in_total=100, output_bytes=600, out_total=200)
    assert density.input_tokens(4_500) == pytest.approx(500, rel=0.1)
    assert density.output_tokens(1_500) == pytest.approx(500, rel=0.1)


def test_what_is_new_outweighs_what_is_old():
    density = Density()
    for weight in (4, 2):
        for _ in range(200):
            density.note(prompt_bytes=100 * weight, in_total=100, output_bytes=100 * weight, out_total=100)
    assert density.output_tokens(1_000) == pytest.approx(500, rel=0.05)


@pytest.mark.parametrize(("size", "tokens"), [(0, 5_000), (5, 4_000), (10_000, 1), (100, 0)])
def test_what_no_tokenizer_does_teaches_nothing(size, tokens):
    density = Density()
    density.note(prompt_bytes=size, in_total=tokens, output_bytes=size, out_total=tokens)
    assert (density.input_tokens(400), density.output_tokens(400)) == (100, 100)
