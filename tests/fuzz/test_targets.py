"""No bytes make a fault of any decoder: neither noise nor good input that was changed. Some of each, always the same;
`make fuzz` looks on."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import corpus, mutation
from tests.fuzz.contract import Target
from tests.fuzz.targets import TARGETS

pytestmark = [pytest.mark.attack("fuzz"), pytest.mark.once]

EXAMPLES = 40
FEW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
NOISE = st.binary(max_size=300) | st.text(max_size=100).map(str.encode)


@pytest.mark.parametrize("name", TARGETS)
def test_noise_and_changed_input_is_read_or_refused(name):
    target, tried = TARGETS[name], []

    @FEW
    @given(noise=NOISE, dice=st.integers(0, 2**32).map(random.Random), times=st.integers(1, 4))
    def attempt(noise: bytes, dice: random.Random, times: int) -> None:
        for data in (noise, _changed(target, dice, times)):
            tried.append(data)
            target.run(data)

    attempt()
    assert len(tried) >= 2 * EXAMPLES


def _changed(target: Target, dice: random.Random, times: int) -> bytes:
    data = dice.choice(corpus.inputs(target))
    for _ in range(times):
        data = mutation.mutated(dice, data, target)
    return data


def test_so_many_are_tried(figure):
    figure("fuzz", "decoders", len(TARGETS))
    figure("fuzz", "inputs to them by Hypothesis", 2 * EXAMPLES * len(TARGETS))


@pytest.mark.parametrize("name", TARGETS)
def test_good_input_is_read(name):
    """Else the search would begin, and end, in what is refused at once."""
    for data in TARGETS[name].seeds:
        TARGETS[name].run(data)


def test_a_fault_is_found_named_and_made_small():
    def read(data: bytes) -> None:
        if b'"b"' in data and b"true" in data:
            raise ZeroDivisionError

    target = Target("planted", read, (b'{"a": [1, "b"], "c": {"d": null}}',), is_json=True)
    dice = random.Random(1)
    data = next(data for data in (_changed(target, dice, 3) for _ in range(2000)) if corpus.fault(target, data))
    assert corpus.fault(target, data)[0] == "ZeroDivisionError"
    least = corpus.shrunk(target, data)
    assert sorted((b'"b"true', b'true"b"')).count(least) == 1
