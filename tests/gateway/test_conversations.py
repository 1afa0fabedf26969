"""Where conversations were answered is remembered for a time, of so many."""

from __future__ import annotations

import pytest

from apps.gateway.conversations import SECONDS, Conversations

pytestmark = pytest.mark.once


def test_a_conversation_is_remembered_for_an_hour_after_its_last_call():
    now = [100.0]
    known = Conversations(now=lambda: now[0])
    known.remember(1, 7, deployment_id=3)
    now[0] += SECONDS - 1
    assert known.place(1, 7) == 3
    assert known.place(2, 7) is None, "another model's"
    known.remember(1, 7, deployment_id=4)
    now[0] += SECONDS - 1
    assert known.place(1, 7) == 4
    now[0] += 1
    assert known.place(1, 7) is None


def test_of_too_many_conversations_the_one_that_rested_longest_is_forgotten():
    known = Conversations(most=3, now=lambda: 0.0)
    for conversation in (1, 2, 3, 1, 4):
        known.remember(1, conversation, deployment_id=conversation)
    assert [known.place(1, conversation) for conversation in (1, 2, 3, 4)] == [1, None, 3, 4]
