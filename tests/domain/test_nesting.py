"""How deep a request's JSON may go."""

from __future__ import annotations

import json
import resource
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.errors import InvalidRequest
from apps.domain.protocols import nesting, splice

pytestmark = pytest.mark.attack("F19")

PADDED = b'"' + b"[," * 70_000 + b'"'  # it could grow so long that it is counted, not indented
assert not nesting._stays_small(PADDED)


def nest(levels, *, opening=b'{"a":', inside=b"1", closing=b"}"):
    """This many containers, the outermost of them an object."""
    return b'{"a":' + opening * (levels - 1) + inside + closing * (levels - 1) + b"}"


SHAPES = {
    "objects": {"opening": b'{"a":', "closing": b"}"},
    "arrays": {"opening": b"[", "closing": b"]"},
    "spaced": {"opening": b"[ \n", "closing": b"\t]"},
    "siblings": {"opening": b'["}}",', "closing": b',"]"]'},
    "innermost empty": {"opening": b"[", "inside": b"", "closing": b"]"},
    "quotes": {"opening": b'{"\\"]}]}":', "inside": b'"\\\\"', "closing": b"}"},
    "long": {"opening": b"[", "inside": PADDED, "closing": b"]"},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_sixty_four_levels_pass_and_sixty_five_do_not(shape):
    assert splice.read(nest(64, **shape)).raw("a")
    with pytest.raises(InvalidRequest, match=r"nested too deeply: more than 64 levels"):
        splice.read(nest(65, **shape))


@pytest.mark.parametrize("deep", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b"[" * 100_000 + b"]" * 100_000])
def test_a_million_brackets_are_refused_within_milliseconds(deep):
    body = b'{"a":' + deep + b"}"
    began = time.thread_time()
    with pytest.raises(InvalidRequest, match="deep"):
        splice.read(body)
    assert time.thread_time() - began < 1  # it takes one of those; the machine may be slow


@pytest.mark.parametrize("values", [60_000, 500_000])
def test_a_hostile_body_is_refused_in_little_memory(values):
    body = b'{"a":' + b"[" * 900 + b"1," * values + b"1" + b"]" * 900 + b"}"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidRequest, match="deep"):
        splice.read(body)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


def test_brackets_in_a_text_are_text():
    text = b'"' + b"[{" * 5000 + b'\\"' + b"]}" * 7 + b'"'
    assert splice.read(b'{"a":' + text + b',"b":' + PADDED + b"}").raw("a") == text


def test_a_body_of_nothing_but_containers_is_refused_before_they_are_counted_for_long():
    body = b'{"a":[' + b"[]," * 400_000 + b"[]]}"
    with pytest.raises(InvalidRequest, match="arrays and objects"):
        splice.read(body)


JSON = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\\\ax,: '),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[]{}"\\\\a'), inner, max_size=3),
    max_leaves=20,
)


def depth(value):
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(JSON, st.integers(min_value=56, max_value=66))
def test_the_quick_look_and_the_count_agree_with_a_plain_reading(value, levels):
    opened, inside, closed = b"[" * levels, json.dumps(value, ensure_ascii=False).encode(), b"]" * levels
    allowed = levels + depth(value) <= nesting.MAX_LEVELS
    for body in (opened + inside + closed, opened + PADDED + b"," + inside + closed):
        try:
            nesting.check(body)
        except InvalidRequest:
            assert not allowed
        else:
            assert allowed
