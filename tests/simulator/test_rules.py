"""The simulator's pure parts: the script's words, the tokenizer, values that fit a schema."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from apps.simulator import plausible, script, tokens, vectors
from tests.sdk import worlds


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-sonnet-4-5-20250929", script.Script()),
        ("gpt-4o-2024-08-06", script.Script()),
        ("claude-parallel-tools", script.Script(words=frozenset({"parallel-tools"}))),
        ("openai/gpt-5:thinking", script.Script(words=frozenset({"thinking"}))),
        ("x-429-then-ok", script.Script(first_status=429)),
        ("x-429", script.Script(status=429)),
        ("x-dies-after-3-chunks", script.Script(cut="dies", after=3)),
        ("x-stall-after-0", script.Script(cut="stall", after=0)),
        ("x-corrupt-after-2", script.Script(cut="corrupt", after=2)),
        ("x-throttled-error-after-2", script.Script(words=frozenset({"throttled"}), cut="error", after=2)),
        ("x-stall", script.Script(words=frozenset({"stall"}))),
        ("x-slow-headers", script.Script(words=frozenset({"slow-headers"}))),
        ("x-slow", script.Script(words=frozenset({"slow"}), first_byte_ms=2000)),
        ("x-slow-250", script.Script(first_byte_ms=250)),
        ("x-long", script.Script(words=frozenset({"long"}), tokens=800)),
        ("x-53", script.Script(words=frozenset({"53"}), is_prebuilt=True)),
        ("x-53-pace-5", script.Script(words=frozenset({"53"}), pace_ms=5)),
        ("slowly-53x-longer", script.Script()),
    ],
)
def test_words_are_read_from_names(model, expected):
    assert script.read(model) == expected


def test_the_header_replaces_the_name():
    assert script.read("x-stall", "trickle, ends-after-2") == script.Script(
        words=frozenset({"trickle"}), cut="ends", after=2
    )


@given(some.text())
def test_tokens_put_together_are_the_text(text):
    pieces = tokens.pieces(text)
    assert "".join(pieces) == text
    assert tokens.count(text) == len(pieces)
    assert all(len(piece.strip()) <= 16 for piece in pieces)


def test_a_value_fits_its_schema():
    schema = {
        "type": "object",
        "$defs": {"Colour": {"enum": ["red", "green"]}},
        "properties": {
            "who": {"type": "string"},
            "colour": {"$ref": "#/$defs/Colour"},
            "count": {"type": "integer", "minimum": 5, "maximum": 9},
            "share": {"type": "number", "exclusiveMaximum": 1},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
            "several": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "nothing": {"type": "null"},
            "short": {"type": ["null", "string"], "maxLength": 3},
        },
    }
    assert plausible.value(schema, hints=plausible.Hints("Ask Grace Hopper for 400")) == {
        "who": "Grace Hopper",
        "colour": "red",
        "count": 9,
        "share": 0,
        "maybe": True,
        "several": ["Grace Hopper", "Grace Hopper"],
        "nothing": None,
        "short": "Gra",
    }


def test_a_schema_that_refers_to_itself_comes_to_an_end():
    schema = {
        "$ref": "#/$defs/Node",
        "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
    }
    assert plausible.value(schema, hints=plausible.Hints("")) is not None


def test_two_calls_of_one_tool_get_different_arguments():
    first, second = (
        plausible.value(worlds.CLOCK_SCHEMA, hints=plausible.Hints("from Rome and from Oslo", turn=turn))
        for turn in (0, 1)
    )
    assert (first, second) == ({"zone": "Rome"}, {"zone": "Oslo"})


def test_an_embedding_has_length_one_and_lies_nearer_to_a_text_of_the_same_words():
    cat, kitten, stock = (
        vectors.embed(text, dimensions=256) for text in ("the black cat", "the black kitten", "quarterly figures rose")
    )
    assert len(cat) == 256
    assert sum(number * number for number in cat) == pytest.approx(1.0, abs=1e-5)
    assert cat == vectors.embed("the black cat", dimensions=256)

    def nearness(one, other):
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert nearness(cat, kitten) > 0.4 > nearness(cat, stock)
