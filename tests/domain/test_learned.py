"""What is expected of a model's answers, against a sorted list of them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.limits import learned
from apps.domain.limits.learned import Outputs

MODEL, KEY = 1, 2


def after(lengths, **marks) -> Outputs:
    outputs = Outputs()
    for tokens in lengths:
        outputs.note(MODEL, KEY, tokens=tokens, **marks)
    return outputs


def test_nothing_is_expected_before_fifty_answers_were_seen():
    assert after([100] * 49).expected(MODEL, KEY) is None
    assert after([100] * 50).expected(MODEL, KEY) is not None


@given(st.integers(0, 10_000_000))
def test_a_length_is_never_understated_nor_overstated_by_more_than_a_quarter(tokens):
    expected = after([tokens] * 50).expected(MODEL, KEY)
    assert tokens <= expected <= tokens * 1.25


@given(lengths=st.lists(st.integers(0, 200_000), min_size=50, max_size=300))
def test_at_most_one_answer_in_a_hundred_is_longer_than_expected(lengths):
    outputs = after(lengths[:50])
    expected = outputs.expected(MODEL, KEY)
    longer = sum(tokens > expected for tokens in lengths[:50])
    assert longer <= len(lengths[:50]) * 0.01
    assert expected <= max(lengths[:50]) * 1.25


def test_a_rare_long_answer_does_not_raise_what_is_expected_of_all():
    dice = random.Random(7)
    lengths = [dice.randint(100, 300) for _ in range(995)] + [64_000] * 5
    dice.shuffle(lengths)
    assert after(lengths).expected(MODEL, KEY) <= 375


def test_longer_answers_show_before_as_many_were_seen_as_are_remembered():
    outputs = after([100] * 10_000)
    for _ in range(100):
        outputs.note(MODEL, KEY, tokens=8_000)
    assert outputs.expected(MODEL, KEY) >= 8_000


def test_shorter_answers_are_believed_in_the_end():
    outputs = after([8_000] * 2_000)
    for _ in range(20_000):
        outputs.note(MODEL, KEY, tokens=100)
    assert outputs.expected(MODEL, KEY) <= 125


def test_an_answer_that_was_cut_short_says_nothing_and_one_that_was_cut_late_does():
    outputs = after([1_000] * 60)
    before = outputs.expected(MODEL, KEY)
    for _ in range(1_000):
        outputs.note(MODEL, KEY, tokens=1, is_cut=True)
    assert outputs.expected(MODEL, KEY) == before
    for _ in range(1_000):
        outputs.note(MODEL, KEY, tokens=4_000, is_cut=True)
    assert outputs.expected(MODEL, KEY) >= 4_000


def test_a_key_is_known_by_its_own_answers_and_a_new_one_by_those_of_the_model():
    outputs = after([5] * 60)
    for _ in range(60):
        outputs.note(MODEL, 3, tokens=3_000)
    assert outputs.expected(MODEL, KEY) == 5
    assert outputs.expected(MODEL, 99) >= 3_000
    assert outputs.expected(MODEL + 1, KEY) is None


def test_it_does_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(learned, "_MOST_KNOWN", 10)
    outputs = Outputs()
    for key in range(100):
        outputs.note(MODEL, key, tokens=5)
    assert len(outputs._keys) == 10
