from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import ids

MOMENTS = st.integers(0, (1 << 48) - 1)
BITS = st.integers(0, (1 << 70) - 1)


@given(MOMENTS, BITS)
def test_a_request_s_id_is_a_uuid_of_version_7_that_tells_its_time(now_ms, bits):
    made = ids.request_id(now_ms=now_ms, random_bits=bits)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert ids.milliseconds(made) == now_ms


@given(MOMENTS, BITS, st.integers(0, 255), st.integers(0, 15))
def test_an_entry_s_id_is_still_one_and_sorts_by_its_request_s_time(now_ms, bits, attempt, slot):
    request = ids.request_id(now_ms=now_ms, random_bits=bits)
    entry = ids.entry_id(request, attempt=attempt, slot=slot)
    assert (entry.version, entry.variant) == (7, uuid.RFC_4122)
    assert ids.floor(now_ms) <= entry
    assert now_ms == (1 << 48) - 1 or entry < ids.floor(now_ms + 1)


def test_the_same_attempt_and_slot_always_make_the_same_id_and_others_never_do():
    request = ids.request_id(now_ms=1_700_000_000_000, random_bits=12345)
    places = [(attempt, slot) for attempt in range(256) for slot in range(16)]
    made = {place: ids.entry_id(request, attempt=place[0], slot=place[1]) for place in places}
    assert len(set(made.values())) == len(places)
    assert ids.entry_id(made[3, 1], attempt=7, slot=2) == made[7, 2]
    assert all(ids.in_slot(made[7, slot], slot=2) == made[7, 2] for slot in range(16))
    assert all(ids.slot_of(entry) == slot for (_, slot), entry in made.items())


@pytest.mark.parametrize(("attempt", "slot"), [(256, 1), (-1, 1), (1, 16), (1, -1)])
def test_what_does_not_fit_is_refused(attempt, slot):
    with pytest.raises(ValueError):
        ids.entry_id(uuid.uuid4(), attempt=attempt, slot=slot)


@pytest.mark.parametrize("slot", [16, -1])
def test_there_are_no_other_slots(slot):
    with pytest.raises(ValueError):
        ids.in_slot(uuid.uuid4(), slot=slot)
